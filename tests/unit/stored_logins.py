# SPDX-License-Identifier: GPL-3.0-or-later
"""What tests of stored logins share."""

from __future__ import annotations

import base64

from ansible_collections.tre.ces.plugins.module_utils.ces.system.account import Account
from ansible_collections.tre.ces.plugins.module_utils.ces.system.authfile import (
    login_for,
)
from ansible_collections.tre.ces.plugins.module_utils.ces.system.process import SystemProcess
from ansible_collections.tre.ces.plugins.module_utils.ces.values.image import ImageRef
from ansible_collections.tre.ces.plugins.module_utils.ces.values.spec import Credentials

IMAGE = ImageRef.parse("registry.example.org:5000/project/app:1")
LOGIN = Credentials("ada", "p'a\"s $s`id`:\u20ac")
NONE = Credentials()


def encoded(user: str = "ada", password: str = LOGIN.password) -> str:
    return base64.b64encode(f"{user}:{password}".encode()).decode()


def entries(**auths: str) -> dict[str, dict[str, dict[str, str]]]:
    return {"auths": {key: {"auth": value} for key, value in auths.items()}}


def found(ada: Account, image: ImageRef = IMAGE, credentials: Credentials = NONE) -> Credentials:
    """The login, by programs that really run."""
    return login_for(image, credentials, ada, SystemProcess(ada.environ))
