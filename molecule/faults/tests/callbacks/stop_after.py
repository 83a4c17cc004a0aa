# SPDX-License-Identifier: GPL-3.0-or-later
"""End a playbook as a lost connection or a full disk would: between one task and the next.

For tests. ``CES_STOP_AFTER`` is the number of the change after which Ansible ends at once: no
handler runs, and nothing is told. A task that changes nothing leaves the host as the one before it,
so that only changes count; each item of a loop is one. ``CES_CHANGES`` is a file that gets a line
for each change.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: stop_after
type: notification
short_description: End a playbook between one task and the next
description: For tests.
"""

STOPPED = 99
"""Exit status."""


# Ansible has no types
class CallbackModule(CallbackBase):  # type: ignore[misc]
    """Counts changes."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "stop_after"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self._seen = 0

    def v2_runner_item_on_ok(self, result: Any) -> None:
        self._count(result)

    def v2_runner_on_ok(self, result: Any) -> None:
        if "results" not in result._result:
            self._count(result)

    def _count(self, result: Any) -> None:
        if not result._result.get("changed"):
            return
        self._seen += 1
        with Path(os.environ["CES_CHANGES"]).open("a", encoding="utf-8") as stream:
            stream.write(f"{result._host.get_name()}: {result._task.get_name()}\n")
        if self._seen == int(os.environ["CES_STOP_AFTER"]):
            os._exit(STOPPED)
