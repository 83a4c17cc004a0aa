# SPDX-License-Identifier: GPL-3.0-or-later
"""A back-end with homes of its own: what is launched on the portal runs there, and is seen here."""

from __future__ import annotations

import shlex
import statistics
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest
from conftest import IMAGE, SITE, TOKEN, Session, User
from remote import Done, Host, wait_until

COMMANDS = "/usr/local/lib/tre-ces-remote/clusters/island"
TICKETS = ".local/state/ces/remote/island"
# as the portal asks for a job's state: fields end with a character that no value has
FIELDS = "JobID:\x1f,StateCompact:\x1f,State:\x1f"
SECRET = 'one-shot $(id) `id` "it\'s"'  # noqa: S105  what must be seen nowhere


@dataclass(frozen=True)
class Job:
    """A job on the island, with its directory on the portal."""

    user: Traveller
    id: str
    directory: str

    def poll(self) -> Done:
        """As the portal does it for a card."""
        words = ["--all", "--states=all", "--noconvert", "-O", FIELDS, "-j", self.id]
        return self.user.slurm("squeue", *words)

    def state(self) -> str:
        """What the portal would make of it: nothing is an error, which counts as undetermined."""
        done = self.poll()
        if done.rc != 0:
            # Slurm has forgotten it
            return "CD" if "Invalid job id" in done.err else ""
        row = [line for line in done.out.split("\n") if line.startswith(self.id)]
        return row[0].split("\x1f")[1].strip() if row else "CD"

    def wait_for(self, *states: str, seconds: float = 40) -> None:
        wait_until(lambda: self.state() in states, f"{self.id} to be {states}", seconds)

    def end(self) -> None:
        self.wait_for("CD", "F", "CA", "TO")

    def file(self, name: str) -> str:
        return self.user.here(f"cat {shlex.quote(f'{self.directory}/{name}')}").out

    def is_open(self) -> bool:
        return self.user.here(f"test -e {TICKETS}/{self.id}.json").rc == 0


@dataclass(frozen=True)
class Traveller:
    """A user of the portal, who has an account and a home on the island too."""

    name: str
    portal: Host
    island: Host

    @property
    def home(self) -> str:
        return f"/home/{self.name}"

    def here(self, script: str, stdin: str = "", timeout: float = 60) -> Done:
        return self.portal.run(self.name, script, stdin, timeout)

    def there(self, script: str, stdin: str = "") -> Done:
        return self.island.run(self.name, script, stdin)

    def slurm(self, command: str, *words: str, stdin: str = "", before: str = "") -> Done:
        """A command of Slurm as the portal's server calls it, which has no session."""
        line = shlex.join([f"{COMMANDS}/{command}", *words])
        return self.here(f"unset XDG_RUNTIME_DIR; {before} {line}", stdin)

    def stage(self, prepare: str = "true") -> str:
        """A session's directory, as the portal makes one."""
        directory = f"{self.home}/ondemand/data/sys/dashboard/batch_connect/test/{uuid.uuid4()}"
        self.here(
            f"mkdir -p {directory} && chmod 700 {directory} && cd {directory} && {prepare}"
        ).ok()
        return directory

    def try_submit(self, directory: str, script: str, *options: str, before: str = "") -> Done:
        words = ["-D", directory, "-J", "a job", "-o", f"{directory}/output.log", *options]
        text = f"#!/bin/bash\ncd {directory}\n{script}\n"
        return self.slurm("sbatch", *words, "--parsable", stdin=text, before=before)

    def submit(self, script: str, *options: str, prepare: str = "true") -> Job:
        directory = self.stage(prepare)
        done = self.try_submit(directory, script, "--export", "NONE", *options).ok()
        return Job(self, done.out.strip(), directory)

    def with_secret(self) -> str:
        return f"umask 077; printf %s {shlex.quote(SECRET)} >registry-token"

    def traces(self, word: str) -> str:
        """Files of either side that hold a word."""
        places = "/home /tmp /var/tmp /run/user /var/log /var/spool /var/lib/slurm /etc/ces"
        look = f"grep -rlF --devices=skip -e {shlex.quote(word)} {places} 2>/dev/null; true"
        return self.portal.root(look) + self.island.root(look)

    def processes(self, word: str) -> str:
        """Processes of either side that have a word among their arguments."""
        look = "grep -lFz -f - /proc/[0-9]*/cmdline 2>/dev/null; true"
        return self.portal.root(look, stdin=word) + self.island.root(look, stdin=word)


@pytest.fixture(scope="module")
def island(hosts: dict[str, Host]) -> Host:
    return hosts["island"]


@pytest.fixture(scope="module")
def carol(portal: Host, island: Host) -> Traveller:
    """A researcher who has done what the check says."""
    user = Traveller("carol", portal, island)
    make_key(user)
    # she is in no project
    user.there("mkdir -p safe_data").ok()
    user.here("ces-remote check").ok()
    return user


@pytest.fixture
def dave(portal: Host, island: Host) -> Iterator[Traveller]:
    """A user who has done nothing yet."""
    user = Traveller("dave", portal, island)
    yield user
    user.here("rm -f .ssh/id_ed25519*")


def make_key(user: Traveller, *, accepted: bool = True, passphrase: str = "") -> None:
    make = f"mkdir -p -m 700 .ssh; ssh-keygen -q -t ed25519 -N '{passphrase}' -f .ssh/id_ed25519"
    key = user.here(f"test -e .ssh/id_ed25519 || {{ {make}; }}; cat .ssh/id_ed25519.pub").ok().out
    if accepted:
        user.there(
            "grep -qxF -f - .ssh/authorized_keys || exit 1", stdin=key
        ).rc == 0 or user.there("cat >>.ssh/authorized_keys", stdin=key).ok()


def stop_ssh(user: Traveller) -> None:
    """The island is not to be reached by its users, and their connections are gone."""
    user.island.root(
        "systemctl stop ssh.socket ssh.service 2>/dev/null; pkill -KILL -u carol sshd; true"
    )


def start_ssh(user: Traveller) -> None:
    user.island.root("systemctl start ssh")
    user.here("rm -f /tmp/ces-remote-*/*/down /run/user/*/ces-remote/*/down 2>/dev/null; true")


@pytest.fixture
def cut(carol: Traveller) -> Iterator[None]:
    """Whatever happens, the island is there again for the next."""
    yield
    start_ssh(carol)


# --- a launch from the form to the card ----------------------------------------------------------


def test_a_container_runs_there_and_how_it_ended_is_seen_here(carol: Traveller) -> None:
    user = User.named("carol", carol.portal)
    login = {"registry_user": SITE["testbed_registry_user"], "registry_token": TOKEN}
    answer = user.try_launch(
        "batch_container_app",
        cluster="island",
        image=IMAGE,
        memory="1",
        container_args="--name Ada",
        **login,
    )
    assert "error" not in answer, answer
    job = Job(carol, answer["job"], answer["directory"])
    session = Session(user, "batch_container_app", answer["id"], answer["directory"], int(job.id))
    assert "registry-token" not in session.files(), "it is there now, and was here"
    job.end()
    outcome = session.outcome()
    assert outcome["State"] == "COMPLETED", (outcome, session.log())
    assert outcome["Exit code"] == "0"
    assert "Goodbye Ada!" in session.log()
    # what the container wrote, in this side's home, where the card leads
    assert outcome["Outputs"] == f"/home/carol/outputs-{session.id}"
    assert "This text is in" in carol.here(f"cat {outcome['Outputs']}/safe_outputs.txt").ok().out
    assert not job.is_open()
    assert carol.traces(TOKEN) == ""
    # what the container was given is no one's business either, on this side as on the other
    gone = {"registry-token", "options.txt", "environment.txt", "arguments.txt"}
    assert not gone & session.files()
    there = carol.there(f"ls {shlex.quote(session.directory)}").ok().out.split()
    assert not gone & set(there)


def test_a_container_that_fails_there_is_seen_to_have_failed_here(carol: Traveller) -> None:
    user = User.named("carol", carol.portal)
    answer = user.try_launch(
        "batch_container_app",
        cluster="island",
        image=IMAGE,
        memory="1",
        container_args="--nonsense",
    )
    assert "error" not in answer, answer
    job = Job(carol, answer["job"], answer["directory"])
    job.end()
    session = Session(user, "batch_container_app", answer["id"], answer["directory"], int(job.id))
    outcome = session.outcome()
    assert outcome["State"] == "FAILED", (outcome, session.log())
    assert outcome["Exit code"] not in ("0", "")


# --- while it runs -------------------------------------------------------------------------------


def test_log_and_connection_are_here_while_it_runs_and_a_cancelled_job_is_seen_to(
    carol: Traveller,
) -> None:
    job = carol.submit(
        "echo one; printf 'host: %s\\nport: 1\\n' $(hostname) >connection.yml; sleep 2; echo two;"
        " mkdir left; echo kept >left/behind; sleep 300",
    )
    job.wait_for("R")
    wait_until(lambda: job.state() == "R" and job.file("output.log") == "one\n", "the first line")
    assert job.file("connection.yml") == "host: island\nport: 1\n"
    assert carol.here(f"stat -c %a {job.directory}/connection.yml").out == "600\n"
    wait_until(lambda: job.state() == "R" and job.file("output.log") == "one\ntwo\n", "the next")
    carol.slurm("scancel", job.id).ok()
    # the portal does not ask any more
    wait_until(lambda: not job.is_open(), "the files of a cancelled job")
    assert job.file("left/behind") == "kept\n"
    assert job.file("output.log").startswith("one\ntwo\n")
    assert job.state() == "CA"


def test_files_that_options_name_and_variables(carol: Traveller) -> None:
    directory = carol.stage("mkdir sub")
    words = ["-e", f"{directory}/sub/errors.log", "--export", "GREETING,ABSENT"]
    done = carol.try_submit(
        directory,
        'echo "$GREETING"; env | grep -c UNNAMED; echo oh >&2; pwd',
        *words,
        before="export GREETING='a \"$b\" '\"'\"'c'\"'\"'' UNNAMED=x;",
    ).ok()
    job = Job(carol, done.out.strip(), directory)
    job.end()
    assert job.file("output.log") == f"a \"$b\" 'c'\n0\n{directory}\n"
    assert job.file("sub/errors.log") == "oh\n"


def test_what_sbatch_there_says_is_said_here(carol: Traveller) -> None:
    directory = carol.stage(carol.with_secret())
    done = carol.try_submit(directory, "true", "-p", "nonesuch")
    assert done.rc == 1
    assert "sbatch: error: invalid partition specified: nonesuch" in done.err
    assert done.out == ""
    assert carol.traces(SECRET) == ""
    assert carol.there(f"test -e {directory}").rc != 0, "nothing of it stays"


def test_other_commands_are_passed_on(carol: Traveller) -> None:
    job = carol.submit("true", "-H")
    assert f"JobId={job.id} " in carol.slurm("scontrol", "show", "job", job.id).ok().out
    carol.slurm("scontrol", "release", job.id).ok()
    job.end()
    assert carol.slurm("sinfo", "-aho", "%F/%C").ok().out.count("/") == 7
    done = carol.slurm("sacct", "-j", job.id)
    assert (done.rc, done.out) == (1, "")
    assert "accounting storage is disabled" in done.err
    done = carol.slurm("scancel", "nonsense")
    assert (done.rc, done.out) == (1, "")
    assert "Invalid job id nonsense" in done.err


# --- hostile contents ----------------------------------------------------------------------------

NAMES = ["a\nb", "-rf", "$(touch caught)", 'it\'s "quoted"', "\udcff\udcfe", " ", "*", "..."]


def test_names_and_links_lead_nowhere(carol: Traveller) -> None:
    make = "; ".join(f"printf x >./{shlex.quote(name)}" for name in NAMES)
    links = (
        "ln -s /etc/passwd passwd; ln -s .. up; ln -s ~/.ssh keys; mkfifo pipe; ln -s ~/.bashrc rc;"
        " mkdir -m 500 closed; mkdir -p deep/er; ln -s ../../.. deep/er/top"
    )
    job = carol.submit(
        f"mkdir made; cd made; {make}; {links}; cd ..; rm -rf sent; ln -s ~/.ssh sent;"
        " ln -s ~/.ssh/authorized_keys output.txt; find . -type l | sort >links.txt",
        prepare=f"mkdir sent; cd sent; {make}; {links}; cd ..; ln -s ~/.ssh other",
    )
    arrived = carol.there(f"cd {job.directory}; find . -type l").out
    assert "other" not in arrived, "links stay where they are"
    job.end()
    look = f"cd {job.directory}/made && find . -mindepth 1 -maxdepth 1 -printf '%f\\0'"
    here = set(carol.here(look).ok().out.rstrip("\0").split("\0"))
    assert here == {*NAMES, "closed", "deep"}
    assert "sent" in job.file("links.txt"), "it had become a link there"
    assert carol.here(f"test -d {job.directory}/sent -a ! -L {job.directory}/sent").rc == 0
    assert carol.here(f"find {job.directory} -name caught -o -name output.txt").out == ""
    assert carol.here("find ~/.ssh -newer ~/.ssh/id_ed25519.pub -name '*x*'").out == ""


def test_what_is_no_jobs_directory_is_not_copied(carol: Traveller) -> None:
    for directory in ("/home/carol", "/home/carol/.ssh", "/home", "/tmp", "relative"):
        done = carol.try_submit(directory, "true")
        assert (done.rc, done.out) == (1, "")
        assert "directory of the job" in done.err
    large = carol.stage("truncate -s 101M large")
    done = carol.try_submit(large, "true")
    assert done.rc == 1
    assert "at most 100 MiB" in done.err
    carol.here(f"rm -rf {large}")


def test_more_than_the_site_allows_stays_there_and_the_log_says_so(carol: Traveller) -> None:
    job = carol.submit("echo first; head -c 101M /dev/zero >much; echo small >few")
    job.end()
    log = job.file("output.log")
    assert log.startswith("first\n")
    assert "at most 100.0 MiB are brought here: it is on island" in log
    assert carol.here(f"ls {job.directory}").out.split() == ["output.log"]
    carol.there(f"rm -rf {job.directory}")


def test_where_the_site_wants_it_nothing_stays_there(carol: Traveller) -> None:
    settings = "/etc/ces/remote/island.json"
    change = (
        "import json,sys; s=json.load(open(sys.argv[1])); s['remove']=True; print(json.dumps(s))"
    )
    keep = f"cp {settings} /root/kept && python3 -c {shlex.quote(change)} /root/kept >{settings}"
    carol.portal.root(keep)
    try:
        job, other = carol.submit("echo all >of-it"), carol.submit(
            "ln -s /etc own; echo most >of-it"
        )
        job.end()
        other.end()
    finally:
        carol.portal.root(f"mv /root/kept {settings}")
    assert job.file("of-it") == "all\n"
    assert carol.there(f"test -e {job.directory}").rc != 0
    assert other.file("of-it") == "most\n"


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


# --- secrets -------------------------------------------------------------------------------------


def test_a_job_that_never_began_leaves_no_token(carol: Traveller) -> None:
    job = carol.submit("true", "-H", prepare=carol.with_secret())
    assert carol.there(f"cat {job.directory}/registry-token").ok().out == SECRET
    assert (
        carol.there(f"stat -c %a {job.directory} {job.directory}/registry-token").out
        == "700\n600\n"
    )
    assert carol.here(f"test -e {job.directory}/registry-token").rc != 0
    assert carol.traces(SECRET) == f"{job.directory}/registry-token\n"
    assert carol.processes(SECRET) == ""
    carol.slurm("scancel", job.id).ok()
    wait_until(lambda: not job.is_open(), "the end of a job that never began")
    assert carol.traces(SECRET) == ""


def test_a_session_that_its_user_has_removed_leaves_no_token_there(carol: Traveller) -> None:
    job = carol.submit("true", "-H", prepare=carol.with_secret())
    carol.here(f"rm -rf {job.directory}").ok()
    carol.slurm("scancel", job.id).ok()
    wait_until(lambda: not job.is_open(), "the end of it")
    assert carol.traces(SECRET) == ""


def test_a_submission_that_is_killed_leaves_no_token_and_no_job(carol: Traveller) -> None:
    directories = []
    for pause in (0, 0.2, 0.5):
        directory = carol.stage(f"{carol.with_secret()}; head -c 90M /dev/urandom >large")
        words = [f"{COMMANDS}/sbatch", "-D", directory, "--parsable"]
        begun = f"until ls ~/{TICKETS}/submitting-* >/dev/null 2>&1; do sleep 0.01; done"
        line = (
            f"{shlex.join(words)} >out 2>&1 & {begun}; sleep {pause}; kill -KILL $!; wait; cat out"
        )
        said = carol.here(f"cd {directory}; {line}", stdin="#!/bin/sh\ntrue\n")
        assert said.out == "", "it was killed before it could say the job's number"
        directories.append(directory)
    # whatever had arrived by then: the next look sees to both sides
    carol.here("sleep 1; ces-remote fetch").ok()
    assert carol.traces(SECRET) == ""
    known = carol.island.root("squeue --noheader --format=%Z").split()
    assert not set(directories) & set(known)
    assert carol.here(f"ls {TICKETS} | grep -E 'lost|submitting'").out == ""
    carol.here(f"rm -rf {shlex.join(directories)}")
    carol.there(f"rm -rf {shlex.join(directories)}")


# --- many ----------------------------------------------------------------------------------------


def test_twenty_submissions_at_once(carol: Traveller) -> None:
    def one(number: int) -> Job:
        directory = carol.stage(f"{carol.with_secret()}; echo {number} >number")
        done = carol.try_submit(directory, "cat number; rm registry-token").ok()
        return Job(carol, done.out.strip(), directory)

    begin = time.monotonic()
    with ThreadPoolExecutor(10) as pool:
        jobs = list(pool.map(one, range(20)))
        print(f"\n20 submissions at once: {time.monotonic() - begin:.1f} s")
        assert len({job.id for job in jobs}) == 20
        time.sleep(2)
        list(pool.map(Job.end, jobs))
    print(f"and until all of them were seen to have ended: {time.monotonic() - begin:.1f} s")
    assert [job.file("output.log") for job in jobs] == [f"{number}\n" for number in range(20)]
    assert not any(job.is_open() for job in jobs)
    assert carol.traces(SECRET) == ""


def test_the_connection_is_kept_between_polls(carol: Traveller) -> None:
    script = (
        "import subprocess, sys, time, glob, os\n"
        f"squeue = ['{COMMANDS}/squeue', '--all', '-j', '1']\n"
        "def took():\n"
        "    begin = time.monotonic()\n"
        "    subprocess.run(squeue, capture_output=True)\n"
        "    return (time.monotonic() - begin) * 1000\n"
        "def alone():\n"
        "    for path in glob.glob(f'/run/user/{os.getuid()}/ces-remote/*/ssh'):\n"
        "        argv = ['ssh', '-Oexit', f'-oControlPath={path}', 'island']\n"
        "        subprocess.run(argv, capture_output=True)\n"
        "    return took()\n"
        "print(*[alone() for _ in range(5)])\n"
        "took()\n"
        "print(*[took() for _ in range(5)])\n"
    )
    said = carol.here(f"python3 -c {shlex.quote(script)}", timeout=60).ok().out
    alone, kept = (statistics.median(map(float, line.split())) for line in said.splitlines())
    print(
        f"\nsqueue: {alone:.0f} ms with a new connection, {kept:.0f} ms with the one that is there"
    )
    assert kept < alone
    sockets = carol.here("stat -c '%a %U' /run/user/$(id -u)/ces-remote /tmp/ces-remote-$(id -u)")
    assert set(sockets.out.splitlines()) == {"700 carol"}


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
