# SPDX-License-Identifier: GPL-3.0-or-later
"""``ces-run`` and ``ces-gpu-run``."""

from __future__ import annotations

import os

from ces.json_text import dumps_lines
from ces.services.run import planned, run_container
from ces.shown import shown
from ces.system.files import read_text
from ces.system.system import System
from ces.values.image import Image, parse_image
from ces.values.quantities import gpu_count
from ces.values.record import RunRecord
from ces.values.spec import Directories, RunSpec
from ces.values.words import expandable, parse_env, split

from ces_commands.doors.common import runner_for, spell, system_for
from ces_commands.parse import Parsed


def main(parsed: Parsed) -> int:
    """Run a container; the exit status is the container's."""
    if parsed.text("job") is not None:
        return _job(parsed)
    system = system_for(parsed, echo=not parsed.on("json"))
    spec = _spec(parsed, parse_image(parsed.operands[0], os.getcwd()), system)
    if parsed.on("dry_run"):
        _print_plan(parsed, planned(spec, system))
        return 0
    if parsed.on("verbose"):
        system.tell(f"running: {spell(planned(spec, system).command)}")
    record = run_container(spec, system).record
    if parsed.on("json"):
        print(dumps_lines(record.as_dict()), end="")
    return _status(record, system)


def _job(parsed: Parsed) -> int:
    """Be the job of a run that a playbook submitted to Slurm."""
    from ces.services.jobs import run_job

    from ces_commands.doors.runs import whole_number

    system = system_for(parsed)
    return _status(run_job(whole_number(parsed.text("job") or "", "--job"), system).record, system)


def _status(record: RunRecord, system: System) -> int:
    if record.state != "COMPLETED":
        system.tell(f"run {record.run_id}: {record.state}: {record.reason}")
    return 125 if record.rc is None else record.rc


def _spec(parsed: Parsed, image: Image, system: System) -> RunSpec:
    variables = expandable(system.account.variables)
    env: dict[str, str] = {}
    for path in parsed.texts("env_file"):
        text = read_text(path, "the env file")
        env.update(
            parse_env(text, variables if parsed.on("expand_env") else None, f"the env file {path}")
        )
    options = _words(parsed, "opt_file", variables)
    args = [*_words(parsed, "arg_file", variables), *parsed.operands[1:]]
    gpu, gpus = gpu_count(parsed.text("gpus"), "--gpus")
    return RunSpec(
        image=image,
        runner=runner_for(parsed, system),
        args=args,
        env=env,
        options=options,
        cpus=parsed.text("cores"),
        memory=parsed.text("memory"),
        gpu=gpu or parsed.on("gpu") or parsed.verb.name == "gpu-run",
        gpus=gpus,
        home=parsed.on("home"),
        name=parsed.text("name"),
        network=parsed.text("network"),
        directories=Directories(
            project=parsed.text("project"),
            read_only=parsed.on("read_only"),
            outputs=parsed.text("outputs"),
            scratch=parsed.text("scratch"),
        ),
        timeout=parsed.text("timeout"),
        pull=parsed.text("pull") or "missing",
        record_link=_path(parsed.text("record_link")),
    )


def _path(text: str | None) -> str | None:
    return os.path.abspath(text) if text else None


def _words(parsed: Parsed, key: str, variables: dict[str, str]) -> list[str]:
    what = {"opt_file": "the option file", "arg_file": "the argument file"}[key]
    return [
        word
        for path in parsed.texts(key)
        for word in split(read_text(path, what), variables, f"{what} {path}")
    ]


def _print_plan(parsed: Parsed, record: RunRecord) -> None:
    if parsed.on("json"):
        print(dumps_lines(record.as_dict()), end="")
        return
    print(spell(record.command))
    for mount in record.mounts:
        print(shown(f"  {mount['target']} is {mount['source']} ({mount['access']})"))
    for warning in record.warnings:
        print(shown(f"  warning: {warning}"))
