# SPDX-License-Identifier: GPL-3.0-or-later
"""May an image be used here, and can an engine fetch it? Rows of the table in image.py."""

from __future__ import annotations

from ..engines.command import FREE_SPACE
from ..engines.table import known_runners
from ..typed import Iterator
from ..values.manifest import CONFIGURATIONS, DOCKER
from ..values.platform import is_processor, unlike
from ..values.quantities import spell_bytes
from .configuration import CORRECTED
from .facts import MAKER, Engine, Host, Image, by_disk, room_for
from .look import Told


def look_at_engine(_image: Image, _host: Host, engine: Engine) -> Iterator[Told]:
    """Whether the site allows the engine and the host has it."""
    if engine.refusal is not None:
        named = engine.name if f"role {engine.name}" in engine.refusal.hint else ""
        yield Told("fault", engine.refusal.said, engine.refusal.hint, named)


def look_at_files(image: Image, _host: Host, engine: Engine) -> Iterator[Told]:
    """Whether a pull can read the files of the engine's configuration."""
    if engine.fetches(image):
        for said in engine.misread:
            yield Told("fault", f"{said}: nothing can be pulled", CORRECTED, "podman")


def look_at_policy(image: Image, _host: Host, _engine: Engine) -> Iterator[Told]:
    """Whether the site allows the image, and how its registry is reached."""
    refusal = image.refusal
    if refusal is not None and image.refused_by == "policy":
        yield Told("fault", refusal.said, refusal.hint, "ces_tools")
    elif image.unnamed:
        yield Told("fault", image.unnamed, f"write {_pinned(image)}")
    for sentence in image.asked:
        yield Told("note", sentence)


def look_at_registry(image: Image, _host: Host, engine: Engine) -> Iterator[Told]:
    """Whether its registry has the image, for this processor."""
    yield from _refused(image, engine, "registry")


def look_at_login(image: Image, _host: Host, engine: Engine) -> Iterator[Told]:
    """Whether its registry gives the image to who asks."""
    yield from _refused(image, engine, "login")


def _refused(image: Image, engine: Engine, by: str) -> Iterator[Told]:
    refusal = image.refusal
    if refusal is None or image.refused_by != by:
        return
    if engine.here is None:
        yield Told("fault", refusal.said, refusal.hint)
    else:
        yield Told("warning", f"{refusal.said}: a run takes the image that is here", refusal.hint)


def look_at_present(image: Image, _host: Host, engine: Engine) -> Iterator[Told]:
    """Whether another image of that name is here."""
    if engine.damaged:
        yield Told("warning", engine.damaged, "pull the image again (ces-pull)")
    elif engine.here is not None and engine.fetches(image):
        yield Told(
            "note",
            f"another image of that name is here ({engine.here}): a run takes that one",
            "ces-pull fetches the new one",
        )
    elif engine.here is not None and image.manifest is not None:
        yield Told("ok", f"{engine.name} has it already: nothing is fetched")


def _pinned(image: Image) -> str:
    name = image.name.rpartition(":")[0]
    return f"{name}@{image.manifest.digest if image.manifest else 'sha256:...'}"


def look_at_platform(image: Image, host: Host, _engine: Engine) -> Iterator[Told]:
    """Whether its configuration names this processor and system.

    Of an image that is in no index engines pass over a system that is not linux, and words that
    name no processor: its programs may be for this host all the same.
    """
    architecture = str(image.parts.get("architecture") or "")
    system = str(image.parts.get("os") or "linux")
    wrong = unlike(architecture, host.architecture)
    if wrong is not None:
        yield Told("fault", wrong[0], wrong[1])
    elif architecture and not is_processor(architecture):
        yield _may_not_be(f"the processor {architecture!r:.40}", host)
    if system != "linux":
        yield _may_not_be(f"{system!r:.40}", host)


def _may_not_be(what: str, host: Host) -> Told:
    return Told(
        "warning",
        f"it says that it is for {what}: if its programs are, none of them can be executed",
        f"ask for a variant of the image for linux/{host.architecture}",
    )


def look_at_artifact(image: Image, _host: Host, engine: Engine) -> Iterator[Told]:
    """Whether it is a container image, in one of the two forms."""
    manifest = image.manifest
    if manifest is None:
        return
    form, hint = manifest.config_form, engine.runner.hint
    if manifest.form != DOCKER and engine.ways.one_form and form != CONFIGURATIONS[0]:
        mixed = form in CONFIGURATIONS
        said = "is Docker's, in a manifest of the OCI" if mixed else f"is {form!r}, no image's"
        yield Told(
            "fault",
            f"the form of its configuration {said}",
            hint("invalid mixed oci image" if mixed else "artifact with type"),
        )
    elif not manifest.layers:
        yield Told("fault", "it has no layers", hint("no extractable oci/docker tar layers"))


def look_at_index(image: Image, _host: Host, engine: Engine) -> Iterator[Told]:
    """Whether the engine finds the part for this host in the indexes."""
    nested = image.manifest is not None and image.manifest.indexes > 1
    if nested and not engine.ways.nested and engine.fetches(image):
        yield Told(
            "fault",
            f"{engine.name} looks into no index in an index",
            engine.runner.hint("unexpectedly received a manifest list"),
        )


def look_at_layers(image: Image, _host: Host, engine: Engine) -> Iterator[Told]:
    """Whether the engine knows the form of each layer."""
    manifest = image.manifest
    if manifest is None or not engine.fetches(image):
        return
    docker = manifest.form == DOCKER
    known = engine.ways.docker_layers if docker else engine.ways.oci_layers
    forms = dict.fromkeys(layer.form for layer in manifest.layers)
    for form in forms:
        if known is None or form in known:
            continue
        elsewhere = docker and any(
            form in other.traits().ways.docker_layers for other in known_runners().values()
        )
        yield Told(
            "fault",
            f"{engine.name} unpacks no layer of the form {form!r:.80} in a manifest of"
            f" {'Docker' if docker else 'the OCI'}",
            engine.runner.hint("unsupported docker v2s2 media type") if elsewhere else _USUAL,
        )


def look_at_depth(image: Image, _host: Host, engine: Engine) -> Iterator[Told]:
    """Whether the engine can lay so many layers over each other."""
    count, ways = len(image.manifest.layers) if image.manifest else 0, engine.ways
    cure = f"{MAKER} to put them together, or use the runner oci or apptainer"
    if ways.layers_max is not None and count > ways.layers_max:
        said = f"it has {count} layers, and {engine.name} starts no container of more than"
        yield Told("fault", f"{said} {ways.layers_max}", cure)
    elif ways.layers_once is not None and count > ways.layers_once:
        said = (
            f"it has {count} layers, and older versions of {engine.name} (4.3) start no container"
        )
        yield Told("warning", f"{said} of more than {ways.layers_once}", cure)


_USUAL = f"{MAKER} to push it with layers of the usual form (tar+gzip)"


def look_at_diff_ids(image: Image, _host: Host, engine: Engine) -> Iterator[Told]:
    """Whether its configuration names as many layers as there are."""
    manifest, about = image.manifest, image.parts.get("rootfs")
    named = about.get("diff_ids") if isinstance(about, dict) else None
    if manifest is None or not isinstance(named, list) or not engine.ways.strict_layers:
        return
    if len(named) != len(manifest.layers) and engine.fetches(image):
        yield Told(
            "fault",
            f"it has {len(manifest.layers)} layers, and its configuration names {len(named)}",
            engine.runner.hint("diffid"),
        )


def look_at_size(image: Image, host: Host, engine: Engine) -> Iterator[Told]:
    """Whether the site allows an image of that size."""
    manifest, limit = image.manifest, host.size_limit
    if manifest is None or limit is None or not engine.fetches(image):
        return
    if manifest.size > limit:
        yield Told(
            "fault",
            f"it is {manifest.size} bytes; this site allows {limit}",
            "use a smaller image",
        )


def look_at_space(image: Image, _host: Host, engine: Engine) -> Iterator[Told]:
    """Whether a pull has room where the engine keeps what it fetches."""
    if image.manifest is None or not engine.fetches(image):
        return
    closed = [space.path for space in engine.spaces if space.closed]
    for path in closed:
        yield Told(
            "fault",
            f"a pull keeps files in {path}, which cannot be written to or is not there",
            "if TMPDIR or APPTAINER_TMPDIR names it, unset that; if none does, the administrator"
            " makes it, or corrects its owner and mode",
            "container_storage",
        )
    if closed:
        return
    size = image.manifest.size
    for spaces in by_disk(engine.spaces):
        fits, said = room_for(size, spaces)
        usual = size * sum(space.usual for space in spaces)
        cure = f"{FREE_SPACE}; or the administrator gives these directories more"
        if not fits:
            yield Told("fault", said, cure, "container_storage")
        elif spaces[0].free < usual:
            yield Told(
                "warning",
                f"{said}: unpacked it may take {spell_bytes(usual)}",
                cure,
                "container_storage",
            )
