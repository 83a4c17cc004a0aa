# SPDX-License-Identifier: GPL-3.0-or-later
"""One family of errors: what was tried, what the tool answered, and what to do next."""

from __future__ import annotations

from .shown import shown, without_tokens
from .typed import Any, Sequence

EXIT_OURS = 125
"""Exit status when we failed, not the container; ``docker run`` and ``podman run`` use the same."""


class CesError(Exception):
    """Something could not be done. Its words fit on a terminal's line, whoever they are from.

    :param tried: what was attempted, on what, as it reads after "could not" ("pull IMAGE").
    :param said: what the tool, the system or the check answered.
    :param hint: what the reader can do next.
    :param cmd: the command that was run (argument list, already free of secrets).
    :param rc: its exit status, or None when nothing was run.
    :param stdout: end of its standard output.
    :param stderr: end of its standard error.
    """

    def __init__(
        self,
        tried: str,
        *,
        said: str = "",
        hint: str = "",
        cmd: Sequence[str] = (),
        rc: int | None = None,
        stdout: str = "",
        stderr: str = "",
    ) -> None:
        self.tried = without_tokens(shown(tried))
        super().__init__(self.tried)
        self.said = shown(said.strip())
        self.hint = shown(hint)
        self.cmd = tuple(cmd)
        self.rc = rc
        self.stdout = stdout
        self.stderr = stderr

    def __str__(self) -> str:
        parts = [f"could not {self.tried}"]
        if self.said:
            parts[0] += f": {self.said}"
        if self.hint:
            parts.append(self.hint)
        return ". ".join(part.rstrip(".") for part in parts)

    def as_result(self) -> dict[str, Any]:
        """The error as an Ansible result (``msg`` and, when a command ran, what it answered)."""
        result: dict[str, Any] = {"msg": str(self)}
        if self.cmd:
            result.update(cmd=list(self.cmd), rc=self.rc, stdout=self.stdout, stderr=self.stderr)
        return result


class InvalidValue(CesError):
    """A value that somebody gave is not of its form."""

    def __init__(self, what: str, value: object, said: str, hint: str = "") -> None:
        super().__init__(f"use {value!r} as {what}", said=without_tokens(said), hint=hint)


class RefusedByPolicy(CesError):
    """The site's policy does not allow it."""


class NotFound(CesError):
    """The thing named is not there."""


class NoVariant(NotFound):
    """The image is there, and has no variant for this machine."""


class Denied(CesError):
    """The registry does not give it to who asks as somebody, or nobody."""


class Damaged(CesError):
    """The thing that is named is there, and its content is damaged."""


class Busy(CesError):
    """Somebody else holds it."""


class Interrupted(CesError):
    """A signal told us to stop.

    :param signal: its name, ``SIGTERM``.
    """

    def __init__(self, tried: str, signal: str) -> None:
        super().__init__(tried, said=f"stopped by {signal}")
        self.signal = signal
