# SPDX-License-Identifier: GPL-3.0-or-later
"""Image references, against the grammar of distribution/reference with the registry required."""

from __future__ import annotations

import re

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from ansible_collections.tre.ces.plugins.module_utils.ces.errors import InvalidValue
from ansible_collections.tre.ces.plugins.module_utils.ces.values.image import (
    ImageRef,
    is_digest,
)

SHA256 = "sha256:" + "0123456789abcdef" * 4
SHA512 = "sha512:" + "0123456789abcdef" * 8

VALID = {
    # text: (registry, path, tag, digest)
    "registry.example.org/app": ("registry.example.org", "app", "latest", None),
    "registry.example.org/app:1.0": ("registry.example.org", "app", "1.0", None),
    "registry.example.org/a/b/c/d/e:1": ("registry.example.org", "a/b/c/d/e", "1", None),
    "registry.example.org:5000/app:1": ("registry.example.org:5000", "app", "1", None),
    "registry.example.org:5000/5000:5000": ("registry.example.org:5000", "5000", "5000", None),
    "localhost/app": ("localhost", "app", "latest", None),
    "localhost:5000/app": ("localhost:5000", "app", "latest", None),
    "myhost:5000/app": ("myhost:5000", "app", "latest", None),
    "10.0.0.1/app": ("10.0.0.1", "app", "latest", None),
    "10.0.0.1:5000/app": ("10.0.0.1:5000", "app", "latest", None),
    "[2001:db8::1]/app": ("[2001:db8::1]", "app", "latest", None),
    "[2001:db8::1]:5000/app:1": ("[2001:db8::1]:5000", "app", "1", None),
    "xn--n3h.example/app": ("xn--n3h.example", "app", "latest", None),
    "a--b.example/app": ("a--b.example", "app", "latest", None),
    "Registry.Example.ORG/app": ("registry.example.org", "app", "latest", None),
    "docker.io/debian": ("docker.io", "library/debian", "latest", None),
    "docker.io/library/debian:12": ("docker.io", "library/debian", "12", None),
    "docker.io/user/app": ("docker.io", "user/app", "latest", None),
    "ghcr.io/a-b/c_d/e__f/g.h/i---j:x": ("ghcr.io", "a-b/c_d/e__f/g.h/i---j", "x", None),
    "ghcr.io/0a/b0": ("ghcr.io", "0a/b0", "latest", None),
    "ghcr.io/a:_x": ("ghcr.io", "a", "_x", None),
    "ghcr.io/a:V1.0-rc_2": ("ghcr.io", "a", "V1.0-rc_2", None),
    "ghcr.io/a:" + "t" * 128: ("ghcr.io", "a", "t" * 128, None),
    f"ghcr.io/a@{SHA256}": ("ghcr.io", "a", None, SHA256),
    f"ghcr.io/a@{SHA512}": ("ghcr.io", "a", None, SHA512),
    f"ghcr.io/a:1.0@{SHA256}": ("ghcr.io", "a", "1.0", SHA256),
    "ghcr.io/" + "a" * 247: ("ghcr.io", "a" * 247, "latest", None),
}

INVALID = {
    # text: what the message must say
    "": "it is empty",
    "app": "does not name its registry",
    "app:1.0": "does not name its registry",
    "user/app": "does not name its registry",
    "user/app:1.0": "does not name its registry",
    f"app@{SHA256}": "does not name its registry",
    "LOCALHOST/app": "does not name its registry",
    "/app": "not an image reference",
    "ghcr.io/": "not an image reference",
    "ghcr.io//app": "not an image reference",
    "ghcr.io/app/": "not an image reference",
    "ghcr.io/App": "lower-case",
    "ghcr.io/a/B/c": "lower-case",
    "ghcr.io/a..b": "not an image reference",
    "ghcr.io/a___b": "not an image reference",
    "ghcr.io/a._b": "not an image reference",
    "ghcr.io/-a": "not an image reference",
    "ghcr.io/a-": "not an image reference",
    "ghcr.io/.a": "not an image reference",
    "ghcr.io/a.": "not an image reference",
    "ghcr.io/_a": "not an image reference",
    "ghcr.io/../a": "not an image reference",
    "ghcr.io/./a": "not an image reference",
    "ghcr.io/a/../b": "not an image reference",
    "ghcr.io/a%2fb": "not an image reference",
    "ghcr.io/a?b": "not an image reference",
    "ghcr.io/a#b": "not an image reference",
    "ghcr.io/a\\b": "not an image reference",
    "ghcr.io/a$(id)": "not an image reference",
    "ghcr.io/a;id": "not an image reference",
    "ghcr.io/a'b": "not an image reference",
    "ghcr.io/ä": "not an image reference",
    "ghcr.io/\u0430pp": "not an image reference",  # a Cyrillic letter
    "ghcr.io/a:": "not an image reference",
    "ghcr.io/a:-1": "not an image reference",
    "ghcr.io/a:.1": "not an image reference",
    "ghcr.io/a:1:2": "not an image reference",
    "ghcr.io/a:1/b": "not an image reference",
    "ghcr.io/a:1+2": "not an image reference",
    "ghcr.io/a:1٣": "not an image reference",  # an Arabic digit
    "ghcr.io/a:" + "t" * 129: "not an image reference",
    "ghcr.io/" + "a" * 248: "longer than 255",
    "ghcr.io./a": "not an image reference",
    ".ghcr.io/a": "not an image reference",
    "ghcr..io/a": "not an image reference",
    "-ghcr.io/a": "starts with a dash",
    "--privileged": "starts with a dash",
    "--tls-verify=false/x.y/z": "starts with a dash",
    "ghcr-.io/a": "not an image reference",
    "ghcr_x.io/a": "not an image reference",
    "ghcr.io:/a": "not an image reference",
    "ghcr.io:port/a": "not an image reference",
    "ghcr.io:50:00/a": "not an image reference",
    "[::1/a": "not an image reference",
    "[::g]/a": "not an image reference",
    "::1/a": "not an image reference",
    "ghcr.io@evil.example/a": "contains '@'",
    "user@ghcr.io/a": "contains '@'",
    "user:secret@ghcr.io/a": "contains '@'",
    f"ghcr.io@{SHA256}/a": "contains '@'",
    "docker://ghcr.io/a": "transport",
    "oci://ghcr.io/a": "transport",
    "https://ghcr.io/a": "transport",
    "docker-archive:/tmp/x.tar": "transport",
    "containers-storage:ghcr.io/a": "transport",
    "oci:/tmp/x": "transport",
    "dir:/tmp/x": "transport",
    " ghcr.io/a": "white space",
    "ghcr.io/a ": "white space",
    "ghcr.io/a b": "white space",
    "ghcr.io/a\n": "white space",
    "ghcr.io/a\n--privileged": "white space",
    "ghcr.io/a\t": "white space",
    "ghcr.io/a\0": "control characters",
    "ghcr.io/a\x1b[31m": "control characters",
    "ghcr.io/a\x7f": "control characters",
    "ghcr.io/a\u00a0": "not an image reference",
    "ghcr.io/a@": "not an image reference",
    "ghcr.io/a@sha256": "not an image reference",
    "ghcr.io/a@sha256:": "not an image reference",
    "ghcr.io/a@sha256:abc": "not an image reference",
    "ghcr.io/a@sha256:" + "0" * 63: "is not a digest",
    "ghcr.io/a@sha256:" + "0" * 65: "is not a digest",
    "ghcr.io/a@sha256:" + "A" * 64: "is not a digest",
    "ghcr.io/a@sha256:" + "g" * 64: "not an image reference",
    "ghcr.io/a@md5:" + "0" * 32: "is not a digest",
    f"ghcr.io/a@{SHA256}:1.0": "not an image reference",
    f"ghcr.io/a@{SHA256}@{SHA256}": "not an image reference",
    f"ghcr.io/@{SHA256}": "not an image reference",
}


@pytest.mark.parametrize(("text", "parts"), VALID.items())
def test_a_valid_reference_is_read_into_its_parts(text: str, parts: tuple[str | None, ...]) -> None:
    image = ImageRef.parse(text)
    assert (image.registry, image.path, image.tag, image.digest) == parts


@pytest.mark.parametrize(("text", "reason"), INVALID.items())
def test_an_invalid_reference_is_refused_with_the_likeliest_reason(text: str, reason: str) -> None:
    with pytest.raises(InvalidValue) as caught:
        ImageRef.parse(text)
    assert reason in str(caught.value)
    assert repr(text) in str(caught.value)


@pytest.mark.parametrize(
    ("text", "spelled", "name", "reference", "short"),
    [
        ("ghcr.io/a/app", "ghcr.io/a/app:latest", "ghcr.io/a/app", "latest", "app:latest"),
        ("ghcr.io/a/app:1", "ghcr.io/a/app:1", "ghcr.io/a/app", "1", "app:1"),
        (
            f"ghcr.io/app@{SHA256}",
            f"ghcr.io/app@{SHA256}",
            "ghcr.io/app",
            SHA256,
            f"app:{SHA256[:19]}",
        ),
        (f"ghcr.io/app:1@{SHA256}", f"ghcr.io/app@{SHA256}", "ghcr.io/app", SHA256, "app:1"),
    ],
)
def test_a_reference_is_spelled_for_engines_registries_and_people(
    text: str, spelled: str, name: str, reference: str, short: str
) -> None:
    image = ImageRef.parse(text)
    assert str(image) == spelled
    assert (image.name, image.reference, image.short_name) == (name, reference, short)
    assert image.pinned(SHA512) == f"{name}@{SHA512}"


@pytest.mark.parametrize(
    ("text", "good"),
    [
        (SHA256, True),
        (SHA512, True),
        (SHA256.upper(), False),
        (SHA256 + "0", False),
        (SHA256[:-1], False),
        (SHA256[:-1] + "g", False),
        (SHA256 + "\n", False),
        ("md5:" + "0" * 32, False),
        ("sha256:" + "../" * 21 + "x", False),
        ("", False),
    ],
)
def test_only_what_engines_and_registries_agree_on_is_a_digest(text: str, good: bool) -> None:
    assert is_digest(text) is good


# --- properties: references built from the grammar, as the reference project writes it ---

alphanumeric = st.text("abcdefghijklmnopqrstuvwxyz0123456789", min_size=1, max_size=6)
separator = st.sampled_from([".", "_", "__", "-", "--", "---"])
path_component = st.builds(
    lambda first, rest: first + "".join(s + a for s, a in rest),
    alphanumeric,
    st.lists(st.tuples(separator, alphanumeric), max_size=3),
)
host_label = st.from_regex(r"[a-zA-Z0-9]([a-zA-Z0-9-]{0,6}[a-zA-Z0-9])?", fullmatch=True)
domain = st.lists(host_label, min_size=2, max_size=4).map(".".join)
ipv6 = st.ip_addresses(v=6).map(lambda address: f"[{address}]")
port = st.integers(0, 65535).map("{}".format)
host = st.one_of(domain, ipv6, st.just("localhost"))
registry = st.one_of(host, st.builds("{}:{}".format, st.one_of(host, host_label), port))
path = st.lists(path_component, min_size=1, max_size=4).map("/".join)
tag = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}", fullmatch=True).filter(str.isascii)
digest = st.text("0123456789abcdef", min_size=64, max_size=64).map("sha256:{}".format)


@given(registry, path, st.none() | tag, st.none() | digest)
def test_whatever_the_grammar_makes_is_read_and_means_the_same_when_read_again(
    registry: str, path: str, tag: str | None, digest: str | None
) -> None:
    text = f"{registry}/{path}"
    assume(len(text) <= 255)
    text += f":{tag}" if tag is not None else ""
    text += f"@{digest}" if digest is not None else ""
    image = ImageRef.parse(text)
    assert image.registry == registry.lower()
    assert image.path == path or image.path == f"library/{path}"
    assert image.digest == digest
    assert image.tag == (tag if tag or digest else "latest")
    again = ImageRef.parse(str(image))
    assert (str(again), again.name, again.reference) == (str(image), image.name, image.reference)


@given(st.text() | st.text("ab.:/@-_[]0 \n%$", max_size=30))
def test_any_text_is_either_refused_or_safe_to_hand_to_an_engine(text: str) -> None:
    try:
        image = ImageRef.parse(text)
    except InvalidValue:
        return
    spelled = str(image)
    assert spelled.isascii() and spelled.isprintable() and " " not in spelled
    assert not spelled.startswith("-")
    assert "://" not in spelled and ".." not in spelled
    assert spelled.startswith(f"{image.registry}/")
    assert "@" not in image.name


@given(registry, path, tag, st.integers(0, 400), st.characters(exclude_categories=["Cs"]))
def test_one_character_put_anywhere_never_moves_the_image_to_a_registry_that_is_not_written(
    registry: str, path: str, tag: str, position: int, character: str
) -> None:
    text = f"{registry}/{path}:{tag}"
    position %= len(text) + 1
    mutated = text[:position] + character + text[position:]
    try:
        image = ImageRef.parse(mutated)
    except InvalidValue:
        return
    assert mutated.lower().startswith(f"{image.registry}/")


_LABEL = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?"
_REGISTRY = rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?"
_PATH = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
GRAMMAR = re.compile(
    rf"(?P<registry>{_REGISTRY})/(?P<path>{_PATH}(?:/{_PATH})*)"
    r"(?::(?P<tag>[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}))?"
    r"(?:@(?P<digest>sha(?:256:[0-9a-f]{64}|384:[0-9a-f]{96}|512:[0-9a-f]{128})))?",
    re.ASCII,
)
"""As distribution/reference has it, with a registry and the digests that engines know."""


@given(
    st.from_regex(GRAMMAR, fullmatch=True)
    | st.text("aZ09._-:/@[]%\n\u00e9\u0660", max_size=30)
    | st.tuples(
        st.sampled_from(sorted(VALID)), st.integers(0, 90), st.sampled_from("aZ0._-:/@[]\n\u0660 ")
    ).map(lambda made: made[0][: made[1]] + made[2] + made[0][made[1] :])
)
def test_what_is_a_reference_is_what_the_grammar_says(text: str) -> None:
    match = GRAMMAR.fullmatch(text)
    host = match["registry"] if match else ""
    named = any(mark in host for mark in ".:[") or host == "localhost"
    if match is None or not named or len(f"{host}/{match['path']}") > 255:
        with pytest.raises(InvalidValue):
            ImageRef.parse(text)
        return
    found = ImageRef.parse(text)
    assert (found.registry, found.digest) == (host.lower(), match["digest"])
    assert found.path.removeprefix("library/") == match["path"].removeprefix("library/")
    assert found.tag == (match["tag"] or (None if match["digest"] else "latest"))
