# SPDX-License-Identifier: GPL-3.0-or-later
"""Make a bundle that stays: for Slurm's ``--container``, and for whoever runs bundles themselves.

It holds a configuration and an empty root, and refers to the unpacked image: made in a moment, and
small. Its root is read-only, so that many can run it at once.
"""

from __future__ import annotations

import json
import os

from ..dataclass import dataclass, replace
from ..engines.command import Launch
from ..engines.images.store import LocalImage
from ..engines.oci.images.root import configuration, lay_out, survey
from ..engines.oci.images.store import config_in
from ..errors import CesError, InvalidValue
from ..system.directories import mounted_below
from ..system.files import explained, read_if_there, write_new
from ..system.system import System
from ..system.trees import new_directory, only_ours, opened, path_of, remove
from ..values.bundle import Ground
from ..values.command import Command
from ..values.image import ImageRef
from ..values.mounts import SAFE_OUTPUTS, SCRATCH, Mount
from ..values.resources import Resources
from ..values.spec import RunSpec
from .images import store_of
from .plan import Plan, plan_run
from .ready import fetched_image

_NOTE = "tre.ces.image"
"""The annotation that says of which image we made a bundle."""


@dataclass(frozen=True)
class Made:
    """What it came to.

    :param changed: the bundle is new, or another than before; in check mode, it would be.
    :param image: None in check mode, if it would have to be pulled.
    :param before: the image, by digest, that the bundle was of before; empty if there was none.
    """

    changed: bool
    path: str
    image: LocalImage | None
    before: str = ""

    @property
    def after(self) -> str:
        """The image that the bundle is of now, by digest as far as that is known."""
        return self.image.digests[0] if self.image else ""


def make_bundle(
    spec: RunSpec, path: str, system: System, copy: bool = False, check_only: bool = False
) -> Made:
    """Make a bundle of an image in a directory, unless it is there just so.

    :param spec: the image, the directories, arguments, environment and network; no more counts.
    :param copy: with a copy of the image's files, for hosts that do not see the store of images.
    :raises CesError: it was refused, or the directory is something else.
    """
    image = spec.image
    if not isinstance(image, ImageRef):
        raise InvalidValue("an image", str(image), "it is a file", "name it by its registry")
    plan = plan_run(spec, system)
    before = _text_of(path)
    store = store_of(plan.spec.runner, system)
    if check_only:
        found = store.find(image)
        same = found is not None and before == _settle(plan, found, path, copy, system)[1]
        return Made(not same, path, found, _image_of(before))
    local = fetched_image(plan, store, system)
    for mount in _mounts(plan)[1:]:
        with explained(f"make {mount.source} for {mount.target}"):
            os.makedirs(mount.source, mode=0o700, exist_ok=True)
    ground, text = _settle(plan, local, path, copy, system)
    if before == text:
        return Made(False, path, local, _image_of(before))
    with explained(f"make the bundle {path}"):
        _make(plan, ground, text, f"{local.file}/rootfs", path, copy, system)
    return Made(True, path, local, _image_of(before))


def _make(
    plan: Plan, ground: Ground, text: str, source: str, path: str, copy: bool, system: System
) -> None:
    """Make it beside its place, and put it there. Others may write there, and rename what we make.

    :param source: the image's files.
    :raises CesError: somebody has put something else there.
    """
    above, name = os.path.split(path)
    above, passing = os.path.realpath(above), f"{name}.{os.getpid()}.tmp"
    if not only_ours(above):
        system.tell(
            f"warning: others may write in {above}, and can put another bundle in the place of this"
        )
    with opened(above) as place:
        try:
            with new_directory(passing, place) as new:
                here = path_of(new)
                lay_out(replace(ground, rootfs=source), _launch(plan, path), here)
                if copy:
                    # directories may be in each other a thousand times
                    argv = ("cp", "--archive", "--", source, f"{here}/rootfs")
                    system.process.run(Command(argv)).check(f"copy the image to {path}")
                write_new(f"{here}/config.json", text)
                remove(name, place)
                os.rename(passing, name, src_dir_fd=place, dst_dir_fd=place)
                put = os.stat(name, dir_fd=place, follow_symlinks=False)
                if not os.path.samestat(put, os.fstat(new)):
                    raise CesError(
                        f"make the bundle {path}", said="somebody put something else in its place"
                    )
        finally:
            remove(passing, place)


def _text_of(path: str) -> str:
    """The configuration of the bundle that is there; empty if there is none.

    :raises CesError: there is something else, which is not ours to replace.
    """
    if not os.path.lexists(path):
        return ""
    text = read_if_there(f"{path}/config.json")
    try:
        ours = isinstance(json.loads(text)["annotations"][_NOTE], str)
    except (ValueError, LookupError, TypeError, RecursionError):
        ours = False
    if not ours:
        raise CesError(
            f"make the bundle {path}",
            said="there is something of that name which ces-bundle did not make",
            hint="move it away, or name another directory",
        )
    return text


def _image_of(text: str) -> str:
    return str(json.loads(text)["annotations"][_NOTE]) if text else ""


def _settle(
    plan: Plan, image: LocalImage, path: str, copy: bool, system: System
) -> tuple[Ground, str]:
    """What the bundle is made of, and the text of its configuration."""
    launch, said = _launch(plan, path), config_in(str(image.file))
    ground = survey(launch, said, f"{image.file}/rootfs", path, layers=None)
    if copy:
        ground = replace(ground, rootfs=f"{path}/rootfs")
    config = configuration(launch, said, ground, system.account)
    config["annotations"][_NOTE] = image.digests[0]
    return ground, json.dumps(config, ensure_ascii=False, indent=1)


def _launch(plan: Plan, path: str) -> Launch:
    return Launch(
        image=str(plan.spec.image),
        run_id=0,
        name=plan.spec.name or "ces-bundle",
        mounts=_mounts(plan),
        resources=Resources(),
        network=plan.network,
        private=path,
        env=plan.env,
        args=tuple(plan.spec.args),
    )


def _mounts(plan: Plan) -> tuple[Mount, ...]:
    """Outputs and scratch have no number here: they are those that the caller names, or none."""
    chosen = ((plan.outputs, SAFE_OUTPUTS), (plan.scratch, SCRATCH))
    named = (Mount(source, target) for source, target in chosen if source)
    return (plan.safe_data, *named, *mounted_below(plan.safe_data))
