"""A circuit breaker: stops asking what does not answer, and tries again later. No thread, no log, any clock."""

from __future__ import annotations

import math
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

#: The limit of a probe, see ``Permit``.
_PROBE = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class BackoffPolicy:
    """How a breaker opens and closes."""

    threshold: int = 1  # failures in a row, without an answer between them, that open it
    first: float = 1.0  # seconds of its first pause; each further one is twice as long
    longest: float = 30.0  # seconds of its longest pause


@dataclass(frozen=True, kw_only=True, slots=True)
class StateChange:
    """A breaker opened or closed."""

    is_open: bool
    why: str  # what failed, when it opened and since
    seconds: float  # how long it was open; 0 if it has just opened


class Permit:
    """What a caller may do now; it reports the result here."""

    def __init__(self, breaker: CircuitBreaker, limit: int | None) -> None:
        self._breaker = breaker
        self.limit = limit  # None: closed, as much as you like; 0: open, nothing; 1: half-open, one probe with little

    def report(self, *, answered: int = 0, failed: int = 0, why: str = "") -> None:
        """Report the numbers of answers and failures; ``why`` is one of the failures, for people."""
        self._breaker.settle(answered=answered, failed=failed, why=why, trying=bool(self.limit))


class CircuitBreaker:
    """Closed while something answers; open, with growing pauses, after several failures in a row; then half-open.

    After a pause it is half-open: one caller at a time may probe. An answer closes it, a failure begins a longer pause.
    Safe to use from several threads.

    Callers may not assume that an open breaker closes by itself: a caller has to take the turn that is due.
    """

    def __init__(
        self,
        pacing: BackoffPolicy,
        *,
        announce: Callable[[StateChange], None] = lambda _: None,
        clock: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = lambda: random.uniform(0.5, 1.0),  # noqa: S311
    ) -> None:
        """Closed.

        Args:
            pacing: see there.
            announce: called when it opens and when it closes, not for tries between; not under a lock.
            clock: seconds.
            jitter: factor of a pause, so that processes that failed together do not come back together.
        """
        self._pacing, self._announce, self._clock, self._jitter = pacing, announce, clock, jitter
        self._mutex = threading.Lock()
        self._failures = 0  # in a row, while closed
        self._opened: float | None = None
        self._until = 0.0  # when the next try is due
        self._pauses = 0  # in a row
        self._trying = False
        self.why = ""  # the newest failure

    @property
    def threshold(self) -> int:
        """Failures in a row that open it."""
        return self._pacing.threshold

    @property
    def is_open(self) -> bool:
        """Whether it is open (or half-open)."""
        return self._opened is not None

    @property
    def is_due(self) -> bool:
        """Whether it is open and a probe is allowed now."""
        with self._mutex:
            return self._opened is not None and self._may_try()

    @property
    def seconds(self) -> float:
        """For how long it has been open; 0 while closed."""
        opened = self._opened
        return 0.0 if opened is None else self._clock() - opened

    @contextmanager
    def turn(self) -> Iterator[Permit]:
        """Ask for a turn. A turn without a report changes nothing: the next caller may probe at once."""
        with self._mutex:
            trying = self._opened is not None and self._may_try()
            self._trying = self._trying or trying
            limit = _PROBE if trying else None if self._opened is None else 0
        try:
            yield Permit(self, limit)
        finally:
            if trying:
                with self._mutex:
                    self._trying = False

    def report(self, *, answered: int = 0, failed: int = 0, why: str = "") -> None:
        """Like ``Permit.report``, for callers without a turn."""
        self.settle(answered=answered, failed=failed, why=why, trying=False)

    def settle(self, *, answered: int, failed: int, why: str, trying: bool) -> None:
        """Apply a report. One answer outweighs any number of failures in the same report."""
        with self._mutex:
            change = self._answered(trying=trying) if answered else self._failed(failed, why, trying=trying)
        if change is not None:
            self._announce(change)

    def close(self) -> None:
        """Close it, because its cause is known to be gone."""
        with self._mutex:
            change = self._close() if self._opened is not None else None
        if change is not None:
            self._announce(change)

    def _may_try(self) -> bool:
        return not self._trying and self._clock() >= self._until

    def _answered(self, *, trying: bool) -> StateChange | None:
        self._failures = 0
        if self._opened is None:
            return None
        if not trying:  # a call from before it opened: a reason to probe now, not to close it
            self._until = min(self._until, self._clock())
            return None
        return self._close()

    def _failed(self, failed: int, why: str, *, trying: bool) -> StateChange | None:
        if not failed:
            return None
        if self._opened is None:
            self._failures += failed
            if self._failures < self._pacing.threshold:
                return None
            self._opened = self._clock()
            self._pause(why)
            return StateChange(is_open=True, why=why, seconds=0.0)
        if trying:
            self._pause(why)
        return None

    def _pause(self, why: str) -> None:
        bound = min(self._pacing.first * 2.0 ** min(self._pauses, 30), self._pacing.longest)
        self._until = self._clock() + bound * self._jitter()
        self._pauses, self.why = self._pauses + 1, why

    def _close(self) -> StateChange:
        change = StateChange(is_open=False, why=self.why, seconds=self.seconds)
        self._opened, self._failures, self._pauses = None, 0, 0
        return change


class FailureWindow:
    """The failure rate among the newest results, bounded in number and age."""

    def __init__(
        self,
        *,
        ratio: float,
        least: int = 50,
        most: int = 200,
        seconds: float = 600.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Empty.

        Args:
            ratio: of bad to all, above which it is too much; with 1 nothing ever is.
            least: smaller samples say nothing.
            most: newest results that are looked at.
            seconds: how far it looks back.
            clock: seconds.
        """
        self._ratio, self._least, self._seconds, self._clock = ratio, least, seconds, clock
        self._mutex = threading.Lock()
        self._results: deque[tuple[float, bool]] = deque(maxlen=most)  # when, and whether it succeeded
        self._ignored_until = -math.inf

    def record(self, *, good: int, bad: int) -> bool:
        """Add results; returns whether the failure rate is too high."""
        now = self._clock()
        with self._mutex:
            if now < self._ignored_until:
                return False
            self._results.extend((now, number < good) for number in range(good + bad))
            return self._is_too_much(now)

    def clear(self, *, ignore: float = 0.0) -> None:
        """Start over, and ignore results for ``ignore`` seconds, because the cause has just been checked."""
        with self._mutex:
            self._results.clear()
            self._ignored_until = self._clock() + ignore

    def counts(self) -> tuple[int, int]:
        """The number of failures, and of results."""
        with self._mutex:
            return sum(not good for _, good in self._results), len(self._results)

    def _is_too_much(self, now: float) -> bool:
        while self._results and now - self._results[0][0] > self._seconds:
            self._results.popleft()
        total = len(self._results)
        return total >= self._least and sum(not good for _, good in self._results) > self._ratio * total
