# SPDX-License-Identifier: GPL-3.0-or-later
"""The way to a back-end with homes of its own: it is down, or does not let its user in."""

from __future__ import annotations

import time

import pytest
from island import SECRET, TICKETS, Traveller, make_key, start_ssh, stop_ssh
from remote import wait_until
from users import User

# --- when it does not answer ---------------------------------------------------------------------


@pytest.mark.usefixtures("cut")
def test_a_back_end_that_is_down_at_submission(carol: Traveller) -> None:
    directory = carol.stage(carol.with_secret())
    stop_ssh(carol)
    done = carol.try_submit(directory, "true")
    assert (done.rc, done.out) == (1, "")
    assert "island does not answer" in done.err
    assert "ces-remote check island" in done.err
    assert carol.traces(SECRET) == ""
    check = carol.here("ces-remote check island")
    assert check.rc == 1
    assert "does not answer" in check.out
    start_ssh(carol)
    carol.here("ces-remote fetch").ok()
    assert carol.here(f"ls {TICKETS} | grep lost").out == ""


@pytest.mark.usefixtures("cut")
def test_a_back_end_that_goes_down_while_a_job_runs_and_when_it_ends(carol: Traveller) -> None:
    job = carol.submit("echo begun; sleep 3; echo ended")
    job.wait_for("R")
    stop_ssh(carol)
    done = job.poll()
    assert (done.rc, done.out) == (1, "")
    assert "does not answer" in done.err
    begin = time.monotonic()
    assert job.poll().rc == 1
    assert time.monotonic() - begin < 1, "the next cards do not wait for it once more"
    wait_until(
        lambda: "JobState=COMPLETED" in carol.island.root(f"scontrol show job {job.id}"), "its end"
    )
    assert job.state() == ""
    start_ssh(carol)
    job.end()
    assert job.file("output.log") == "begun\nended\n"


@pytest.mark.usefixtures("cut")
def test_an_ended_job_is_undetermined_until_its_files_are_here(carol: Traveller) -> None:
    job = carol.submit("echo done")
    wait_until(
        lambda: "JobState=COMPLETED" in carol.island.root(f"scontrol show job {job.id}"), "its end"
    )
    # nothing can be written where the files are to come
    carol.here(f"chmod 500 {job.directory}").ok()
    done = job.poll()
    assert (done.rc, done.out) == (1, "")
    assert "is being brought here" in done.err
    carol.here(f"chmod 700 {job.directory}").ok()
    job.end()
    assert job.file("output.log") == "done\n"


def test_what_nobody_asks_for_is_brought_with_the_next_look(carol: Traveller) -> None:
    job = carol.submit("echo forgotten")
    wait_until(
        lambda: "JobState=COMPLETED" in carol.island.root(f"scontrol show job {job.id}"), "its end"
    )
    carol.here(f"rm -f {TICKETS}/swept")
    carol.slurm("squeue", "--all").ok()
    wait_until(lambda: not job.is_open(), "the sweep")
    assert job.file("output.log") == "forgotten\n"


# --- the way there -------------------------------------------------------------------------------


def test_without_a_key_the_page_says_what_to_do(dave: Traveller) -> None:
    dave.here("rm -f .ssh/id_*")
    answer = User.named("dave", dave.portal).try_launch("greetings_app", cluster="island")
    assert "you have no ssh key" in answer["error"]
    assert "ssh-keygen -t ed25519 -N '' -f ~/.ssh/id_ed25519" in answer["error"]
    assert "ssh-copy-id -i ~/.ssh/id_ed25519.pub dave@island" in answer["error"]
    check = dave.here("ces-remote check")
    assert check.rc == 1
    assert "you have no ssh key" in check.out


@pytest.mark.parametrize(
    ("passphrase", "said", "way"),
    [
        (
            "",
            "does not accept your ssh key",
            "ssh-copy-id -i /home/dave/.ssh/id_ed25519.pub dave@island",
        ),
        ("long enough", "has a passphrase", "ssh-keygen -p -N '' -f /home/dave/.ssh/id_ed25519"),
    ],
)
def test_a_key_that_is_of_no_use(dave: Traveller, passphrase: str, said: str, way: str) -> None:
    dave.here("rm -f .ssh/id_*")
    make_key(dave, accepted=False, passphrase=passphrase)
    check = dave.here("ces-remote check island")
    assert check.rc == 1
    assert said in check.out
    assert way in check.out


def test_a_host_key_that_nobody_vouches_for(carol: Traveller) -> None:
    keys = "/etc/ces/remote/known_hosts"
    carol.portal.root(f"mv {keys} {keys}.away")
    try:
        # a connection that is there already proves nothing
        check = carol.here("rm -rf /run/user/$(id -u)/ces-remote; ces-remote check island")
        assert check.rc == 1
        assert "the host key of island is not known here" in check.out
        assert "ood_apps_remote_host_keys" in check.out
        other = "umask 077; ssh-keygen -q -t ed25519 -N '' -f other; cut -d' ' -f1,2 other.pub"
        key = carol.here(f"{other}; rm -f other other.pub").ok().out.strip()
        carol.portal.root(f"echo island {key} >{keys}")
        check = carol.here("ces-remote check island")
        assert check.rc == 1
        assert "shows another host key than it used to" in check.out
    finally:
        carol.portal.root(f"mv {keys}.away {keys}")
    assert "all is well" in carol.here("ces-remote check island").ok().out
