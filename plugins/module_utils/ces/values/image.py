# SPDX-License-Identifier: GPL-3.0-or-later
"""Image references: what a registry image is called.

The grammar is that of https://github.com/distribution/reference, with one rule of ours: the
registry is always named, because a short name would be looked up in whatever registry comes first.
"""

from __future__ import annotations

from ..dataclass import dataclass
from ..errors import InvalidValue
from ..patterns import matches
from ..typed import Union

_DIGITS = "0123456789"
_SMALL = f"{_DIGITS}abcdefghijklmnopqrstuvwxyz"
_ALPHANUMERIC = f"{_SMALL}ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_HEXADECIMAL = f"{_DIGITS}abcdefABCDEF"
COMPONENT_SEPARATORS = (".", "_", "__")
TAG_MAX = 128
_HASH_MIN = 32
DIGEST_LENGTH = {"sha256": 64, "sha384": 96, "sha512": 128}
NAME_MAX = 255
_TRANSPORT = r"(?s)([a-z-]+://|(docker-archive|oci|oci-archive|dir|containers-storage):).*"
_FORM = "write it as registry.example.org/project/image:tag"


@dataclass(frozen=True)
class ImageRef:
    """An image in a registry, ``host[:port]/path[:tag][@digest]``.

    :raises InvalidValue: the text is not such a reference.
    """

    registry: str
    path: str
    tag: str | None = None
    digest: str | None = None

    @classmethod
    def parse(cls, text: str) -> ImageRef:
        """Read a reference; without tag and digest the tag is ``latest``, as engines have it."""
        registry, path, tag, digest = _parts(text)
        whole = _is_registry(registry) and _is_path(path)
        whole = whole and (tag is None or _is_tag(tag)) and (digest is None or _names_hash(digest))
        if not whole:
            raise InvalidValue("an image", text, _why_not(text), _FORM)
        if not _names_a_host(registry):
            raise InvalidValue("an image", text, "it does not name its registry", _FORM)
        if len(registry) + 1 + len(path) > NAME_MAX:
            raise InvalidValue("an image", text, f"its name is longer than {NAME_MAX} characters")
        if digest is not None:
            _check_digest(text, digest)
        elif tag is None:
            tag = "latest"
        registry = registry.lower()
        if registry == "docker.io" and "/" not in path:
            path = f"library/{path}"
        return cls(registry, path, tag, digest)

    @property
    def name(self) -> str:
        """Registry and path, without tag and digest."""
        return f"{self.registry}/{self.path}"

    @property
    def reference(self) -> str:
        """What the registry is asked for: the digest if there is one, else the tag."""
        return self.digest or self.tag or "latest"

    @property
    def short_name(self) -> str:
        """The last part of the path and the tag, for people: ``hello-tre:1.0``."""
        return f"{self.path.rsplit('/', 1)[-1]}:{self.tag or (self.digest or '')[:19]}"

    def pinned(self, digest: str) -> str:
        """The name of exactly this content: ``registry/path@digest``."""
        return f"{self.name}@{digest}"

    def __str__(self) -> str:
        # engines refuse a reference with both: the digest says more
        if self.digest is not None:
            return f"{self.name}@{self.digest}"
        return f"{self.name}:{self.tag}"


def _parts(text: str) -> tuple[str, str, str | None, str | None]:
    """Registry, path, tag and digest, whatever is in them; without a mark None for the last two."""
    registry, _slash, rest = text.partition("/")
    rest, at, digest = rest.partition("@")
    path, colon, tag = rest.partition(":")
    return registry, path, tag if colon else None, digest if at else None


def _is_registry(text: str) -> bool:
    """``host``, ``host:port`` or ``[IPv6 address]:port``."""
    host, colon, port = text.rpartition(":") if not text.endswith("]") else (text, "", "")
    if not colon:
        host = text
    elif not _is_of(port, _DIGITS):
        return False
    if host[:1] == "[" and host[-1:] == "]":
        return _is_of(host[1:-1], f"{_HEXADECIMAL}:")
    return all(map(_is_label, host.split(".")))


def _is_label(text: str) -> bool:
    return _is_of(text, f"{_ALPHANUMERIC}-") and text[0] != "-" != text[-1]


def _is_path(text: str) -> bool:
    return all(map(_is_component, text.split("/")))


def _is_component(text: str) -> bool:
    """Runs of small letters and digits with one of the separators between them."""
    if not _is_of(text, f"{_SMALL}._-") or text[0] in "._-" or text[-1] in "._-":
        return False
    between = "".join(" " if char in _SMALL else char for char in text).split()
    return all(part in COMPONENT_SEPARATORS or not part.strip("-") for part in between)


def _is_tag(text: str) -> bool:
    return len(text) <= TAG_MAX and _is_of(text, f"{_ALPHANUMERIC}_.-") and text[0] not in ".-"


def _names_hash(text: str) -> bool:
    """A hash by the name of its algorithm, whether engines know that or not."""
    algorithm, _colon, value = text.partition(":")
    return (
        _is_of(algorithm, f"{_ALPHANUMERIC}+._-")
        and _is_of(value, _HEXADECIMAL)
        and len(value) >= _HASH_MIN
    )


def _is_of(text: str, alphabet: str) -> bool:
    """Whether a text is not empty and has no other characters than these."""
    return bool(text) and not text.strip(alphabet)


def _names_a_host(registry: str) -> bool:
    """Whether the first component is a host, by the rule that every engine follows."""
    return any(mark in registry for mark in ".:[") or registry == "localhost"


def is_digest(text: str) -> bool:
    """Whether the text is a digest that engines and registries agree on."""
    algorithm, _colon, value = text.partition(":")
    return len(value) == DIGEST_LENGTH.get(algorithm) and not value.strip("0123456789abcdef")


def _check_digest(text: str, digest: str) -> None:
    if not is_digest(digest):
        raise InvalidValue(
            "an image", text, f"{digest!r} is not a digest", "write sha256:64 hex digits"
        )


def _why_not(text: str) -> str:
    """The likeliest mistake, in words."""
    if not text:
        return "it is empty"
    if any(ord(char) < 33 or ord(char) == 127 for char in text):
        return "it contains white space or control characters"
    if text.startswith("-"):
        return "it starts with a dash"
    if matches(_TRANSPORT, text):
        return "it starts with a transport; only registries are allowed and none is written"
    if "/" not in text:
        return "it does not name its registry"
    if "@" in text.split("/", 1)[0]:
        return "the registry contains '@'; a user is given with --username"
    return "it is not an image reference (lower-case path, optional :tag, optional @sha256:digest)"


@dataclass(frozen=True)
class ImageFile:
    """An image that is a file on the back-end (SIF), by its absolute path.

    :raises InvalidValue: the path is not absolute.
    """

    path: str

    def __post_init__(self) -> None:
        if not self.path.startswith("/"):
            raise InvalidValue("an image file", self.path, "the path is not absolute")

    def __str__(self) -> str:
        return self.path


Image = Union[ImageRef, ImageFile]


def parse_image(text: str, directory: str) -> Image:
    """An image as it is named on a command line: a path, or a reference.

    :param directory: what a relative path starts at.
    """
    if text.endswith(".sif") or text.startswith(("/", "./", "../")):
        return ImageFile(text if text.startswith("/") else f"{directory.rstrip('/')}/{text}")
    return ImageRef.parse(text)
