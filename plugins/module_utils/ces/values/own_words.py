# SPDX-License-Identifier: GPL-3.0-or-later
"""Options of engines that say what a run says in words of its own: they are taken as those words.

So the policy decides about them as about the words themselves, and the record tells them.
"""

from __future__ import annotations

from ..errors import InvalidValue, RefusedByPolicy
from ..patterns import matches
from ..typed import Any, Callable, Mapping
from .quantities import SMALLEST_MEMORY

_GPU_CURE = "write --gpu on the run for all GPUs that it may have, or --gpus NUMBER for so many"


def _memory(value: str) -> str:
    """An engine's amount: bytes, where no unit is written."""
    number = value.removesuffix("b").removesuffix("B")
    if not matches("[0-9]{1,18}", number):
        return value
    if int(number) < SMALLEST_MEMORY:
        raise InvalidValue(
            "memory",
            value,
            "that is less than 4 MiB: without a unit it is bytes",
            "write 4g or 512m",
        )
    return f"{int(number) // 1024}KiB"


def _gpus(value: str) -> Mapping[str, Any]:
    if value == "all":
        return {"gpu": True}
    if matches("[1-9][0-9]{0,3}", value):
        return {"gpu": True, "gpus": int(value)}
    raise RefusedByPolicy(f"pass --gpus={value}", said="no run chooses its GPUs", hint=_GPU_CURE)


def _device(value: str) -> Mapping[str, Any]:
    kind, _equals, name = value.partition("=")
    if kind not in ("nvidia.com/gpu", "amd.com/gpu"):
        raise RefusedByPolicy(
            f"pass --device={value}", said="no run has devices but GPUs", hint=_GPU_CURE
        )
    if name != "all":
        raise RefusedByPolicy(
            f"pass --device={value}", said="no run chooses its GPUs", hint=_GPU_CURE
        )
    return {"gpu": True}


OWN_WORDS: Mapping[str, Callable[[str], Mapping[str, Any]]] = {
    "network": lambda value: {"network": value},
    "name": lambda value: {"name": value},
    "timeout": lambda value: {"timeout": value},
    "cpus": lambda value: {"cpus": value},
    "memory": lambda value: {"memory": _memory(value)},
    "gpus": _gpus,
    "device": _device,
    "gpu": lambda _value: {"gpu": True},
}
"""By an option's meaning: from its value to fields of a RunSpec."""

INSTEAD = {
    **dict.fromkeys(
        ("--privileged", "--cap-add", "--security-opt", "--add-caps", "--keep-privs"),
        "leave it out: no container has more rights than its user",
    ),
    **dict.fromkeys(
        ("--fakeroot", "-f"),
        "use the runner podman or oci: there the user is root in the container",
    ),
    **dict.fromkeys(
        ("--publish", "-p", "--publish-all", "-P", "--expose", "--dns", "--add-host"),
        "leave it out: what a container can reach is said by --network on the run",
    ),
    **dict.fromkeys(
        ("--interactive", "-i", "--tty", "-t", "--attach", "-a"),
        "leave it out: nobody sits at a container",
    ),
    **dict.fromkeys(
        ("--detach", "-d"), "leave it out: put the run itself in the background, or into a job"
    ),
    **dict.fromkeys(
        ("--label", "-l", "--cidfile", "--log-driver", "--pidfile", "--runtime", "--replace"),
        "leave it out: each run has its own",
    ),
    **dict.fromkeys(("--device", "--gpus", "--nvccli", "--nv", "--rocm"), _GPU_CURE),
    **dict.fromkeys(("--name", "-n"), "write --name on the run"),
    **dict.fromkeys(("--memory", "-m"), "write --memory on the run"),
    "--cpus": "write --cores on the run",
    "--timeout": "write --timeout on the run",
    "--rm": "leave it out: every container is removed at its end",
    **dict.fromkeys(
        ("--platform", "--arch", "--os"), "leave it out: images are those for this processor"
    ),
    "--net": "write --network=none instead",
    "--env-file": "write --env-file on the run",
    "--pull": "write --pull on the run",
    "--memory-swap": "leave it out: memory is limited together with swap",
    "--home": "write --home on the run",
}
"""By an option that is refused: what to do."""

ALIKE = (
    ("--volume", "-v", "--bind", "-B"),
    ("--workdir", "-w", "--cwd", "--pwd"),
    ("--tmpfs", "--scratch", "-S"),
)
"""What engines call the same thing: where one name is refused, another may be allowed."""
