# SPDX-License-Identifier: GPL-3.0-or-later
"""What services work with: this host, as one user has it."""

from __future__ import annotations

import os

from ..dataclass import dataclass
from ..typed import TYPE_CHECKING, Callable
from ..values.policy import Policy
from .account import Account
from .cgroup import Limiting, limiting_for
from .policyfile import POLICY_FILE, load_policy
from .process import Process, SystemProcess
from .records import Records

if TYPE_CHECKING:
    from .allocation import Allocation


def _silent(_message: str) -> None:
    """Nobody is listening."""


@dataclass
class System:
    """The host's parts that services use.

    :param tell: gets one line at a time about what takes long, and warnings.
    :param echo: containers' and engines' output goes to our own outputs too.
    :param allocation: the Slurm job that we are in, if any.
    """

    account: Account
    policy: Policy
    process: Process
    records: Records
    limiting: Limiting
    host: str
    tell: Callable[[str], None] = _silent
    echo: bool = False
    allocation: Allocation | None = None

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
        allocation = _allocation(account)
        return cls(
            account=account,
            policy=load_policy(policy_file),
            process=SystemProcess(account.engine_environ),
            records=Records(account.state),
            limiting=(
                limiting_for(account.uid)
                if allocation is None or allocation.outside
                else allocation.limiting
            ),
            host=os.uname().nodename,
            tell=tell,
            echo=echo,
            allocation=allocation,
        )


def _allocation(account: Account) -> Allocation | None:
    """The Slurm job that we are in; a shell of salloc on a login node has no node's name."""
    if not {"SLURM_JOB_ID", "SLURMD_NODENAME"} <= account.environ.keys():
        return None
    from .allocation import Allocation

    return Allocation.of(account.environ)
