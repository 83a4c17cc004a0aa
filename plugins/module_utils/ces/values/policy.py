# SPDX-License-Identifier: GPL-3.0-or-later
"""What a site allows: the contents of ``policy.json``."""

from __future__ import annotations

from ..dataclass import dataclass, field
from ..errors import CesError, RefusedByPolicy
from ..patterns import matches
from ..typed import Any, Callable, Mapping
from .image import ImageRef
from .quantities import GIB, cpu_count, memory_bytes
from .resources import Limits

_HOST = r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?"
_OPTION = r"-[A-Za-z]|--[a-z][a-z0-9-]*!?"
NETWORKS = ("none", "pasta", "slirp4netns", "bridge", "host")


@dataclass(frozen=True)
class AllowedRegistry:
    """Images below ``prefix`` may be pulled; ``rewrite`` is where they are really fetched from.

    ``sign_in``: hosts that may ask for a user's login to it, beside its own and those below.
    """

    prefix: str
    rewrite: str | None = None
    sign_in: tuple[str, ...] = ()

    def covers(self, image: ImageRef) -> bool:
        """Whether the image lies below the prefix, by whole components (no look-alikes)."""
        return image.name == self.prefix or image.name.startswith(f"{self.prefix}/")

    def contradicts(self, other: AllowedRegistry) -> bool:
        """Whether the other one fetches the same images from another place."""
        return self.prefix == other.prefix and self.rewrite != other.rewrite

    def source(self, image: ImageRef) -> ImageRef:
        """The image's name at the place it is fetched from."""
        if self.rewrite is None:
            return image
        name = self.rewrite + image.name[len(self.prefix) :]
        registry, _slash, path = name.partition("/")
        if not path:
            raise RefusedByPolicy(
                f"use image {image}", said=f"the policy rewrites it to {name}, which names no image"
            )
        return ImageRef(registry, path, image.tag, image.digest)


@dataclass(frozen=True)
class SafeData:
    """Where project data lie, how containers may use them, and the prefixes of projects' groups."""

    root: str = "/safe_data"
    access: str = "rw"
    group_prefixes: tuple[str, ...] = ()


@dataclass(frozen=True)
class OptionChanges:
    """A site's changes to an engine's built-in list of allowed options."""

    allow: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()


@dataclass(frozen=True)
class Policy:
    """A site's policy; the defaults are what holds when there is no file.

    ``home``: whether a run that asks for it gets the user's home (``asked``) or not (``never``).
    ``sif_dir``: a directory of image files (SIF) for all users, ``bundle_dir`` one of OCI bundles.
    ``sif_files``: whether files may be run that ces-pull did not fetch (``any``) or not
    (``pulled``). ``sif_compression``: how image files are packed (``zstd`` or ``gzip``).
    ``image_keep_days``: for how many days images are kept that nobody uses; None: for ever.
    Amounts: CPUs are numbers, memory is in bytes. ``origin`` is the file, for messages.
    """

    registries: tuple[AllowedRegistry, ...] = ()
    runners: tuple[str, ...] = ("podman",)
    default_runner: str = "podman"
    cpus: Limits = field(default_factory=Limits)
    memory: Limits = field(default_factory=lambda: Limits(default=4 * GIB))
    limits: str = "if_possible"
    network_default: str = "none"
    networks: tuple[str, ...] = ("none",)
    options: Mapping[str, OptionChanges] = field(default_factory=dict)
    mount_roots: tuple[str, ...] = ("~", "/safe_data")
    safe_data: SafeData = SafeData()
    home: str = "asked"
    sif_dir: str | None = None
    bundle_dir: str | None = None
    sif_files: str = "pulled"
    sif_compression: str = "zstd"
    image_size_limit: int | None = None
    image_keep_days: int | None = None
    require_digest: bool = False
    audit_syslog: bool = True
    origin: str = "/etc/ces/policy.json"

    @classmethod
    def from_dict(cls, raw: object, origin: str) -> Policy:
        """Read parsed JSON.

        :raises CesError: naming the file and the key; an unknown key is an error too.
        """
        keys = _Keys(raw, origin, "")
        values: dict[str, Any] = {"origin": origin}
        for key, read in _READERS.items():
            if key in keys.raw:
                values.update(read(keys))
        keys.finish(tuple(_READERS))
        policy = cls(**values)
        if policy.default_runner not in policy.runners:
            raise keys.wrong(
                "default_runner", f"it must be one of runners: {', '.join(policy.runners)}"
            )
        if policy.network_default not in policy.networks:
            raise keys.wrong("network", "the default must be one of those allowed")
        return policy

    def registry_for(self, image: ImageRef) -> AllowedRegistry:
        """The entry with the longest prefix that covers the image.

        :raises RefusedByPolicy: none does, or the site requires digests and this is a tag.
        """
        matches = [entry for entry in self.registries if entry.covers(image)]
        if not matches:
            listed = ", ".join(entry.prefix for entry in self.registries)
            raise RefusedByPolicy(
                f"use image {image}",
                said=f"its registry is not allowed on this back-end (allowed: {listed or 'none'})",
                hint=f"use an allowed registry, or the administrator adds it to {self.origin}",
            )
        if self.require_digest and image.digest is None:
            raise RefusedByPolicy(
                f"use image {image}",
                said="this site requires images to be named by digest",
                hint=f"write {image.name}@sha256:...",
            )
        return max(matches, key=lambda entry: len(entry.prefix))

    def check_home(self) -> None:
        """Whether a run may have the user's home.

        :raises RefusedByPolicy: it may not.
        """
        if self.home == "never":
            raise RefusedByPolicy(
                "mount the home directory",
                said="this site does not allow it",
                hint="mount what is needed with -v, or put it into /safe_data",
            )

    def check_network(self, mode: str | None) -> str:
        """The network mode to use.

        :raises RefusedByPolicy: the mode is not allowed.
        """
        if mode is None:
            return self.network_default
        if mode not in self.networks:
            raise RefusedByPolicy(
                f"use network {mode!r}", said=f"this site allows: {', '.join(self.networks)}"
            )
        return mode


class _Keys:
    """Reads one JSON object, and complains with file and key."""

    def __init__(self, raw: object, origin: str, path: str) -> None:
        self.origin, self.path = origin, path
        if not isinstance(raw, dict):
            raise self.wrong("", "it is not a JSON object")
        self.raw: dict[str, Any] = raw

    def wrong(self, key: str, said: str) -> CesError:
        where = ".".join(part for part in (self.path, key) if part)
        what = f"read {where!r} in {self.origin}" if where else f"read {self.origin}"
        return CesError(what, said=said, hint="correct the policy; the role ces_tools writes it")

    def finish(self, known: tuple[str, ...]) -> None:
        for key in self.raw:
            if key not in known:
                raise self.wrong(key, f"there is no such key; known: {', '.join(sorted(known))}")

    def get(self, key: str, kind: type, default: Any = None) -> Any:
        value = self.raw.get(key, default)
        # bool is an int in Python, and true is no amount
        if value is not None and (
            not isinstance(value, kind) or isinstance(value, bool) != (kind is bool)
        ):
            raise self.wrong(key, f"{value!r} is not a {_JSON_NAMES.get(kind, kind.__name__)}")
        return value

    def words(self, key: str, default: tuple[str, ...] = ()) -> tuple[str, ...]:
        value = self.get(key, list)
        if value is None:
            return default
        if not all(isinstance(item, str) and item for item in value):
            raise self.wrong(key, "it must be a list of non-empty strings")
        return tuple(value)

    def choice(self, key: str, choices: tuple[str, ...], default: str) -> str:
        value: str = self.get(key, str, default)
        if value not in choices:
            raise self.wrong(key, f"{value!r} is none of {', '.join(choices)}")
        return value

    def amount(self, key: str, read: Callable[..., Any], default: Any = None) -> Any:
        value = self.raw.get(key, default)
        if isinstance(value, (bool, list, dict)):
            raise self.wrong(key, f"{value!r} is no amount")
        try:
            return read(value)
        except CesError as error:
            raise self.wrong(key, error.said) from None

    def inside(self, key: str) -> _Keys:
        return _Keys(
            self.raw[key], self.origin, ".".join(part for part in (self.path, key) if part)
        )


DAYS_MAX = 36_500
"""Days for which an image may be kept: a century."""
_JSON_NAMES = {
    int: "whole number",
    str: "string",
    list: "list",
    bool: "boolean",
    dict: "JSON object",
}


def _registries(keys: _Keys) -> dict[str, Any]:
    entries = []
    for number, raw in enumerate(keys.get("registries", list) or []):
        entry = _Keys(raw, keys.origin, f"registries[{number}]")
        prefix, rewrite = entry.get("prefix", str), entry.get("rewrite", str)
        entry.finish(("prefix", "rewrite", "sign_in"))
        for key, text in (("prefix", prefix), ("rewrite", rewrite)):
            if key == "prefix" or text is not None:
                _check_prefix(entry, key, text)
        sign_in = tuple(host.lower() for host in entry.words("sign_in"))
        for host in sign_in:
            if not matches(_HOST, host):
                raise entry.wrong("sign_in", f"{host!r} is not a host's name, without a port")
        entries.append(
            AllowedRegistry(prefix.rstrip("/"), rewrite and rewrite.rstrip("/"), sign_in)
        )
        if any(entries[-1].contradicts(other) for other in entries[:-1]):
            raise entry.wrong("prefix", f"{prefix!r} is there twice, with different rewrites")
    return {"registries": tuple(entries)}


def _check_prefix(keys: _Keys, key: str, text: str | None) -> None:
    try:
        image = ImageRef.parse(f"{(text or '').rstrip('/')}/x")
    except CesError:
        image = None
    if image is None or image.tag != "latest" or not (text or "").startswith(image.registry):
        raise keys.wrong(
            key,
            f"{text!r} is not a registry with an optional path, in lower case, as in"
            " registry.example.org/project: no https://, no *, no tag",
        )


def _limits(key: str, read: Callable[..., Any], default: Any) -> Callable[[_Keys], dict[str, Any]]:
    def reader(keys: _Keys) -> dict[str, Any]:
        inner = keys.inside(key)
        inner.finish(("default", "maximum"))
        return {key: Limits(inner.amount("default", read, default), inner.amount("maximum", read))}

    return reader


def _network(keys: _Keys) -> dict[str, Any]:
    inner = keys.inside("network")
    inner.finish(("default", "allowed"))
    default = inner.choice("default", NETWORKS, "none")
    networks = inner.words("allowed", (default,))
    for mode in networks:
        if mode not in NETWORKS:
            raise inner.wrong("allowed", f"{mode!r} is none of {', '.join(NETWORKS)}")
    return {"network_default": default, "networks": networks}


def _options(keys: _Keys) -> dict[str, Any]:
    inner = keys.inside("options")
    changes = {}
    for runner in inner.raw:
        entry = inner.inside(runner)
        entry.finish(("allow", "deny"))
        for key in ("allow", "deny"):
            _check_options(entry, key)
        changes[runner] = OptionChanges(entry.words("allow"), entry.words("deny"))
    return {"options": changes}


def _check_options(keys: _Keys, key: str) -> None:
    for name in keys.words(key):
        if not matches(_OPTION, name):
            raise keys.wrong(key, f"{name!r} is not an option's name, --name or -n")


def _safe_data(keys: _Keys) -> dict[str, Any]:
    inner = keys.inside("safe_data")
    inner.finish(("root", "access", "group_prefixes"))
    root = inner.get("root", str, "/safe_data")
    if root is None or not root.startswith("/"):
        raise inner.wrong("root", "it is not an absolute path")
    access = inner.choice("access", ("rw", "ro"), "rw")
    return {"safe_data": SafeData(root, access, inner.words("group_prefixes"))}


def _mount_roots(keys: _Keys) -> dict[str, Any]:
    roots = keys.words("mount_roots")
    for root in roots:
        if not root.startswith(("/", "~/")) and root != "~":
            raise keys.wrong("mount_roots", f"{root!r} is neither absolute nor below ~")
    return {"mount_roots": roots}


def _directory(key: str) -> Callable[[_Keys], dict[str, Any]]:
    def reader(keys: _Keys) -> dict[str, Any]:
        path = keys.get(key, str)
        if path is not None and not path.startswith("/"):
            raise keys.wrong(key, f"{path!r} is not an absolute path")
        return {key: path}

    return reader


def _keep_days(keys: _Keys) -> dict[str, Any]:
    days = keys.get("image_keep_days", int)
    if days is not None and not 1 <= days <= DAYS_MAX:
        raise keys.wrong("image_keep_days", f"{days} is not between 1 and {DAYS_MAX}")
    return {"image_keep_days": days}


def _audit(keys: _Keys) -> dict[str, Any]:
    inner = keys.inside("audit")
    inner.finish(("syslog",))
    return {"audit_syslog": bool(inner.get("syslog", bool, True))}


_READERS: Mapping[str, Callable[[_Keys], dict[str, Any]]] = {
    "registries": _registries,
    "runners": lambda keys: {"runners": keys.words("runners")},
    "default_runner": lambda keys: {"default_runner": keys.get("default_runner", str)},
    "cpus": _limits("cpus", cpu_count, None),
    "memory": _limits("memory", memory_bytes, "4GiB"),
    "limits": lambda keys: {
        "limits": keys.choice("limits", ("if_possible", "required"), "if_possible")
    },
    "network": _network,
    "options": _options,
    "mount_roots": _mount_roots,
    "safe_data": _safe_data,
    "home": lambda keys: {"home": keys.choice("home", ("asked", "never"), "asked")},
    "sif_dir": _directory("sif_dir"),
    "bundle_dir": _directory("bundle_dir"),
    "sif_files": lambda keys: {"sif_files": keys.choice("sif_files", ("pulled", "any"), "pulled")},
    "sif_compression": lambda keys: {
        "sif_compression": keys.choice("sif_compression", ("zstd", "gzip"), "zstd")
    },
    "image_size_limit": lambda keys: {
        "image_size_limit": keys.amount("image_size_limit", memory_bytes)
    },
    "image_keep_days": _keep_days,
    "require_digest": lambda keys: {
        "require_digest": bool(keys.get("require_digest", bool, False))
    },
    "audit": _audit,
}
