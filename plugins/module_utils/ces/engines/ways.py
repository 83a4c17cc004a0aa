# SPDX-License-Identifier: GPL-3.0-or-later
"""How an engine takes what an image says, where engines differ.

What the engines' own ``traits.py`` say was seen on real hosts: Debian 13 (podman 5.4, apptainer
1.4, crun 1.21) and, but for apptainer, Debian 12 (podman 4.3, crun 1.8, umoci 0.4). Where podman
4.3 takes what a newer one refuses, the newer one's way stands there, and the field here says so.
"""

from __future__ import annotations

from ..dataclass import dataclass
from ..values.inside import FILE, OTHER

RANGE, ANY, PASSED_OVER = "range", "any", "passed over"
"""What becomes of a user that an image names: one of the user's own ids and subordinate ids; any
number, which is the user; nobody."""
_OCI = "application/vnd.oci.image.layer"
_DOCKER = "application/vnd.docker.image.rootfs"
_PACKED = ("tar+gzip", "tar", "tar+zstd")
OF_OCI = tuple(f"{_OCI}.v1.{form}" for form in _PACKED)
KEPT_BACK = tuple(f"{_OCI}.nondistributable.v1.{form}" for form in _PACKED)
"""Layers that may not be passed on."""
OF_DOCKER = (f"{_DOCKER}.diff.tar.gzip", f"{_DOCKER}.diff.tar")
FOREIGN = (f"{_DOCKER}.foreign.diff.tar.gzip", f"{_DOCKER}.foreign.diff.tar")


@dataclass(frozen=True)
class Ways:
    """One engine's.

    :param user: what becomes of an image's user.
    :param docker_layers: media types of layers that it unpacks of a manifest of Docker's form;
        ``oci_layers``: of one of the OCI's form, None for any.
    :param closed: what lies below these it cannot make.
    :param makes_start: it makes the directory to start in also where data are mounted.
    :param one_form: it takes no OCI manifest with a configuration that is of another form.
    :param nested: it takes an index in an index.
    :param own_path: it has directories of its own for programs, where an image's PATH is empty.
    :param words_max: bytes of variables and words of a program that it passes on; None where the
        kernel's bound comes first.
    :param word_added: bytes by which it makes a variable longer on its way.
    :param layers_max: layers of which it starts a container; ``layers_once``: older ones did.
    :param volumes_max: VOLUMEs of an image of which we start a container.
    :param strict_layers: it holds the layers against those that the configuration names; of podman,
        4.3 does not count them.
    :param strict_ports: it refuses ports that are none; podman 4.3 passes them over.
    :param strict_signals: it refuses a STOPSIGNAL that is none; of others we read it.
    :param strict_names: it refuses a variable without a name.
    :param strict_places: it refuses volumes at places of the kernel.
    :param strict_text: it refuses words that are not UTF-8.
    :param no_mount_on: what an image may not have where a directory is mounted (values/inside.py);
        ``no_start_in``: what its working directory may not be.
    :param by_shell: the image's shell reads a program that is no script without a first line.
    """

    user: str
    docker_layers: tuple[str, ...]
    oci_layers: tuple[str, ...] | None = None
    closed: tuple[str, ...] = ("/proc/", "/sys/")
    makes_start: bool = False
    one_form: bool = False
    nested: bool = False
    own_path: bool = False
    words_max: int | None = None
    word_added: int = 0
    layers_max: int | None = None
    layers_once: int | None = None
    volumes_max: int | None = None
    strict_layers: bool = False
    strict_ports: bool = False
    strict_signals: bool = False
    strict_names: bool = False
    strict_places: bool = False
    strict_text: bool = False
    no_mount_on: tuple[str, ...] = ()
    no_start_in: tuple[str, ...] = (FILE, OTHER)
    by_shell: bool = False
