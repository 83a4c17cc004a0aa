# SPDX-License-Identifier: GPL-3.0-or-later
"""What services work with: this host, as one user has it."""

from __future__ import annotations

import os
from collections.abc import Callable

from ..dataclass import dataclass
from ..values.policy import Policy
from .account import Account
from .cgroup import Limiting, limiting_for
from .policyfile import POLICY_FILE, load_policy
from .process import Process, SystemProcess
from .records import Records


def _silent(_message: str) -> None:
    """Nobody is listening."""


@dataclass
class System:
    """The host's parts that services use.

    :param tell: gets one line at a time about what takes long, and warnings.
    :param echo: containers' and engines' output goes to our own outputs too.
    """

    account: Account
    policy: Policy
    process: Process
    records: Records
    limiting: Limiting
    host: str
    tell: Callable[[str], None] = _silent
    echo: bool = False

    @classmethod
    def here(
        cls,
        tell: Callable[[str], None] = _silent,
        echo: bool = False,
        policy_file: str = POLICY_FILE,
    ) -> System:
        """This host and the user of this process.

        :raises CesError: the policy is broken, or the user has no session here.
        """
        account = Account.current()
        return cls(
            account=account,
            policy=load_policy(policy_file),
            process=SystemProcess(account.engine_environ),
            records=Records(account.state),
            limiting=limiting_for(account.uid),
            host=os.uname().nodename,
            tell=tell,
            echo=echo,
        )
