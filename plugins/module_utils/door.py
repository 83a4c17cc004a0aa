# SPDX-License-Identifier: GPL-3.0-or-later
"""What the modules share: the one part of the collection between Ansible and the core."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from .ces.engines.table import NAMES
from .ces.errors import CesError, InvalidValue
from .ces.shown import shown
from .ces.system.system import System
from .ces.values.image import Image, ImageRef
from .ces.values.quantities import gpu_count
from .ces.values.runoptions import options_for
from .ces.values.spec import Credentials, RunSpec

RUNNER = {"runner": {"type": "str", "choices": list(NAMES)}}
CREDENTIALS: dict[str, dict[str, Any]] = {
    "username": {"type": "str"},
    "password": {"type": "str", "no_log": True},
    "authfile": {"type": "path"},
}
CREDENTIALS_RULES: dict[str, Any] = {
    "required_together": [("username", "password")],
    "mutually_exclusive": [("username", "authfile")],
}


def credentials(params: dict[str, Any]) -> Credentials:
    """What the task gives to sign in with."""
    return Credentials(params["username"] or "", params["password"] or "", params["authfile"])


def run_spec(image: Image, runner: str, params: dict[str, Any], bundle: bool = False) -> RunSpec:
    """The run, or the bundle, that a task asks for."""
    options = [option for option in options_for(bundle) if option.argument]
    given = {option.field: params[option.key] for option in options}
    if "gpu" in given:
        given["gpu"], given["gpus"] = gpu_count(given["gpu"])
    settled = {"image": image, "runner": runner, "credentials": credentials(params)}
    return RunSpec.of({**given, **settled, "env": scalars(given["env"], "env")})


def system_for(module: AnsibleModule) -> System:
    """The back-end as the task's user has it; what services tell becomes the task's warnings."""

    def tell(message: str) -> None:
        if message.startswith("warning: "):
            module.warn(shown(message.removeprefix("warning: ")))

    return System.here(tell=tell)


def answer(module: AnsibleModule, work: Callable[[AnsibleModule], dict[str, Any]]) -> None:
    """Run a module's work and end the module with its result, or with the error's."""
    try:
        result = work(module)
    except CesError as error:
        module.fail_json(**error.as_result())
    failed = result.pop("failed", False)
    if failed:
        module.fail_json(**result)
    module.exit_json(**result)


def image_result(image: Image, digest: str | None, image_id: str | None) -> dict[str, Any]:
    """An image, as results have it."""
    reference = image if isinstance(image, ImageRef) else None
    return {
        "reference": str(image),
        "registry": reference and reference.registry,
        "path": reference and reference.path,
        "tag": reference and reference.tag,
        "digest": digest,
        "id": image_id,
    }


def scalars(values: dict[str, Any] | None, what: str) -> dict[str, str]:
    """A dictionary of texts; numbers and booleans are spelled as YAML has them."""
    texts = {}
    for name, value in (values or {}).items():
        if isinstance(value, bool):
            value = "true" if value else "false"
        if not isinstance(value, (str, int, float)):
            raise InvalidValue(what, name, "its value is neither text nor a number")
        texts[str(name)] = str(value)
    return texts
