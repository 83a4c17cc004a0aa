# SPDX-License-Identifier: GPL-3.0-or-later
"""How JupyterLab is served behind the portal. What is the session's own is in the .json file."""

from __future__ import annotations

from jupyter_server.auth.decorator import allow_unauthenticated
from jupyter_server.auth.login import LoginFormHandler


class PortalLogin(LoginFormHandler):
    """The portal's page posts the password."""

    def check_xsrf_cookie(self) -> None:
        """That page cannot know a cookie of this server; to log in one must know the password."""

    @allow_unauthenticated
    def post(self) -> None:
        """Whoever knows it comes from the portal: pages of that origin may ask, no others."""
        super().post()
        if self.get_status() < 400:
            self.settings["allow_origin"] = self.request.headers.get("Origin", "")


# Jupyter has it ready where it reads this
c = get_config()  # type: ignore[name-defined] # noqa: F821 # pylint: disable=undefined-variable

c.ServerApp.sock = "/jupyter/socket"
c.ServerApp.sock_mode = "0600"
c.ServerApp.open_browser = False
# the portal has checked who it is; names and protocol are the portal's
c.ServerApp.allow_remote_access = True
c.ServerApp.trust_xheaders = True
# under podman root is the user
c.ServerApp.allow_root = True

c.IdentityProvider.token = ""
c.IdentityProvider.login_handler_class = PortalLogin
c.IdentityProvider.cookie_options = {"samesite": "Strict"}
c.PasswordIdentityProvider.password_required = True
c.PasswordIdentityProvider.allow_password_change = False
