# SPDX-License-Identifier: GPL-3.0-or-later
"""Why the certificate of a registry is refused, and who mends it. No I/O."""

from __future__ import annotations

OTHER_NAME = (
    "the certificate lacks the name by which images call the registry: the administrator has it"
    " made for that name or address too (registry_host_names of the role registry), or images are"
    " named as the certificate says"
)
OUT_OF_TIME = "the administrator sets this host's clock (timedatectl), or renews the certificate"

CURES_BY_CODE = {9: OUT_OF_TIME, 10: OUT_OF_TIME, 62: OTHER_NAME, 64: OTHER_NAME}
"""By OpenSSL's number (``X509_V_ERR_...`` of x509_vfy.h). The others mean an unknown authority."""

CERTIFICATE_ERRORS = (
    ("doesn't contain any ip sans", OTHER_NAME),
    ("certificate is valid for", OTHER_NAME),
    ("certificate is not valid for any names", OTHER_NAME),
    ("legacy common name field", OTHER_NAME),
    ("certificate has expired or is not yet valid", OUT_OF_TIME),
)
"""What Go says (crypto/x509), of which the engines are made, in lower case, and what to do next."""
