# SPDX-License-Identifier: GPL-3.0-or-later
"""From the options of a command to the run, or the bundle, that is asked for."""

from __future__ import annotations

import os

from ces.system.files import read_text
from ces.system.system import System
from ces.typed import Any
from ces.values.image import Image
from ces.values.quantities import gpu_count
from ces.values.runoptions import RunOption, options_for
from ces.values.spec import RunSpec
from ces.values.words import expandable, parse_env, split

from ces_commands.parse import Parsed
from ces_commands.verbs import spellings

_FILES = {"env": "the env file", "options": "the option file", "args": "the argument file"}


def asked(
    parsed: Parsed, image: Image, runner: str, system: System, bundle: bool = False
) -> RunSpec:
    """What the command line asks for; the files that it names are read.

    :raises CesError: a file cannot be read, or a value is none.
    """
    variables = expandable(system.account.variables)
    given = {
        option.field: _value(parsed, option, variables)
        for option in options_for(bundle)
        if option.names and option.field
    }
    given["args"] += parsed.operands[1:]
    if "gpus" in given:
        wanted, given["gpus"] = gpu_count(given["gpus"], "--gpus")
        given["gpu"] = given["gpu"] or wanted or parsed.verb.name == "gpu-run"
    link = given.get("record_link")
    given["record_link"] = os.path.abspath(link) if link else None
    return RunSpec.of({**given, "image": image, "runner": runner})


def _value(parsed: Parsed, option: RunOption, variables: dict[str, str]) -> Any:
    key = spellings(parsed.verb)[option.names.split()[-1]].key
    if not option.repeat:
        return parsed.text(key) if option.value else parsed.on(key)
    what = _FILES[option.field]
    texts = [(read_text(path, what), f"{what} {path}") for path in parsed.texts(key)]
    if option.field != "env":
        return [word for text, origin in texts for word in split(text, variables, origin)]
    known = variables if parsed.on("expand_env") else None
    env: dict[str, str] = {}
    for text, origin in texts:
        env.update(parse_env(text, known, origin))
    return env
