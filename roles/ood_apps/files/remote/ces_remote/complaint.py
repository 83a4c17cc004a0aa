# SPDX-License-Identifier: GPL-3.0-or-later
"""From what ssh and the back-end say to what the user can do. The portal's page shows it."""

from __future__ import annotations

import re

from ces.errors import CesError

from .site import Site, user

_MAKE_KEY = "ssh-keygen -t ed25519 -N '' -f ~/.ssh/id_ed25519"
_SEND_KEY = "ssh-copy-id -i ~/.ssh/id_ed25519.pub {login}"
_CHECK = "ces-remote check {cluster}"
_ON_PORTAL = "In a terminal on the portal run: "

WAYS = (
    (
        r"Permission denied|Too many authentication failures",
        "no-key",
        "you have no ssh key, by which the portal would log in to {host} for you",
        f"{_ON_PORTAL}{_MAKE_KEY} && {_SEND_KEY} && {_CHECK}",
    ),
    (
        r"Permission denied|Too many authentication failures",
        "passphrase",
        "your ssh key has a passphrase, and there is nobody to type it when the portal uses it",
        f"{_ON_PORTAL}ssh-keygen -p -N '' -f {{key}} && {_CHECK}. Or ask your administrator"
        " whether the site has another way (host-based authentication)",
    ),
    (
        r"Permission denied|Too many authentication failures",
        "",
        "{host} does not accept your ssh key",
        f"{_ON_PORTAL}ssh-copy-id -i {{key}}.pub {{login}} && {_CHECK}. If that asks for a"
        " password that you do not have, send {key}.pub to your administrator",
    ),
    (
        r"HOST IDENTIFICATION HAS CHANGED|host key .* has changed|revoked host key",
        "",
        "{host} shows another host key than it used to: it was set up anew, or it is not {host}",
        "Do not go on. Ask your administrator, who compares the key and puts it into"
        " ood_apps_remote_host_keys; then run: ssh-keygen -R '{place}' && "
        f"{_CHECK}",
    ),
    (
        r"Host key verification failed|No .* host key is known",
        "",
        "the host key of {host} is not known here, so it could be another host",
        "Ask your administrator to put it into ood_apps_remote_host_keys. Or compare it yourself,"
        f" in a terminal on the portal: ssh -p {{port}} {{login}} true && {_CHECK}",
    ),
    (
        r"Could not resolve hostname",
        "",
        "the name {host} is not known here",
        f"Tell your administrator that the portal cannot find {{host}}. To look again: {_CHECK}",
    ),
    (
        r"Connection refused|timed out|No route to host|Network is unreachable|Connection closed"
        r"|Connection reset|kex_exchange|not responding|Broken pipe|lost connection|no answer in",
        "",
        "{host} does not answer",
        "It is down, or the network is. Try again in a few minutes; if it lasts, tell your"
        f" administrator. To look again: {_CHECK}",
    ),
    (
        r"account is currently not available|nologin|account has expired",
        "",
        "you may not log in to {host}",
        f"Ask your administrator for an account there. To look again: {_CHECK}",
    ),
    (
        r"python3: (command )?not found|python3: No such file",
        "",
        "{host} has no python3",
        f"Tell your administrator: it is needed there. To look again: {_CHECK}",
    ),
    (
        r"No space left|Disk quota exceeded",
        "",
        "there is no room left in your home directory on {host}",
        "Free some space there: ssh -p {port} {login} 'du -xh ~ | sort -h | tail'",
    ),
    (
        r"there is no directory",
        "",
        "you have no home directory on {host}",
        f"Tell your administrator, or log in there once: ssh -p {{port}} {{login}} && {_CHECK}",
    ),
)
"""What is said; what is the matter besides with the user's keys; what it means; what to do."""


def explain(site: Site, tried: str, said: str, keys: str = "", key: str = "") -> CesError:
    """What ssh said, with the way out.

    :param keys: ``no-key`` or ``passphrase``, if that is the matter with the user's keys.
    :param key: the path of the key that there is.
    """
    words = {
        "host": site.host,
        "login": (
            f"{user()}@{site.host}" if site.port == 22 else f"-p {site.port} {user()}@{site.host}"
        ),
        "port": str(site.port),
        "place": site.host if site.port == 22 else f"[{site.host}]:{site.port}",
        "cluster": site.cluster,
        "key": key or "~/.ssh/id_ed25519",
    }
    last = said.strip().splitlines()[-1:] or ["it said nothing"]
    for pattern, matter, meaning, way in WAYS:
        if re.search(pattern, said, re.IGNORECASE) and matter in ("", keys):
            return CesError(
                tried,
                said=f"{meaning.format(**words)} ({last[0].strip()})",
                hint=way.format(**words),
            )
    return CesError(tried, said=last[0], hint=f"To look closer: {_CHECK.format(**words)}")
