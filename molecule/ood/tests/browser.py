# SPDX-License-Identifier: GPL-3.0-or-later
"""JupyterLab as a researcher has it: in a browser, behind the portal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from selenium import webdriver
from selenium.common.exceptions import (
    ElementClickInterceptedException,
    ElementNotInteractableException,
    NoSuchElementException,
    StaleElementReferenceException,
    TimeoutException,
)
from selenium.webdriver import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support import expected_conditions as expected
from selenium.webdriver.support.ui import WebDriverWait

PORTAL = "portal.tre.test"
PASSING = (
    ElementClickInterceptedException,
    ElementNotInteractableException,
    NoSuchElementException,
    StaleElementReferenceException,
)
# what was to be seen when something did not come
FAILED = Path(__file__).resolve().parents[3] / "build/browser-failed.png"
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

KERNELS = """
const request = new XMLHttpRequest();
request.open("GET", location.pathname.replace(/[/]lab.*/, "/api/kernels"), false);
request.send();
return JSON.parse(request.responseText);
"""


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
        self.find(".jp-LauncherCard")

    def wait(self, true: Callable[[webdriver.Chrome], Any], seconds: float = 60) -> None:
        # the page draws things anew while one looks at them
        waiting = WebDriverWait(self.driver, seconds, 0.1, ignored_exceptions=PASSING)
        try:
            waiting.until(true)
        except TimeoutException:
            self.driver.save_screenshot(str(FAILED))
            raise

    def find(self, css: str) -> WebElement:
        self.wait(expected.visibility_of_element_located((By.CSS_SELECTOR, css)))
        return self.driver.find_element(By.CSS_SELECTOR, css)

    def press(self, css: str) -> None:
        """Click, as soon as that can be done."""

        def clicked(driver: webdriver.Chrome) -> bool:
            driver.find_element(By.CSS_SELECTOR, css).click()
            return True

        self.wait(clicked)

    def new_notebook(self) -> None:
        self.press(".jp-LauncherCard[data-category=Notebook]")
        self.press(".jp-Notebook .jp-Cell .cm-content")
        # JupyterLab may start a second kernel and end the first one: what was run there has no end
        self.wait(self.has_its_kernel)
        self.find(".jp-Notebook-ExecutionIndicator[data-status=idle]")

    @staticmethod
    def has_its_kernel(driver: webdriver.Chrome) -> bool:
        kernels = driver.execute_script(KERNELS)
        # while a kernel ends the server may answer with an error, which is no list
        return isinstance(kernels, list) and [
            (k["connections"], k["execution_state"]) for k in kernels
        ] == [(1, "idle")]

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
