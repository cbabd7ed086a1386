"""The watchdog, by its clock: when it rings, helps itself, and ends the process."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

import pytest

from worker.pipeline.resilience.watchdog import Watchdog, WatchdogHooks, WatchdogLimits

_QUIET, _DEAF, _STUCK = 10.0, 3, 100.0


@dataclass
class World:
    """What surrounds a watchdog, and what it did."""

    now: float = 0.0
    claimable: bool = False
    due: bool = False
    broker: bool = True
    rings: int = 0
    batches: int = 0
    ended: list[str] = field(default_factory=list)

    def work(self) -> None:
        self.batches += 1
        self.claimable = False

    def notify(self) -> bool:
        self.rings += self.broker
        return self.broker


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def watchdog(world: World) -> Watchdog:
    around = WatchdogHooks(
        claimable=lambda: world.claimable,
        due=lambda: world.due,
        notify=world.notify,
        work=world.work,
        end=world.ended.append,
    )
    return Watchdog(around, WatchdogLimits(quiet=_QUIET, deaf=_DEAF, stuck=_STUCK), clock=lambda: world.now)


def look(watchdog: Watchdog, world: World, *, after: float, claimable: bool = True) -> None:
    """Let time pass, look once, and wait for the work that comes of it."""
    world.now += after
    world.claimable = claimable
    watchdog.look()
    if watchdog._helper is not None:
        watchdog._helper.join(5)


def test_an_idle_process_is_left_alone(watchdog: Watchdog, world: World) -> None:
    """Hours without work are no sign of anything."""
    look(watchdog, world, after=10_000, claimable=False)
    assert (0, 0, []) == (world.rings, world.batches, world.ended)


def test_work_is_left_to_wake_ups_at_first(watchdog: Watchdog, world: World) -> None:
    """Within the quiet time a wake-up may be on its way."""
    look(watchdog, world, after=_QUIET - 1)
    assert (0, 0) == (world.rings, world.batches)


def test_unwoken_work_is_rung_for_and_taken(watchdog: Watchdog, world: World) -> None:
    """After the quiet time, ring for whoever hears it, and do it."""
    look(watchdog, world, after=_QUIET + 1)
    assert (1, 1, []) == (world.rings, world.batches, world.ended)


def test_a_process_that_hears_no_ring_is_ended(watchdog: Watchdog, world: World) -> None:
    """The broker answers and rings go unheard: the consumer is dead."""
    for _ in range(_DEAF + 1):
        look(watchdog, world, after=_QUIET + 1)
    assert ["work waits, the broker accepts wake-ups, and none came for 44 s"] == world.ended


def test_one_wake_up_clears_the_suspicion(watchdog: Watchdog, world: World) -> None:
    """Only rings in a row count."""
    for _ in range(5 * _DEAF):
        look(watchdog, world, after=_QUIET + 1)
        with watchdog.awake():
            pass
    assert [] == world.ended


def test_without_a_broker_nobody_is_deaf(watchdog: Watchdog, world: World) -> None:
    """A broker that is away is no reason to end; the work is done all the same."""
    world.broker = False
    for _ in range(10 * _DEAF):
        look(watchdog, world, after=_QUIET + 1)
    assert (world.rings, world.batches, world.ended) == (0, 10 * _DEAF, [])


def test_a_process_with_a_batch_in_hand_is_not_deaf(watchdog: Watchdog, world: World) -> None:
    """It has been woken: what waits is waiting for it to finish."""
    with watchdog.awake():
        for _ in range(_DEAF + 1):
            look(watchdog, world, after=_QUIET + 1)
    assert (0, 0, []) == (world.rings, world.batches, world.ended)


def test_a_batch_that_never_ends_ends_the_process(watchdog: Watchdog, world: World) -> None:
    """Nobody renews its leases any more; a new process is the remedy."""
    with watchdog.awake():
        look(watchdog, world, after=_STUCK + 1)
    assert ["a batch has been running for over 100 s; this process is stuck"] == world.ended


def test_stopping_waits_for_work_taken_unwoken(world: World) -> None:
    """What the watchdog has in hand is finished before the process ends."""
    begun, may_end, finished = threading.Event(), threading.Event(), threading.Event()

    def work() -> None:
        world.claimable = False
        begun.set()
        may_end.wait(5)
        finished.set()

    around = WatchdogHooks(
        claimable=lambda: world.claimable,
        due=lambda: False,
        notify=lambda: False,
        work=work,
        end=world.ended.append,
    )
    watchdog = Watchdog(around, WatchdogLimits(quiet=0.01, deaf=_DEAF, stuck=_STUCK))
    world.claimable = True
    watchdog.start()
    assert begun.wait(5)
    threading.Timer(0.1, may_end.set).start()
    watchdog.stop()
    assert finished.is_set()
