# SPDX-License-Identifier: GPL-3.0-or-later
"""What does an image's configuration mean for a run? Rows of the table in image.py."""

from __future__ import annotations

from ..engines.command import words_of
from ..engines.ways import PASSED_OVER, RANGE
from ..errors import CesError
from ..shown import shown
from ..typed import Iterator
from ..values.bundle import LEVELS_MAX
from ..values.image_config import id_in, is_number, user_and_group
from ..values.mounts import CONTRACT, SAFE_DATA
from ..values.quantities import spell_bytes
from ..values.words import is_shell_name
from .facts import MAKER, Engine, Host, Image
from .grammar import is_heard, is_port, is_signal
from .look import Told
from .secrets import looks_secret

_NAME_MAX, _PATH_MAX = 255, 4096
"""Bytes; of the second, one ends the path."""
_WORD_MAX = 128 * 1024
"""Bytes of a word, with the NUL behind it (MAX_ARG_STRLEN)."""
_POINTER, _ADDED = 8, 2048
"""Bytes that a word takes beside its own; and what runs add: PATH, HOME, HOSTNAME."""
_ENTRY = "name another program (--entrypoint in an option file)"
_START = f"name another directory (--workdir or --cwd in an option file), or {MAKER}"
_OF_DEV = ("/dev/shm", "/dev/mqueue", "/dev/pts")  # noqa: S108  in the container
"""What there is in every container."""


def look_at_config(image: Image, _host: Host, _engine: Engine) -> Iterator[Told]:
    """Whether its configuration can be read."""
    if image.misread:
        yield Told("fault", f"its configuration cannot be read: {image.misread}", MAKER)


def look_at_user(image: Image, host: Host, engine: Engine) -> Iterator[Told]:
    """Whether the user can be had here, and what that user may write."""
    text = str(image.said.get("User") or "")
    if text and engine.ways.user == PASSED_OVER:
        yield Told("note", f"{engine.name} passes its user {text!r:.80} over: you are yourself")
    elif text:
        user, group = user_and_group(text)
        faults = [*_no_ids(text, (user, group), engine), *_beyond(user, group, host, engine)]
        yield from faults
        if not faults:
            yield from _strangers(text, (user, group), engine)


def _no_ids(text: str, names: tuple[str, str], engine: Engine) -> Iterator[Told]:
    if any(is_number(name) and id_in(name) is None for name in names):
        yield Told(
            "fault",
            f"its user {text!r:.80} is a number that no system knows",
            engine.runner.hint("cannot setresuid") or f"{MAKER} for another one",
        )


def _beyond(user: str, group: str, host: Host, engine: Engine) -> Iterator[Told]:
    if engine.ways.user != RANGE:
        return
    for kind, name, most in (("user", user, host.uids), ("group", group, host.gids)):
        number = id_in(name)
        if number is not None and most is not None and number > most:
            yield Told(
                "fault",
                f"its {kind} is {number}, and your containers have ids up to {most}",
                engine.runner.hint("cannot setresuid"),
                "subid",
            )


def _strangers(text: str, names: tuple[str, str], engine: Engine) -> Iterator[Told]:
    if any(name and id_in(name) is None for name in names):
        yield Told(
            "note",
            f"its user {text!r:.80} is a name: whether the image's own lists of users and groups"
            " have it is in its files",
        )
    user = names[0]
    if engine.ways.user == RANGE and id_in(user) != 0 and user not in ("", "root"):
        yield Told(
            "warning",
            f"it runs as the user {user!r:.40}, who is not you: it may not write to /safe_outputs"
            " and /scratch",
            "put --user=0 into an option file, or use the runner oci or apptainer",
        )


def look_at_program(image: Image, _host: Host, engine: Engine) -> Iterator[Told]:
    """Whether it says what to run, and that can be found."""
    config = image.config
    try:
        program = words_of(image.name, config.entrypoint, config.cmd)[0]
    except CesError as error:
        yield Told("fault", error.said, error.hint)
        return
    if not program:
        yield Told("fault", "the first word of what it runs is empty", f"{MAKER}, or {_ENTRY}")
    elif "/" not in program and config.variables.get("PATH") == "" and not engine.ways.own_path:
        yield Told(
            "fault",
            f"its PATH is empty, and its program {program!r:.80} is looked for there",
            f"{MAKER} for the program's whole path, or set PATH by --env-file",
        )
    elif not program.startswith("/") and "/" in program and not image.said.get("WorkingDir"):
        yield Told(
            "warning",
            f"its program {program!r:.80} is looked for in /, as it names no WORKDIR",
            f"{MAKER} for the program's whole path",
        )
    place = _place_of(program, config.cwd)
    covered = next((path for path in CONTRACT if f"{place}/".startswith(f"{path}/")), None)
    if covered is not None:
        yield Told(
            "fault",
            f"its program {place!r:.80} lies below {covered}, where your directory is mounted: it"
            " is not there",
            f"{MAKER} to put it elsewhere, or {_ENTRY}",
        )


def look_at_words(image: Image, host: Host, engine: Engine) -> Iterator[Told]:
    """Whether Linux starts a program with so many or so long words and variables (execve(2))."""
    config = image.config
    variables = (f"{name}={value}" for name, value in config.variables.items())
    sizes = [len(text.encode("utf-8", "surrogatepass")) + 1 for text in variables]
    sizes += [
        len(t.encode("utf-8", "surrogatepass")) + 1 for t in (*config.entrypoint, *config.cmd)
    ]
    longest, whole = max(sizes, default=0), sum(sizes) + _POINTER * len(sizes) + _ADDED
    who, most = "Linux starts", host.words_max
    if engine.ways.words_max is not None and engine.ways.words_max < most:
        who, most = f"{engine.name} starts", engine.ways.words_max
    if longest + engine.ways.word_added > _WORD_MAX:
        yield Told(
            "fault",
            f"a variable or a word of its program is {spell_bytes(longest)}, and Linux starts no"
            f" program with one longer than {spell_bytes(_WORD_MAX)}",
            f"{MAKER} to put it into a file",
        )
    elif whole > most:
        yield Told(
            "fault",
            f"its variables and the words of its program are {spell_bytes(whole)}, and {who} no"
            f" program with more than {spell_bytes(most)}",
            f"{MAKER} to put them into a file",
        )


def _place_of(program: str, cwd: str) -> str:
    """Where in the image a program is; nothing where it is looked for in PATH."""
    if "/" not in program:
        return ""
    path = program if program.startswith("/") else f"{cwd}/{program}"
    return "/" + "/".join(part for part in path.split("/") if part not in ("", "."))


def look_at_workdir(image: Image, _host: Host, engine: Engine) -> Iterator[Told]:
    """Whether it can start where it wants to."""
    written, cwd = str(image.said.get("WorkingDir") or ""), image.config.cwd
    if written and not written.startswith("/"):
        yield Told(
            "note", f"its WORKDIR {written!r:.80} is no absolute path: it starts in {cwd!r:.80}"
        )
    if _is_too_long(cwd):
        yield Told("fault", f"its WORKDIR {cwd!r:.80} is longer than paths can be", _START)
    elif cwd.startswith(engine.ways.closed) and cwd not in _OF_DEV:
        yield Told("fault", f"no directory {cwd!r:.80} to start in can be made", _START)
    covered = next((path for path in CONTRACT if f"{cwd}/".startswith(f"{path}/")), None)
    if covered is None:
        return
    if covered == SAFE_DATA and cwd != SAFE_DATA:
        makes = engine.ways.makes_start
        made = "a run makes that among your data" if makes else "that has to be among your data"
        yield Told(
            "warning",
            f"it starts in {cwd!r:.80}: {made}",
            _START,
        )
    else:
        yield Told(
            "note",
            f"it starts in {cwd!r:.80}: your directory is mounted at {covered}, and what the image"
            " has there is not seen",
        )


def _is_too_long(path: str) -> bool:
    """Whether Linux has no such path (limits.h: NAME_MAX, PATH_MAX)."""
    raw = path.encode("utf-8", "surrogatepass")
    return len(raw) >= _PATH_MAX or any(len(name) > _NAME_MAX for name in raw.split(b"/"))


def look_at_volumes(image: Image, _host: Host, engine: Engine) -> Iterator[Told]:
    """Whether its volumes can be had, and which of them are hidden."""
    written = image.said.get("Volumes") or {}
    whole = [path for path in written if path and not path.strip("/")]
    closed = [path for path in image.config.volumes if path.startswith(engine.ways.closed)]
    most = engine.ways.volumes_max
    if most is not None and len(written) > most:
        yield Told(
            "fault",
            f"it names {len(written)} VOLUMEs, and of {engine.name} a run makes at most {most}",
            f"{MAKER} for fewer, or use the runner oci or apptainer",
        )
    elif most is None and image.config.levels > LEVELS_MAX:
        yield Told(
            "fault",
            f"its WORKDIR and VOLUMEs name {image.config.levels} directories, and at most"
            f" {LEVELS_MAX} are made",
            f"{MAKER} for fewer",
        )
    for path in filter(_is_too_long, image.config.volumes):
        yield Told("fault", f"its VOLUME {path!r:.80} is longer than paths can be", MAKER)
    for path in (*whole, *closed):
        if engine.ways.strict_places:
            yield Told(
                "fault",
                f"{engine.name} cannot mount its VOLUME {path!r:.80} there",
                f"use the runner oci or apptainer, or {MAKER}",
            )
    for path in image.config.volumes:
        if any(f"{path}/".startswith(f"{place}/") for place in CONTRACT):
            yield Told(
                "note",
                f"its VOLUME {path!r:.80} is your directory: what the image has there is"
                " not seen",
            )


def look_at_network(_image: Image, host: Host, engine: Engine) -> Iterator[Told]:
    """Whether the engine knows the site's network."""
    known = engine.runner.networks
    if host.network in known:
        return
    others = [name for name in host.networks if name in known]
    yield Told(
        "warning" if others else "fault",
        f"a run gets the network {host.network}, and {engine.name} knows {', '.join(known)}",
        f"write --network={others[0]}" if others else "the administrator allows one of these",
        "" if others else "ces_tools",
    )


def look_at_ports(image: Image, host: Host, engine: Engine) -> Iterator[Told]:
    """Whether its ports are such, and can be reached."""
    named = list(image.said.get("ExposedPorts") or {})
    odd = [port for port in named if not is_port(port)]
    if odd and engine.ways.strict_ports:
        yield Told(
            "fault",
            f"it exposes {odd[0]!r:.40}, which is no port",
            engine.runner.hint("convert image expose"),
        )
    elif named and host.network == "none":
        listed = ", ".join(named[:5])
        yield Told(
            "note",
            f"it serves at {listed!r:.80}, and nobody reaches that: a run has no network here",
        )


def look_at_stop_signal(image: Image, _host: Host, engine: Engine) -> Iterator[Told]:
    """Whether its stop signal is one that the program hears."""
    text = image.config.stop_signal
    if not text:
        return
    if not is_signal(text):
        if engine.ways.strict_signals:
            cure = engine.runner.hint("invalid signal")
            yield Told("fault", f"its STOPSIGNAL {text!r:.40} is no signal", cure)
        else:
            yield Told("note", f"its STOPSIGNAL {text!r:.40} is no signal: SIGTERM is sent instead")
    elif not is_heard(text):
        yield Told(
            "warning",
            f"its STOPSIGNAL {text!r:.40} ends it without a chance to finish what it does",
            f"{MAKER} for one that its program hears",
        )


def look_at_variables(image: Image, _host: Host, engine: Engine) -> Iterator[Told]:
    """Whether the engine passes its variables on."""
    runner, names = engine.runner, list(image.config.variables)
    own = [name for name in names if name in runner.reserved]
    lost = [name for name in names if runner.shell_names and not is_shell_name(name)]
    for level, lacking in (("note", own), ("warning", lost)):
        if lacking:
            listed = shown(", ".join(lacking))
            yield Told(
                level,
                f"{runner.engine} passes over variables of the image: {listed:.200}",
                "if its program needs them, use another runner",
            )
    if engine.ways.strict_names and "" in names:
        yield Told(
            "fault",
            "a variable of its has no name",
            engine.runner.hint("env fields from image failed to parse"),
        )
    texts = (*image.config.env, *image.config.entrypoint, *image.config.cmd)
    if engine.ways.strict_text and any(not _is_utf8(text) for text in texts):
        yield Told(
            "fault",
            "a variable or a word of its program is not UTF-8, which a bundle must be",
            "use podman",
        )


def _is_utf8(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def look_at_secrets(image: Image, _host: Host, _engine: Engine) -> Iterator[Told]:
    """Whether its variables show what nobody should read."""
    named = [name for name, value in image.config.variables.items() if looks_secret(name, value)]
    if named:
        listed = ", ".join(map(repr, named))
        yield Told(
            "warning",
            f"it has what looks like a secret in {listed:.200}: whoever may pull it can read that",
            f"{MAKER} to leave it out, and to change the secret; a run gets it by --env-file",
        )
