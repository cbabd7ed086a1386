"""When to restart a process that ended; shared by all supervisors."""

from __future__ import annotations

import signal
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class RestartPolicy:
    """When a child process that died is restarted."""

    first_delay: float = 0.5  # seconds; doubles with each quick death
    longest_delay: float = 10.0
    quick: float = 10.0  # seconds; after a longer life the count of quick deaths restarts
    give_up_after: int = 5  # quick deaths in a row after which quick restarts stop
    last_delay: float = 30.0  # seconds between attempts from then on, for supervisors that never stop trying

    def delay(self, deaths: int) -> float:
        """Seconds to wait after the ``deaths``-th quick death in a row, counted from one."""
        return float(min(self.first_delay * 2.0 ** (deaths - 1), self.longest_delay))


def is_under_nohup(number: int) -> bool:
    """Whether our parent wants us to survive the end of the terminal; ``number``: of a signal."""
    return number == signal.SIGHUP and signal.getsignal(number) is signal.SIG_IGN
