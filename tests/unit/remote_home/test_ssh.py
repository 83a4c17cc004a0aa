# SPDX-License-Identifier: GPL-3.0-or-later
"""What ssh is called with, and what becomes of its answers; a stand-in runs it all here."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ces_remote import ssh
from ces_remote.site import Site
from ces_remote.ssh import BackEnd, NotConnected, Unreachable

SSH = """#!/bin/bash
printf '%s\\0' "$@" >>"$CALLS"; echo >>"$CALLS"
case " $* " in
    *" -MNfT "*) test -z "$REFUSE" || { echo "$REFUSE" >&2; exit 255; }; exit 0 ;;
    *" -Oexit "* | *" -Ostop "*) exit 0 ;;
esac
test -z "$BREAK" || { echo "$BREAK" >&2; exit 255; }
echo "good morning"
exec sh -c "${@: -1}"
"""
SECRET = "t0ken $(id) 'x'"  # noqa: S105


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """A short one: the path of a socket may have 108 characters."""
    with tempfile.TemporaryDirectory(prefix="ces-") as directory:
        yield Path(directory)


@pytest.fixture
def back_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> BackEnd:
    for name in ("bin", "run", "home", "slurm"):
        (tmp_path / name).mkdir(mode=0o700)
    for name, text in (
        ("bin/ssh", SSH),
        ("slurm/squeue", "#!/bin/sh\ncat; echo; echo oh >&2; exit 3\n"),
    ):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    monkeypatch.setenv("CALLS", f"{tmp_path}/calls")
    monkeypatch.setenv("HOME", f"{tmp_path}/home")
    monkeypatch.setenv("XDG_RUNTIME_DIR", f"{tmp_path}/run")
    for name in ("REFUSE", "BREAK"):
        monkeypatch.setenv(name, "")
    return BackEnd(Site("island", "login", base=f"{tmp_path}/home", slurm_bin=f"{tmp_path}/slurm"))


def calls(tmp_path: Path) -> list[list[str]]:
    return [line.split("\0") for line in (tmp_path / "calls").read_text().split("\0\n") if line]


def test_nothing_of_a_request_is_an_argument(back_end: BackEnd, tmp_path: Path) -> None:
    given: dict[str, Any] = {
        "argv": ["squeue", SECRET],
        "place": SECRET,
        "environment": {"A": SECRET},
    }
    said = back_end.ask("run", feed=lambda stream: stream.write(SECRET.encode()), **given)
    assert (said["rc"], said["out"], said["err"]) == (3, f"{SECRET}\n", "oh\n")
    assert SECRET not in (tmp_path / "calls").read_text()


def test_what_holds_for_every_connection(back_end: BackEnd, tmp_path: Path) -> None:
    back_end.ask("run", argv=["squeue"])
    for words in calls(tmp_path):
        assert {
            "-oBatchMode=yes",
            "-oForwardAgent=no",
            "-oForwardX11=no",
            "-oClearAllForwardings=yes",
            "-oStrictHostKeyChecking=yes",
            "-oPermitLocalCommand=no",
            f"-oControlPath={tmp_path}/run/ces-remote/island/ssh",
        } <= set(words)
        assert words[words.index("--") + 1] == "login"


def test_a_way_that_is_not_there_is_remembered_and_explained(
    back_end: BackEnd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REFUSE", "ssh: connect to host login port 22: Connection refused")
    with pytest.raises(NotConnected, match="login does not answer"):
        back_end.ask("run", argv=["squeue"])
    monkeypatch.setenv("REFUSE", "")
    with pytest.raises(Unreachable, match="login does not answer"):
        back_end.ask("run", argv=["squeue"], patient=False)
    assert back_end.ask("run", argv=["squeue"])["rc"] == 3
    assert back_end.ask("run", argv=["squeue"], patient=False)["rc"] == 3


def test_a_connection_that_breaks_may_have_carried_the_request(
    back_end: BackEnd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BREAK", "client_loop: send disconnect: Broken pipe")
    with pytest.raises(Unreachable) as caught:
        back_end.ask("run", argv=["squeue"])
    assert not isinstance(caught.value, NotConnected)


def test_a_request_that_takes_too_long_is_given_up(back_end: BackEnd, tmp_path: Path) -> None:
    (tmp_path / "slurm" / "squeue").write_text("#!/bin/sh\nsleep 30\n")
    with pytest.raises(Unreachable, match="login does not answer"):
        back_end.ask("run", argv=["squeue"], timeout=0.2)
    # Slurm that does not answer is another thing: the back-end does
    (tmp_path / "slurm" / "squeue").write_text("#!/bin/sh\nexec sleep 30\n")
    said = back_end.ask("run", argv=["squeue"], timeout=3.0)
    assert "no answer from Slurm in 1 s" in said["err"]


def test_only_what_a_verb_needs_is_sent() -> None:
    assert [name for name, _text in ssh.program_of("poll")][1:] == [
        "ces_remote.protocol",
        "ces_remote.far",
    ]
    names = [name for name, _text in ssh.program_of("submit")]
    assert set(names) >= {"ces_remote.tree", "ces_remote.far_copy"}
    assert json.dumps(ssh.program_of("submit")).isascii()
