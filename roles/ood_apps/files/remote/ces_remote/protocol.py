# SPDX-License-Identifier: GPL-3.0-or-later
"""What both sides must agree on. It is also sent to the back-end."""

from __future__ import annotations

MARK = b"\x02ces-remote "
"""Before the answer's head: a user's shell may print something of its own first."""

SUMMARY = "summary"
"""The last member of what a fetch brings: without it something is missing."""

LIVE = frozenset(
    "PENDING RUNNING SUSPENDED CONFIGURING COMPLETING STOPPED RESIZING REQUEUED REQUEUE_HOLD"  # noqa: SIM905
    " REQUEUE_FED RESV_DEL_HOLD SIGNALING SPECIAL_EXIT STAGE_OUT".split()
)
"""States of jobs that have not ended (squeue(1), JOB STATE CODES)."""
