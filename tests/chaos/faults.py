"""What goes wrong during a run, and when: a timetable made from the seed, and the hand that carries it out."""

from __future__ import annotations

import random
import signal
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import cycle

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from tests.chaos.group import Crew
from tests.chaos.proxy import Mode
from tests.chaos.servers import Servers
from worker.db import transaction

#: Seconds between two of these; all of them happen in each run, in an order that the seed gives.
_SPACING = 2.6
_STORE_SECONDS = {
    Mode.REFUSE: 2.0,
    Mode.STALL: 4.5,  # longer than the store's time-out
    Mode.RESET: 1.5,
    Mode.CUT: 1.5,
    Mode.UNAVAILABLE: 2.0,
    Mode.SLOW: 2.0,
}
_OTHERS = ("database", "broker", "freeze", "scheduler", "api")
_KILL_SECONDS = (1.5, 4.0)
_LONGEST_FREEZE = 12.0
_HAS_WORK = text(
    "SELECT EXISTS (SELECT FROM inbox WHERE token IS NOT NULL AND right(worker, length(:process)) = :process)"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Fault:
    """Something that goes wrong."""

    at: float  # seconds after the start
    what: str  # "worker", one of the others, or a mode of the proxy
    victim: int = 0  # which worker


def timetable(*, seed: int, seconds: float, workers: int) -> list[Fault]:
    """Workers die every few seconds; each other fault comes at least once, if there is room, and then again."""
    rng = random.Random(f"faults {seed}")
    faults = [*_kills(rng, seconds, workers), *_others(rng, seconds, workers)]
    return sorted(faults, key=lambda fault: fault.at)


def _kills(rng: random.Random, seconds: float, workers: int) -> Iterator[Fault]:
    at = rng.uniform(*_KILL_SECONDS)
    while at < seconds:
        yield Fault(at=at, what="worker", victim=rng.randrange(workers))
        at += rng.uniform(*_KILL_SECONDS)


def _others(rng: random.Random, seconds: float, workers: int) -> Iterator[Fault]:
    kinds = [*map(str, _STORE_SECONDS), *_OTHERS]
    rng.shuffle(kinds)
    spacing = min(_SPACING, seconds / (len(kinds) + 1))
    at = spacing / 2
    for what in cycle(kinds):
        if at >= seconds:
            return
        yield Fault(at=at, what=what, victim=rng.randrange(workers))
        at += spacing


class Saboteur:
    """Carries a timetable out."""

    def __init__(self, faults: list[Fault], servers: Servers, group: Crew) -> None:
        """Nothing happens before ``start``."""
        self._faults, self._servers, self._group = faults, servers, group
        self._pool = ThreadPoolExecutor(4, thread_name_prefix="fault")
        self._thread = threading.Thread(target=self._run, name="saboteur", daemon=True)
        self._store_is_ours = threading.Lock()
        self._running: list[Future[None]] = []
        self.done: Counter[str] = Counter()
        self.late = 0  # workers that came back when others had their work
        self.seconds: defaultdict[str, float] = defaultdict(float)  # what was away, for how long in all

    def start(self) -> None:
        """Begin now."""
        self._thread.start()

    def wait(self) -> None:
        """Until the last fault is over and everything has been healed. Raises what could not be done."""
        self._thread.join()
        self._pool.shutdown(wait=True)
        self._servers.proxy.switch(Mode.PASS)
        for each in self._running:
            each.result()

    def _run(self) -> None:
        started = time.monotonic()
        for fault in self._faults:
            time.sleep(max(started + fault.at - time.monotonic(), 0))
            self._running.append(self._pool.submit(self._do, fault))

    def _do(self, fault: Fault) -> None:
        with self._store_is_ours if fault.what in _STORE_SECONDS else nullcontext():
            began = time.monotonic()
            self._act(fault)()
            self.done[fault.what] += 1
            self.seconds[fault.what] += time.monotonic() - began

    def _act(self, fault: Fault) -> Callable[[], object]:
        group, servers = self._group, self._servers
        match fault.what:
            case "worker":
                return lambda: self._kill_at_work(f"worker-{fault.victim}")
            case "freeze":
                return lambda: self._freeze_at_work(f"worker-{fault.victim}")
            case "scheduler" | "api":
                return lambda: group.kill(fault.what)
            case "database":
                return lambda: servers.restart("postgres", signal.SIGQUIT)
            case "broker":
                return lambda: servers.restart("valkey", signal.SIGKILL)
            case _:
                return lambda: self._spoil_the_store(Mode(fault.what))

    def _kill_at_work(self, name: str) -> None:
        """A worker that is still starting is spared: on a slow machine, nobody would ever work."""
        if _within(_KILL_SECONDS[0], lambda: self._has_work(self._group.pid(name))):
            self._group.kill(name)

    def _freeze_at_work(self, name: str) -> None:
        """Until others have what it had in hand, so that it comes back late."""
        pid = self._group.pid(name)
        if not _within(_KILL_SECONDS[1], lambda: self._has_work(pid)):
            return
        with self._group.frozen(name):
            self.late += _within(_LONGEST_FREEZE, lambda: not self._has_work(pid))

    def _has_work(self, pid: int) -> bool:
        try:
            with transaction(self._servers.engine) as connection:
                return bool(connection.execute(_HAS_WORK, {"process": f":{pid}"}).scalar_one())
        except DBAPIError:
            return True  # the database is away, too: as good a moment as any to kill

    def _spoil_the_store(self, mode: Mode) -> None:
        self._servers.proxy.switch(mode)
        time.sleep(_STORE_SECONDS[mode])
        self._servers.proxy.switch(Mode.PASS)


def _within(seconds: float, holds: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True
