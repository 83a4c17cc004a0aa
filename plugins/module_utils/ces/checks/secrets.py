# SPDX-License-Identifier: GPL-3.0-or-later
"""Variables of an image that look like secrets: by their names, and by what stands in them."""

from __future__ import annotations

from ..patterns import matches

_NAME = r"(.*_)?(PASSWORD|PASSWD|SECRET|TOKEN|API_?KEY|ACCESS_?KEY|SECRET_?KEY|PRIVATE_?KEY)(_.*)?"
_PLACE = r".*_(FILE|PATH|DIR|URL|URI|NAME|ID|TTL|EXPIRY|LENGTH|HEADER|TYPE)"
"""Names of what says where a secret is, or what it is like."""
_VALUE = (
    r"(?s)((gh[opsru]_|github_pat_|gl(pat|dt|cbt)-|dckr_[a-z]{3}_|hf_|nvapi-|xox[abp]-)"
    r"[A-Za-z0-9_-]{16,}|AKIA[A-Z0-9]{16}|-----BEGIN [A-Z ]*PRIVATE KEY-----.*"
    r"|[a-z][a-z0-9+.-]*://[^/?#\s:@]*:[^/?#\s@]+@.*)"
)
"""How the tokens of well-known services, keys, and addresses with a password look."""
_LONGEST = 4096
"""Characters of a value that are looked at."""


def looks_secret(name: str, value: str) -> bool:
    """Whether a variable looks like one that nobody should read."""
    if not value:
        return False
    upper = name[:_LONGEST].upper()
    named = matches(_NAME, upper) and not matches(_PLACE, upper)
    return named or matches(_VALUE, value[:_LONGEST])
