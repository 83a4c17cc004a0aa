# SPDX-License-Identifier: GPL-3.0-or-later
"""A back-end with homes of its own: what is launched on the portal runs there, and is seen here."""

from __future__ import annotations

import shlex
import statistics
import time
from concurrent.futures import ThreadPoolExecutor

from island import COMMANDS, SECRET, TICKETS, Job, Traveller
from remote import wait_until
from users import TOKEN

# --- a launch from the form to the card ----------------------------------------------------------


def test_a_container_runs_there_and_how_it_ended_is_seen_here(carol: Traveller) -> None:
    job, session = carol.launch_container(container_args="--name Ada")
    assert "registry-token" not in session.files(), "it is there now, and was here"
    job.end()
    # The job removed what the container was given, on both sides. The card comes later: with it
    # the portal removes what a job left.
    gone = {"registry-token", "options.txt", "environment.txt", "arguments.txt"}
    assert not gone & session.files()
    there = carol.there(f"ls {shlex.quote(session.directory)}").ok().out.split()
    assert not gone & set(there)
    outcome = session.outcome()
    assert outcome["State"] == "COMPLETED", (outcome, session.log())
    assert outcome["Exit code"] == "0"
    assert "Goodbye Ada!" in session.log()
    # what the container wrote, in this side's home, where the card leads
    assert outcome["Outputs"] == f"/home/carol/outputs-{session.id}"
    assert "This text is in" in carol.here(f"cat {outcome['Outputs']}/safe_outputs.txt").ok().out
    assert not job.is_open()
    assert carol.traces(TOKEN) == ""


def test_a_container_that_fails_there_is_seen_to_have_failed_here(carol: Traveller) -> None:
    job, session = carol.launch_container(container_args="--nonsense")
    job.end()
    outcome = session.outcome()
    assert outcome["State"] == "FAILED", (outcome, session.log())
    assert outcome["Exit code"] not in ("0", "")


# --- while it runs -------------------------------------------------------------------------------


def test_log_and_connection_are_here_while_it_runs_and_a_cancelled_job_is_seen_to(
    carol: Traveller,
) -> None:
    job = carol.submit(
        "echo one; printf 'host: %s\\nport: 1\\n' $(hostname) >connection.yml;"
        " until test -e go; do sleep 0.1; done; echo two; mkdir left; echo kept >left/behind;"
        " sleep 300",
    )
    job.wait_for("R")
    wait_until(lambda: job.state() == "R" and job.file("output.log") == "one\n", "the first line")
    # a look may come between the two
    connection = "host: island\nport: 1\n"
    wait_until(lambda: job.state() == "R" and job.file("connection.yml") == connection, "the other")
    assert carol.here(f"stat -c %a {job.directory}/connection.yml").out == "600\n"
    carol.there(f"touch {job.directory}/go").ok()
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
        # one that was killed before has left a file of that name, too
        mine = f"find ~/{TICKETS} -name 'submitting-*' -newer ~/stamp | grep -q ."
        begun = f"until {mine}; do sleep 0.01; done"
        killed = f"sleep {pause}; kill -KILL $!; wait; cat out"
        line = f"touch ~/stamp; {shlex.join(words)} >out 2>&1 & {begun}; {killed}"
        said = carol.here(f"cd {directory}; {line}", stdin="#!/bin/sh\ntrue\n")
        assert said.out == "", "it was killed before it could say the job's number"
        directories.append(directory)
    # whatever had arrived by then, or arrives later: the next looks see to both sides
    open_ones = f"ces-remote fetch >/dev/null; ls {TICKETS} | grep -E 'lost|submitting'"
    wait_until(lambda: carol.here(open_ones).out == "", "all of them to be cleared away", 60)
    assert carol.traces(SECRET) == ""
    known = carol.island.root("squeue --noheader --format=%Z").split()
    assert not set(directories) & set(known)
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
