# SPDX-License-Identifier: GPL-3.0-or-later
"""What services work with: this host, as one user has it."""

from __future__ import annotations

import os

from ..dataclass import dataclass
from ..typed import TYPE_CHECKING, Callable, Mapping
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
        in_job = is_in_job(allocation)
        environ = account.engine_environ
        return cls(
            account=account,
            policy=load_policy(policy_file),
            process=SystemProcess(environ if in_job else with_own_bus(environ, account.uid)),
            records=Records(account.state),
            limiting=(allocation.limiting if allocation and in_job else limiting_for(account.uid)),
            host=os.uname().nodename,
            tell=tell,
            echo=echo,
            allocation=allocation,
        )


def is_in_job(allocation: Allocation | None) -> bool:
    """Whether we are in a Slurm job, which is what holds limits then."""
    return allocation is not None and not allocation.outside


def with_own_bus(environ: Mapping[str, str], uid: int, root: str = "/run/user") -> dict[str, str]:
    """An environment of engines, in which the user's own systemd makes the cgroups of containers.

    It holds the limits. Without it, or by a bus of the user's making, engines go on without limits.
    A Slurm job has no such bus: there the job's cgroup holds them.
    """
    bus = f"{root}/{uid}/bus"
    own = {"DBUS_SESSION_BUS_ADDRESS": f"unix:path={bus}"} if os.path.exists(bus) else {}
    return {**environ, **own}


def _allocation(account: Account) -> Allocation | None:
    """The Slurm job that we are in, if any."""
    if not account.in_job:
        return None
    from .allocation import Allocation

    return Allocation.of(account.environ)
