# SPDX-License-Identifier: GPL-3.0-or-later
"""What looks like a secret, and what only sounds like one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.tre.ces.plugins.module_utils.ces.checks.secrets import looks_secret


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PASSWORD", "x"),
        ("DB_PASSWORD", "x"),
        ("db_passwd", "x"),
        ("GITHUB_TOKEN", "x"),
        ("AWS_SECRET_ACCESS_KEY", "x"),
        ("OPENAI_API_KEY", "x"),
        ("APIKEY_PROD", "x"),
        ("CLIENT_SECRET", "x"),
        ("SIGNING_PRIVATE_KEY", "x"),
        ("X", "glpat-abcdefghij1234567890"),
        ("X", "AKIAABCDEFGHIJKLMNOP"),
        ("X", "-----BEGIN RSA PRIVATE KEY-----\nabc"),
        ("DATABASE_URL", "postgresql://ada:pa55@db.example.org/x"),
    ],
)
def test_what_nobody_should_read_is_found(name: str, value: str) -> None:
    assert looks_secret(name, value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PASSWORD", ""),
        ("POSTGRES_PASSWORD_FILE", "/run/secrets/x"),
        ("TOKEN_URL", "https://example.org/token"),
        ("GPG_KEY", "A035C8C19219BA821ECEA86B64E628F8D684696D"),
        ("PYTHON_SHA256", "5462f9099dfd30e238def83c71d91897d8caa5ff6ebc7a50f14d4802cdaaa79a"),
        ("TOKENIZERS_PARALLELISM", "false"),
        ("PASSWORDLESS", "1"),
        ("PATH", "/usr/bin:/bin"),
        ("HOMEPAGE", "https://example.org/a@b"),
        ("PIP_INDEX_URL", "https://example.org:8080/simple"),
        ("KEYCLOAK_HOME", "/opt"),
    ],
)
def test_what_only_sounds_so_is_not(name: str, value: str) -> None:
    assert not looks_secret(name, value)


@given(st.text(), st.text())
def test_any_variable_is_one_or_the_other(name: str, value: str) -> None:
    assert looks_secret(name, value) in (True, False)


def test_no_value_takes_long() -> None:
    assert not looks_secret("X", "a" * 100_000)
    assert not looks_secret("X", "a://" + "b:" * 50_000)
    assert not looks_secret("A_" * 50_000, "x")
