# SPDX-License-Identifier: GPL-3.0-or-later
"""One line in the system's log for every pull and run: who, what, when, how it ended."""

from __future__ import annotations

import syslog

from ..json_text import dumps
from ..typed import Any
from ..values.policy import Policy
from ..values.record import RunRecord


def audit_run(policy: Policy, record: RunRecord) -> None:
    """The line of a run that is over, however it ended."""
    names = ("user", "run_id", "image", "digest", "runner", "state", "rc", "slurm_job_id")
    audit(policy, "run", **{name: getattr(record, name) for name in names})


def audit(policy: Policy, event: str, **facts: Any) -> None:
    """Write ``tre-ces EVENT {facts as JSON}`` to the facility authpriv; facts hold no secret.

    JSON keeps one event on one line, whatever the facts contain.
    """
    if not policy.audit_syslog:
        return
    syslog.openlog("tre-ces", syslog.LOG_PID, syslog.LOG_AUTHPRIV)
    syslog.syslog(syslog.LOG_INFO, f"{event} {dumps(facts, sort_keys=True)}")
    syslog.closelog()
