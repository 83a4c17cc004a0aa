# SPDX-License-Identifier: GPL-3.0-or-later
"""Will an image work here? A table of what is looked at and what that means for one engine.

No I/O. What an engine says of an image that it cannot have, and what to do then, is in the engine's
own table (``ERRORS`` in engines/NAME/command.py). Cures are taken from there, by its message.
"""

from __future__ import annotations

from ..values.finding import Finding
from . import image_config as config
from . import image_source as source
from .facts import Engine, Host, Image
from .look import Look, findings_of


def image_findings(image: Image, host: Host, engine: Engine) -> tuple[Finding, ...]:
    """What all checks find of an image for one engine."""
    known = {"": True, "manifest": image.manifest is not None, "config": bool(image.parts)}
    if engine.refusal is not None:
        known = {"": True}
    rows = [row for row in ROWS if known.get(row.needs) and not (row.here and host.elsewhere)]
    return tuple(findings_of(rows, image, host, engine))


ROWS = (
    Look("engine", "the site allows it, and it is installed", source.look_at_engine, here=True),
    Look("files", "a pull can read the engine's configuration", source.look_at_files, here=True),
    Look("policy", "the site allows it", source.look_at_policy),
    Look("registry", "its registry has it", source.look_at_registry),
    Look("login", "its registry gives it to you", source.look_at_login),
    Look("present", "no image of that name is here", source.look_at_present, here=True),
    Look("artifact", "it is a container image", source.look_at_artifact, "manifest"),
    Look("config", "its configuration can be read", config.look_at_config, "manifest"),
    Look("index", "the engine finds the part for this host", source.look_at_index, "manifest"),
    Look("layers", "the engine can unpack its layers", source.look_at_layers, "manifest"),
    Look("depth", "it has not too many layers", source.look_at_depth, "manifest"),
    Look("diff_ids", "its configuration names its layers", source.look_at_diff_ids, "config"),
    Look("platform", "it is for this host's processor", source.look_at_platform, "config"),
    Look("size", "it is not larger than the site allows", source.look_at_size, "manifest"),
    Look("space", "there is room for it", source.look_at_space, "manifest", here=True),
    Look("program", "it says what to run", config.look_at_program, "config"),
    Look(
        "words",
        "its words and variables are not too long",
        config.look_at_words,
        "config",
        here=True,
    ),
    Look("user", "it runs as root, which is you", config.look_at_user, "config"),
    Look("workdir", "it starts in a directory of its own", config.look_at_workdir, "config"),
    Look(
        "volumes",
        "no volume of its is where your directories are",
        config.look_at_volumes,
        "config",
    ),
    Look("network", "the engine knows the site's network", config.look_at_network),
    Look("ports", "it serves nothing to others", config.look_at_ports, "config"),
    Look("stop_signal", "its stop signal is one", config.look_at_stop_signal, "config"),
    Look("variables", "the engine passes its variables on", config.look_at_variables, "config"),
    Look("secrets", "no variable of its looks like a secret", config.look_at_secrets, "config"),
)
"""In the order in which causes come before their effects. A new check is a new row."""
