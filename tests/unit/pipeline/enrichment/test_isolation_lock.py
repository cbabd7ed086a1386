"""The gate: many ordinary batches, or one suspect alone."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

from worker.pipeline.enrichment.isolation_lock import IsolationLock


def test_only_one_thread_may_claim_suspects():
    """The second one is told no, and may again once the first is through."""
    isolation_lock = IsolationLock()
    with isolation_lock.reservation() as first, isolation_lock.reservation() as second:
        assert (True, False) == (first, second)
    with isolation_lock.reservation() as again:
        assert again


def test_a_suspect_waits_for_ordinary_work_and_keeps_new_work_out():
    """While a suspect is inside, nobody else is."""
    isolation_lock = IsolationLock()
    log: list[str] = []
    inside = threading.Event()
    go = threading.Event()

    def ordinary(name: str) -> None:
        with isolation_lock.shared():
            log.append(f"{name} in")
            inside.set()
            go.wait(5)
            log.append(f"{name} out")

    def suspect() -> None:
        with isolation_lock.alone():
            log.append("suspect in")
            time.sleep(0.05)
            log.append("suspect out")

    with ThreadPoolExecutor(3) as pool:
        pool.submit(ordinary, "first")
        inside.wait(5)
        waiting = pool.submit(suspect)
        time.sleep(0.05)
        assert ["first in"] == log
        go.set()
        waiting.result(5)
        pool.submit(ordinary, "second").result(5)
    assert ["first in", "first out", "suspect in", "suspect out", "second in", "second out"] == log


def test_a_waiting_suspect_is_not_passed_by_new_work():
    """Under steady load a suspect still gets its turn."""
    isolation_lock = IsolationLock()
    order: list[str] = []
    first_in, go = threading.Event(), threading.Event()

    def ordinary(name: str) -> None:
        with isolation_lock.shared():
            first_in.set()
            go.wait(5)
            order.append(name)

    def suspect() -> None:
        with isolation_lock.alone():
            order.append("suspect")

    with ThreadPoolExecutor(3) as pool:
        pool.submit(ordinary, "first")
        first_in.wait(5)
        pool.submit(suspect)
        time.sleep(0.05)
        pool.submit(ordinary, "second")
        time.sleep(0.05)
        go.set()
    assert ["first", "suspect", "second"] == order
