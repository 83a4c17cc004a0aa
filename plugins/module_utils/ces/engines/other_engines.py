# SPDX-License-Identifier: GPL-3.0-or-later
"""Engines that have no runner here, and what their users write: loaded where one is named."""

from __future__ import annotations

from ..errors import CesError
from ..patterns import matches
from ..typed import Collection, Sequence
from ..values.image import ImageRef

_NAME = r"[A-Za-z][A-Za-z0-9_-]*"
"""A word that is no image, no file and no option."""
_INSTEAD = {
    **dict.fromkeys(
        ("docker", "docker-rootless", "nerdctl", "podman-hpc", "buildah"),
        "write podman, which takes the same images",
    ),
    **dict.fromkeys(
        ("singularity", "singularityce", "singularity-ce", "singularitypro"),
        "write apptainer, which is Singularity's new name",
    ),
    **dict.fromkeys(
        ("crun", "runc", "youki", "umoci"),
        "write oci, the runner that starts containers with crun alone",
    ),
}
"""By an engine's name: which runner does the same."""
_OTHERS = (
    *("bubblewrap", "bwrap", "ch-image", "ch-run", "charliecloud", "containerd", "cri-o", "crio"),
    *("ctr", "enroot", "gvisor", "incus", "kata", "kubectl", "kubernetes", "lxc", "lxd", "pyxis"),
    *("rkt", "runsc", "sarus", "shifter", "shifterimg", "systemd-nspawn", "udocker"),
)


def is_meant(words: Sequence[str], runners: Collection[str]) -> bool:
    """Whether the first word stands where a runner does: it names an engine, or an image follows.

    :param words: what is to be a runner or an image, and all behind it.
    """
    if not matches(_NAME, words[0]):
        return False
    name = words[0].lower()
    return name in (*runners, *_INSTEAD, *_OTHERS) or _is_image(words[1:2])


def cure(name: str, runners: Collection[str]) -> str:
    """What to write instead of a runner that is not there."""
    low = name.lower()
    instead = f"write {low}, in small letters" if low in runners else _INSTEAD.get(low, "")
    return "; ".join(filter(None, (instead, f"the runners are {', '.join(runners)}")))


def _is_image(words: Sequence[str]) -> bool:
    try:
        return all(ImageRef.parse(word) for word in words) and bool(words)
    except CesError:
        return False
