# SPDX-License-Identifier: GPL-3.0-or-later
"""What commands and modules open before they call a service that changes something.

A session notes signals, so that a service gets to stop what it has started and to clean up, and it
sweeps once after runs and pulls whose process died. Services know neither: they ask
``system.process`` whether they are told to stop.

One session may have many runs, one after the other. A signal to stop is for the whole session: each
run that begins later is stopped as it starts. Who has more to run asks
``system.process.told_to_stop()`` first.

Runs in several threads of one process do not work yet:

* Python sets handlers of signals in the main thread alone, and a process has one descriptor that
  wakes it up. So only the main thread can open a session, and all runs in it share its signals.
* The run that reads the descriptor first takes the wake-up from the others. They see a signal to
  stop when something else wakes them, and of a signal for the container (SIGUSR1, say) only one of
  them hears.
* To see whether the kernel killed a container for lack of memory, a run counts before and after it
  all such kills of the user or of the job: those of a run beside it, too.

A sweep takes the lock of the counter once for each run that has not ended, those of others too.
So a session for each of many runs at once costs with the square of their number.
"""

from __future__ import annotations

from ..blocks import contextmanager
from ..errors import CesError
from ..system.signals import StopSignals
from ..system.system import System
from ..typed import Iterator
from .clean import sweep


@contextmanager
def session(system: System, change: bool = True) -> Iterator[None]:
    """While in the block signals are noted for the services; dead runs have been swept.

    :param change: False for a caller that changes nothing: then nothing is swept.
    """
    outer = system.process.signals
    with StopSignals() as signals:
        system.process.signals = signals
        try:
            if change:
                _sweep(system)
            yield
        finally:
            system.process.signals = outer


def _sweep(system: System) -> None:
    """Sweep on the way to something else: a sweep that fails is no obstacle to that."""
    try:
        sweep(system)
    except CesError as error:
        system.tell(f"warning: an earlier run is not cleared away: {error}")
