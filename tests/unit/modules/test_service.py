# SPDX-License-Identifier: GPL-3.0-or-later
"""Module service: what is asked of systemd, by how a service and its files differ."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.tre.ces.plugins.modules import service

Serve = Callable[..., dict[str, Any]]


class Systemd:
    """A systemctl that answers from a file, and writes down what it is asked."""

    def __init__(self, place: Path) -> None:
        self._place = place
        program = place / "systemctl"
        program.write_text(
            "#!/bin/sh\n"
            f'if test "$1" = show; then cat {place}/unit; else echo "$@" >>{place}/asked;'
            f" test ! -e {place}/ill || {{ echo 'Job failed.' >&2; exit 1; }}; fi\n"
        )
        program.chmod(0o755)
        self.unit()

    def unit(self, since: float = 0.0, **other: str) -> None:
        moment = datetime.fromtimestamp(since or time.time(), timezone.utc)
        words = {
            "LoadState": "loaded",
            "ActiveState": "active",
            "UnitFileState": "enabled",
            "NeedDaemonReload": "no",
            "InactiveExitTimestamp": f"{moment:%a %Y-%m-%d %H:%M:%S.%f} UTC",
            **other,
        }
        text = "".join(f"{name}={value}\n" for name, value in words.items())
        (self._place / "unit").write_text(text)

    def asked(self) -> list[str]:
        path = self._place / "asked"
        return path.read_text().splitlines() if path.exists() else []


@pytest.fixture
def systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Systemd:
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    return Systemd(tmp_path)


@pytest.fixture
def serve(run: Callable[..., dict[str, Any]], tmp_path: Path) -> Serve:
    (tmp_path / "settings").write_text("")

    def serve_it(check: bool = False, **options: Any) -> dict[str, Any]:
        given = {"enabled": True, "reads": [str(tmp_path / "settings"), "/none"], **options}
        return run(service, check=check, name="it", **given)

    return serve_it


def test_a_service_that_is_newer_than_its_files_is_left_alone(
    systemd: Systemd, serve: Serve
) -> None:
    systemd.unit(time.time() + 1)
    assert serve()["changed"] is False
    assert systemd.asked() == []


def test_a_file_that_is_newer_than_the_service_is_read(
    systemd: Systemd, serve: Serve, tmp_path: Path
) -> None:
    """Whatever its time of change says: a copy may keep that."""
    os.utime(tmp_path / "settings", (0, 0))
    systemd.unit(time.time() - 60)
    for check in (True, False):
        answer = serve(check=check)
        assert answer["newer"] == [str(tmp_path / "settings")]
        assert answer["actions"] == ["restart"]
    assert systemd.asked() == ["restart it"]


@pytest.mark.parametrize(
    ("unit", "actions"),
    [
        ({"ActiveState": "failed"}, ["start it"]),
        ({"ActiveState": "inactive", "UnitFileState": "disabled"}, ["enable it", "start it"]),
        ({"ActiveState": "inactive", "InactiveExitTimestamp": ""}, ["start it"]),
        ({"NeedDaemonReload": "yes"}, ["daemon-reload"]),
        ({"ActiveState": "activating"}, []),
    ],
)
def test_what_differs_is_mended(
    systemd: Systemd, serve: Serve, unit: dict[str, str], actions: list[str]
) -> None:
    systemd.unit(time.time() + 1, **unit)
    assert serve(check=True)["changed"] is bool(actions)
    assert systemd.asked() == []
    serve()
    assert systemd.asked() == actions


def test_what_runs_may_be_known_to_differ(systemd: Systemd, serve: Serve) -> None:
    systemd.unit(time.time() + 1)
    assert serve(stale=True)["actions"] == ["restart"]


def test_a_service_that_is_not_there_yet_would_be_started(systemd: Systemd, serve: Serve) -> None:
    systemd.unit(LoadState="not-found", ActiveState="inactive", UnitFileState="")
    assert serve(check=True)["actions"] == ["enable", "start"]
    assert "does not know it (not-found)" in serve()["msg"]


def test_what_systemd_refuses_is_told(systemd: Systemd, serve: Serve, tmp_path: Path) -> None:
    systemd.unit(ActiveState="failed")
    (tmp_path / "ill").touch()
    assert serve()["msg"] == "systemctl start it failed: Job failed."
