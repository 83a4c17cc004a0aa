# SPDX-License-Identifier: GPL-3.0-or-later
"""Run containers on this machine's NVIDIA GPUs: each sees those that it was given, and no others.

``python canary.py COLLECTIONS``, where tre.ces is. A specification is made for the occasion, the
core names the devices, and ``nvidia-smi -L`` says in a container of podman which there are. The
image is made of the host's own programs: nothing is fetched.
"""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

IMAGE = "localhost/tre-ces/gpu-canary"
CORE = "ansible_collections.tre.ces.plugins.module_utils.ces"
GENERATE = ("nvidia-ctk", "cdi", "generate", "--format=json")


def run(*argv: str, **environ: str) -> str:
    env = {**os.environ, **environ}
    done = subprocess.run(argv, capture_output=True, check=False, env=env)
    if done.returncode != 0:
        sys.exit(f"{' '.join(argv)}: status {done.returncode}: {done.stderr.decode()}")
    return done.stdout.decode()


def core(name: str) -> Any:
    return importlib.import_module(f"{CORE}.{name}")


def image(place: Path, process: Any) -> None:
    """An image with a shell and nvidia-smi, and the libraries that they are linked with."""
    root = place / "root"
    core("system.host.small_root").make_root(str(root), process, ("sh", "ls", "nvidia-smi"))
    with tarfile.open(place / "image.tar", "w") as tar:
        tar.add(root, ".")
    run("podman", "import", "--quiet", str(place / "image.tar"), IMAGE)


def uuids(text: str) -> list[str]:
    """What is listed: instances of a GPU that is divided, else the GPU."""
    parsed = core("values.gpu_listing").parse_listing(text)
    return [one for gpu in parsed for one in ([part.uuid for part in gpu.instances] or [gpu.uuid])]


def seen(gpus: Any, conf: str) -> list[str]:
    """What a container with these lists."""
    devices = [f"--device={name}" for name in gpus.devices]
    options = ["--rm", "--network=none", "--cgroups=disabled", "--security-opt=label=disable"]
    return uuids(
        run("podman", "run", *options, *devices, IMAGE, "nvidia-smi", "-L", CONTAINERS_CONF=conf)
    )


def main(place: Path) -> None:
    (place / "nvidia.json").write_text(run(*GENERATE))
    conf = place / "containers.conf"
    conf.write_text(f'[engine]\ncdi_spec_dirs = ["{place}"]\n')
    os.environ["CONTAINERS_CONF"] = str(conf)
    account = core("system.account").Account.current()
    process = core("system.process").SystemProcess()
    host = core("system.host.gpu").look_at_gpus(account, process)
    policy = core("values.policy").Policy()
    for finding in core("checks.look").findings_of(core("checks.gpu").LOOKS, host, policy):
        print(f"  {'ok ' if finding.level == 'ok' else 'BAD'} {finding.check}: {finding.said}")
    there = uuids(run("nvidia-smi", "-L"))
    podman = core("engines.table").runner_named("podman")
    image(place, process)
    try:
        wants: list[tuple[str, int | None, str | None]] = [("all", None, None), ("one", 1, None)]
        wants += [(uuid, None, uuid) for uuid in there]
        for name, count, visible in wants:
            environ = {k: v for k, v in account.environ.items() if k != "CUDA_VISIBLE_DEVICES"}
            environ |= {"CUDA_VISIBLE_DEVICES": visible} if visible else {}
            own = core("dataclass").replace(account, environ=environ)
            system = SimpleNamespace(account=own, process=process, allocation=None)
            answer = core("system.gpu").gpus_for(count, system, podman)
            wanted = [visible] if visible else there[:count]
            got = seen(answer, str(conf))
            if got != wanted:
                sys.exit(f"a container with {name} saw {got} and should have seen {wanted}")
            print(f"  ok  a container with {name} sees {', '.join(got)}")
    finally:
        run("podman", "rmi", "--force", IMAGE)


if __name__ == "__main__":
    sys.path.insert(0, sys.argv[1])
    with tempfile.TemporaryDirectory(prefix="tre-ces-gpu-") as directory:
        main(Path(directory))
