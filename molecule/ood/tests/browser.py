# SPDX-License-Identifier: GPL-3.0-or-later
"""JupyterLab as a researcher has it: in a browser, behind the portal."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from selenium import webdriver
from selenium.common.exceptions import (
    ElementClickInterceptedException,
    ElementNotInteractableException,
    NoSuchElementException,
    StaleElementReferenceException,
)
from selenium.webdriver import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support import expected_conditions as expected
from selenium.webdriver.support.ui import WebDriverWait

PORTAL = "portal.tre.test"
# it asks nobody but the portal for anything
QUIET = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--no-proxy-server",
    # the portal's certificate is one that it made itself
    "--ignore-certificate-errors",
    "--window-size=1100,700",
)


@contextmanager
def browser(address: str, profile: Path) -> Iterator[webdriver.Chrome]:
    """Chromium, which knows the portal's name."""
    options = webdriver.ChromeOptions()
    options.binary_location = "/usr/bin/chromium"
    rules = f"MAP {PORTAL} {address}, MAP * ~NOTFOUND"
    for option in (*QUIET, f"--host-resolver-rules={rules}", f"--user-data-dir={profile}"):
        options.add_argument(option)
    driver = webdriver.Chrome(options, webdriver.ChromeService("/usr/bin/chromedriver"))
    try:
        yield driver
    finally:
        driver.quit()


class Lab:
    """JupyterLab's page, once one has come in by the button of the session's card."""

    def __init__(self, driver: webdriver.Chrome, card: str) -> None:
        self.driver = driver
        self.connect(card)

    def connect(self, card: str) -> None:
        """Press the button, on a page that has the portal's address: that is all that counts."""
        self.driver.get(f"https://{PORTAL}/")
        before = set(self.driver.window_handles)
        self.driver.execute_script("document.body.innerHTML = arguments[0]", card)
        self.press("form button[type=submit]")
        self.wait(lambda _: set(self.driver.window_handles) - before)
        (tab,) = set(self.driver.window_handles) - before
        self.driver.switch_to.window(tab)
        self.find(".jp-LauncherCard", seconds=60)

    def wait(self, true: object, seconds: float = 20) -> None:
        # the page draws things anew while one looks at them
        passing = (StaleElementReferenceException,)
        wait = WebDriverWait(self.driver, seconds, 0.1, ignored_exceptions=passing)
        wait.until(true)  # type: ignore[arg-type]

    def find(self, css: str, seconds: float = 20) -> WebElement:
        self.wait(expected.element_to_be_clickable((By.CSS_SELECTOR, css)), seconds)
        return self.driver.find_element(By.CSS_SELECTOR, css)

    def press(self, css: str, seconds: float = 20) -> None:
        """Click, as soon as that can be done."""

        def clicked(driver: webdriver.Chrome) -> bool:
            driver.find_element(By.CSS_SELECTOR, css).click()
            return True

        passing = (NoSuchElementException, ElementNotInteractableException)
        passing += (ElementClickInterceptedException, StaleElementReferenceException)
        WebDriverWait(self.driver, seconds, 0.1, ignored_exceptions=passing).until(clicked)

    def new_notebook(self) -> None:
        self.press(".jp-LauncherCard[data-category=Notebook]")
        self.press(".jp-Notebook .jp-Cell .cm-content")
        # a cell that is run before there is a kernel may never be run
        self.find(".jp-Notebook-ExecutionIndicator[data-status=idle]", seconds=60)

    def run(self, code: str) -> str:
        """Run a line of code in the last cell, and read what it answers."""
        cells = len(self.driver.find_elements(By.CSS_SELECTOR, ".jp-Notebook .jp-Cell"))
        self.press(f".jp-Notebook .jp-Cell:nth-of-type({cells}) .cm-content")
        keys = ActionChains(self.driver)
        keys.send_keys(code).key_down(Keys.SHIFT).send_keys(Keys.ENTER).key_up(Keys.SHIFT).perform()
        return self.find(
            f".jp-Notebook .jp-Cell:nth-of-type({cells}) .jp-OutputArea-output pre"
        ).text

    def shut_down(self) -> None:
        """File > Shut Down, and yes."""
        for item in self.driver.find_elements(By.CSS_SELECTOR, ".lm-MenuBar-item"):
            if item.text == "File":
                item.click()
        self.press('.lm-Menu-item[data-command="filemenu:shutdown"]')
        self.press(".jp-Dialog .jp-mod-accept")
