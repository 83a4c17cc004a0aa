# SPDX-License-Identifier: GPL-3.0-or-later
"""From a form to a card: jobs of the apps, as researchers launch them."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator

import pytest
from remote import Host, wait_until
from users import IMAGE, OVER, SITE, TOKEN, Session, User, read_card

DATED = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"
KEPT = {
    *(
        "output.log",
        "progress",
        "run",
        "user_defined_context.json",
        "ces",
        "ces/pull.sh",
        "ces/steps.sh",
    ),
    *("before.sh", "script.sh", "after.sh", "settings.sh"),
    *("job_script_content.sh", "job_script_options.json"),
}
"""What a session keeps in its directory."""


def test_a_greeting(alice: User) -> None:
    session = alice.launch("greetings_app", greeting="Grüß 'dich' $(touch canary) `id`").end()
    assert session.facts()["JobState"] == "COMPLETED"
    assert "Grüß 'dich' $(touch canary) `id` alice!" in session.log()
    assert session.outcome()["headline"] == "The greeting succeeded"
    assert "canary" not in session.files()


@pytest.fixture(scope="module")
def done(alice: User) -> Session:
    """A container that had all that a form can give it, and succeeded."""
    values = {
        "container_env": "HELLO_TRE=Servus $HOME\r\nOTHER='x y'",
        "container_args": "--name 'Ada \"L\" $(id)'\r\n--duration 1",
        "engine_args": "--hostname ada-s",
        "container_name": "",
        "cores": "2",
    }
    return alice.container(**values).end()


def test_the_job_itself_removes_what_it_was_given(done: Session) -> None:
    """Before the first card of its end: with that the portal removes what a job left."""
    assert done.files() == KEPT | {"connection.yml"}


def test_a_container_that_succeeded_is_told_as_such(done: Session) -> None:
    outcome = done.outcome()
    assert (outcome["headline"], outcome["State"], outcome["Exit code"]) == (
        "The container succeeded",
        "COMPLETED",
        "0",
    )
    assert outcome["Run time"].endswith(" s")
    assert outcome["Log"] == f"{done.directory}/output.log"
    assert done.facts()["JobState"] == "COMPLETED"


def test_it_got_what_the_form_said(done: Session) -> None:
    log = done.log()
    assert 'Servus $HOME Ada "L" $(id)!' in log
    assert "uid=0(root)" in log
    assert "/safe_data: write ok" in log
    record = json.loads(done.file("run/run.json"))
    assert record["name"] == f"hello-tre-{done.id}"
    assert record["slurm_job_id"] == str(done.job)
    assert "--hostname=ada-s" in record["command"]
    assert record["command"][-4:] == ["--name", 'Ada "L" $(id)', "--duration", "1"]


def test_its_outputs_are_where_the_card_says(done: Session, alice: User) -> None:
    outputs = done.outcome()["Outputs"]
    assert outputs == f"{alice.home}/outputs-{done.id}"
    assert (
        "This text is in safe_outputs.txt" in alice.run(f"cat {outputs}/safe_outputs.txt").ok().out
    )
    record = json.loads(done.file("run/run.json"))
    assert alice.run(f"ls -d {record['scratch']}").rc != 0


def test_what_was_typed_is_read_by_nobody_else(done: Session, alice: User, bob: User) -> None:
    """The portal keeps it in a file that all may read; here the home may be entered."""
    alice.run("chmod 711 ~").ok()
    cache = f"{alice.home}/ondemand/data/batch_connect/cache"
    assert "Servus" in alice.run(f"cat {cache}/*.json").ok().out
    assert alice.run(f"stat -c %a {cache}").ok().out.strip() == "700"
    seen = bob.run(f"cat {cache}/sys_batch_container_app.json")
    alice.run("chmod 700 ~").ok()
    assert seen.rc != 0 and "Permission denied" in seen.err


def test_the_log_says_which_step_what_ran_and_where(done: Session, alice: User) -> None:
    log = done.log()
    for said in (
        rf"{DATED} before\.sh: pull: ces-pull podman {re.escape(IMAGE)}",
        rf"{DATED} script\.sh: run: ces-run podman .*--cores 2 .*--name hello-tre-{done.id} ",
        rf"{DATED} script\.sh: run: /safe_outputs is {alice.home}/outputs-{done.id}",
        r"ces-run: running: podman run ",
        rf"{DATED} script\.sh: run: ended with exit status 0; outputs are in {alice.home}/outputs-",
    ):
        assert re.search(rf"^{said}", log, re.M), said


def test_slurm_has_the_job_under_the_images_name_with_the_clusters_limits(done: Session) -> None:
    facts = done.facts()
    assert facts["JobName"] == "hello-tre:1.0"
    assert facts["TimeLimit"] == "06:00:00"
    assert facts["Partition"] == "batch"
    assert (facts["NumNodes"], facts["CPUs/Task"], facts["MinMemoryNode"], facts["Requeue"]) == (
        "1",
        "2",
        "1G",
        "0",
    )
    assert facts["WorkDir"] == done.directory


def test_nothing_is_left_but_what_a_user_may_want(done: Session) -> None:
    # the portal has shown its end, and seen to the rest
    done.outcome()
    assert done.files() == KEPT


def test_a_container_that_failed_is_told_as_failed(alice: User) -> None:
    session = alice.container(container_args="--no-such-option").end()
    outcome = session.outcome()
    assert (outcome["headline"], outcome["State"], outcome["Exit code"]) == (
        "The container failed",
        "FAILED",
        "2",
    )
    assert outcome["Reason"] == "the container exited with 2"
    assert session.facts()["JobState"] == "FAILED"


def test_an_image_that_is_not_there_is_told(bob: User) -> None:
    """By the job, of a cluster for which the form asks nobody."""
    image = IMAGE.replace(":1.0", ":no-such")
    session = bob.container(cluster="tre-small", image=image, project="proj2").end()
    outcome = session.outcome()
    assert (outcome["headline"], outcome["Step"]) == ("The container failed", "pull")
    assert re.fullmatch(
        r"The image could not be fetched\. Could not find image \S+no-such: the registry has"
        r" no such image or tag\. Check the image's name and tag\.",
        outcome["Reason"],
    )
    assert "registry-token" not in session.files()


def test_an_option_that_the_site_does_not_allow_is_told(alice: User) -> None:
    outcome = alice.container(engine_args="--privileged").end().outcome()
    assert outcome["headline"] == "The container failed"
    assert outcome["Reason"].startswith(
        "The container was not started. Could not pass --privileged to podman: the option is not"
    )


def test_while_it_runs_the_card_says_so_and_cancelling_stops_it(alice: User, node: Host) -> None:
    session = alice.container(container_args="--duration 60", container_name="mine")
    session.wait_for("RUNNING")
    wait_until(lambda: "Servus" in session.log() or "Hello" in session.log(), "its first line", 60)
    card = session.card()
    assert "The container runs on node1." in card["view"]
    said = read_card(card["info"])
    assert (said["Cluster"], said["Image"]) == ("The cluster of the test bed", IMAGE)
    assert (said["Container name"], said["Project"]) == ("mine", "proj1")
    assert said["Log"] == f"{session.directory}/output.log"
    another = alice.container(container_name="mine").end().outcome()
    assert another["headline"] == "The container failed"
    assert "write another Container name" in another["Reason"]
    alice.run(f"scancel {session.job}").ok()
    session.end()
    outcome = session.outcome()
    assert (outcome["headline"], outcome["State"]) == ("The container was cancelled", "CANCELLED")
    record = json.loads(session.file("run/run.json"))
    assert (record["state"], record["rc"]) == ("CANCELLED", 143)
    assert alice.run(f"ls -d {record['scratch']}").rc != 0
    assert node.run("alice", f"podman ps -aq --filter name={session.id}").ok().out == ""
    assert session.files().isdisjoint({"registry-token", "arguments.txt"})


@pytest.fixture
def closed(portal: Host) -> Iterator[None]:
    """The partition starts no jobs."""
    portal.root("scontrol update partition=batch state=down")
    yield
    portal.root("scontrol update partition=batch state=up")


def test_a_job_that_is_cancelled_while_it_waits_leaves_no_token(alice: User, closed: None) -> None:
    session = alice.container()
    assert "registry-token" in session.files()
    alice.run(f"scancel {session.job}").ok()
    session.wait_for(*OVER)
    assert "ended before it began" in session.outcome()["Reason"]
    assert "registry-token" not in session.files()


def test_gpus_are_asked_of_slurm(alice: User) -> None:
    session = alice.container(gpus="1")
    facts = session.wait_for(*OVER)
    assert facts["TresPerNode"] in ("gres/gpu:1", "gres:gpu:1")
    assert "ces-run podman" in session.log() and "--gpu " in session.log()


CREDENTIALS = {"registry_token": "", "image": IMAGE}


@pytest.fixture
def token_file(alice: User) -> Iterator[str]:
    name = "my own token"
    alice.run(f"umask 077; cat >{shlex.quote(name)}", stdin=TOKEN).ok()
    yield name
    alice.run(f"rm -f {shlex.quote(name)}")


def removed(alice: User, node: Host) -> None:
    node.run("alice", f"ces-rm podman {IMAGE}")


def test_a_token_in_a_file_of_ones_own(alice: User, node: Host, token_file: str) -> None:
    removed(alice, node)
    session = alice.container(**CREDENTIALS, credentials_file=f"~/{token_file}").end()
    assert session.outcome()["headline"] == "The container succeeded"
    assert alice.run(f"cat {shlex.quote(token_file)}").out == TOKEN


def test_a_login_as_podman_writes_it(alice: User, node: Host) -> None:
    removed(alice, node)
    login = [
        "podman",
        "login",
        "--username",
        SITE["testbed_registry_user"],
        "--password-stdin",
        "--authfile",
        "auth.json",
    ]
    node.command("alice", *login, SITE["testbed_registry"], stdin=TOKEN).ok()
    session = alice.container(**CREDENTIALS, registry_user="", credentials_file="~/auth.json").end()
    alice.run("rm auth.json").ok()
    assert session.outcome()["headline"] == "The container succeeded"


def test_a_file_that_others_can_read_is_refused(alice: User, token_file: str) -> None:
    alice.run(f"chmod 644 {shlex.quote(token_file)}").ok()
    outcome = alice.container(**CREDENTIALS, credentials_file=f"~/{token_file}").end().outcome()
    assert outcome["headline"] == "The container failed"
    assert (
        "Others can read the credentials file" in outcome["Reason"]
        and "chmod 600" in outcome["Reason"]
    )


def test_apptainer_and_its_file_in_the_home_directory(alice: User, node: Host) -> None:
    session = alice.container(runner="apptainer").end()
    assert session.outcome()["headline"] == "The container succeeded", session.log()
    assert alice.run("readlink hello-tre:1.0.sif").rc == 0
    again = alice.container(runner="apptainer", reuse_sif="1", container_args="--name Ada").end()
    assert again.outcome()["headline"] == "The container succeeded", again.log()
    assert "Goodbye Ada!" in again.log()
    assert "the registry is not asked" in again.log()
    assert json.loads(again.file("run/run.json"))["image"] == f"{alice.home}/hello-tre:1.0.sif"
    alice.run("rm hello-tre:1.0.sif").ok()


def test_who_is_in_several_projects_chooses_one(bob: User) -> None:
    outcome = bob.container().end().outcome()
    assert outcome["headline"] == "The container failed"
    assert "there are several: proj1, proj2. Write one of them into Project." in outcome["Reason"]
    session = bob.container(project="proj2").end()
    assert session.outcome()["headline"] == "The container succeeded"
    mounts = json.loads(session.file("run/run.json"))["mounts"]
    assert mounts[0]["source"] == "/safe_data/proj2"


def test_a_form_that_is_wrong_is_refused_before_there_is_a_job(alice: User) -> None:
    answer = alice.try_launch("batch_container_app", image=IMAGE, cores="3", memory="1")
    assert "Cores: The cluster of the test bed allows at most 2." in answer["error"]
    assert alice.run("squeue -h -u alice").ok().out == ""
