# SPDX-License-Identifier: GPL-3.0-or-later
"""From a command line to the door that does it, and from errors to words and exit statuses."""

from __future__ import annotations

import os
import sys

from ces_commands.parse import Parsed, UsageError, parse
from ces_commands.verbs import OLD_NAMES, VERBS, overview, usage

FAILED = 125
"""Exit status of every failure that is ours, as ces.errors.EXIT_OURS has it."""
_LAST_STREAM = 2
"""Standard error."""
_WITH_PATHS = ("run", "pull", "bundle", "check")
"""Doors that are given paths."""


def main(argv: list[str]) -> int:
    """Run the command that ``argv[0]`` is the name of; returns its exit status."""
    _have_streams()
    try:
        status = _dispatch(argv)
        sys.stdout.flush()
        return status
    except BrokenPipeError:
        # whoever read our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except OSError as error:
        # the disk of a file that takes our output is full, say
        _complain(f"{os.path.basename(argv[0])}: could not go on: {error}")
        return FAILED


def _have_streams() -> None:
    """Have /dev/null in place of a closed standard stream: no file of ours may become one."""
    opened = os.open(os.devnull, os.O_RDWR)
    while opened <= _LAST_STREAM:
        opened = os.dup(opened)
    os.close(opened)
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))  # noqa: SIM115  as long as we live


def _dispatch(argv: list[str]) -> int:
    program_file = argv[0]
    if len(argv) > 1 and argv[1].startswith("--as="):  # see token.py
        argv = [argv[1][len("--as=") :], *argv[2:]]
    program = os.path.basename(argv[0])
    words = argv[1:]
    name, runner = OLD_NAMES.get(program, (program.removeprefix("ces-"), None))
    if program == "ces":
        if not words or words[0] in ("-h", "--help"):
            print(overview(), end="")
            return 0 if words else FAILED
        name, words = words[0], words[1:]
        program = f"ces {name}"
        if name == "--version":
            name, words = "run", ["--version"]
    if name not in VERBS:
        _complain(f"{program}: there is no such command; ces --help lists them")
        return FAILED
    try:
        return _answer(parse(VERBS[name], program, words, runner), argv, program_file)
    except UsageError as error:
        _complain(f"{program}: {error}")
        _complain(f"{program} --help says more")
        return FAILED


def _complain(line: str) -> None:
    """Say what is wrong; what was typed may be a token in the wrong place."""
    from ces.blocks import suppress
    from ces.shown import shown, without_tokens

    with suppress(OSError):  # nobody can be told: the exit status has to do
        print(without_tokens(shown(line)), file=sys.stderr)


def _answer(parsed: Parsed, argv: list[str], program_file: str) -> int:
    if parsed.on("help"):
        print(usage(parsed.verb, parsed.program), end="")
        return 0
    if parsed.on("version"):
        print(f"tre.ces {_version(program_file)}")
        return 0
    if parsed.verb.name == "pull":
        from ces_commands.token import hide

        hide(parsed, argv, program_file)
    return _run_door(parsed)


def _version(program_file: str) -> str:
    """What the role ces_tools installed beside the launcher."""
    with open(os.path.join(os.path.dirname(os.path.realpath(program_file)), "VERSION")) as stream:
        return stream.read().strip()


def _find_a_place(door: str) -> None:
    """Relative paths start at the working directory, and engines do not start without one."""
    from ces.errors import NotFound

    try:
        os.getcwd()
    except FileNotFoundError:
        if door in _WITH_PATHS:
            raise NotFound(
                "find the working directory",
                said=f"{os.environ.get('PWD') or 'it'} was removed",
                hint="change to a directory that is there, with cd for example",
            ) from None
        os.chdir("/")


def _run_door(parsed: Parsed) -> int:
    from ces.errors import CesError, Interrupted

    try:
        _find_a_place(parsed.verb.door)
        door = __import__(f"ces_commands.doors.{parsed.verb.door}", fromlist=["main"])
        status: int = door.main(parsed)
        return status
    except Interrupted as error:
        from ces.system.signals import exit_status

        _complain(f"{parsed.program}: {error}")
        return exit_status(error.signal)
    except CesError as error:
        from ces_commands.complaint import spell_error

        print(spell_error(parsed, error), file=sys.stderr)
        return FAILED
    except BrokenPipeError:
        raise  # main() knows what it means
    except Exception as error:  # one that nobody foresaw must not pass for the container's status
        if parsed.on("verbose"):
            import traceback

            traceback.print_exc()
        kind = "" if isinstance(error, OSError) else f"{type(error).__name__}: "
        _complain(f"{parsed.program}: could not go on: {kind}{error}")
        return FAILED
    except KeyboardInterrupt:
        return 130
