# SPDX-License-Identifier: GPL-3.0-or-later
"""A real HTTPS server on this machine that answers what a test says."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from told_server import serving

from ansible_collections.tre.ces.plugins.module_utils.ces.system import certificates


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate that this machine does not trust, for this machine."""
    place = tmp_path_factory.mktemp("tls")
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *("-nodes", "-subj", "/CN=localhost"),
            *("-addext", "subjectAltName=DNS:localhost,DNS:auth.localhost,IP:127.0.0.1"),
            *("-days", "2", "-keyout", f"{place}/key.pem", "-out", f"{place}/cert.pem"),
        ],
        check=True,
        capture_output=True,
    )
    return place


@pytest.fixture
def host(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SimpleNamespace]:
    """A server that keeps what it was asked in ``asked``."""
    # nothing of what this machine trusts: it takes long to load
    monkeypatch.setenv("SSL_CERT_FILE", "/dev/null")
    monkeypatch.setenv("SSL_CERT_DIR", str(certificate / "none"))
    with serving(certificate) as server:
        yield server


@pytest.fixture
def trusted(
    host: SimpleNamespace, certificate: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> SimpleNamespace:
    """The server's certificate where engines look for it."""
    place = tmp_path / "certs.d" / host.name
    place.mkdir(parents=True)
    (place / "ca.crt").write_bytes((certificate / "cert.pem").read_bytes())
    monkeypatch.setattr(certificates, "_DIRECTORIES", (str(tmp_path / "certs.d"),))
    return host
