"""Bytes in flight are bounded."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from worker.pipeline.resilience.memory_budget import ByteBudget, DecodeSlots


def test_loans_never_exceed_the_capacity():
    """Whatever threads ask for, at any moment, the sum is within the budget."""
    budget, mutex, held, most = ByteBudget(100), threading.Lock(), [0], [0]

    def borrow(size: int) -> None:
        with budget.lease() as reservation:
            reservation.draw(size)
            with mutex:
                held[0] += size
                most[0] = max(most[0], held[0])
            with mutex:
                held[0] -= size

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(borrow, [1, 60, 99, 40, 7, 100] * 50))
    assert most[0] <= 100


def test_a_file_larger_than_the_budget_gets_all_of_it():
    """Nothing waits for ever."""
    budget = ByteBudget(100)
    with budget.lease() as reservation:
        reservation.draw(1_000)
        assert 100 == reservation.drawn
    with budget.lease() as reservation:
        reservation.draw(100)
        assert 100 == reservation.drawn


def test_an_error_pays_the_loan_back():
    """A failed decode does not shrink the budget."""
    budget = ByteBudget(10)
    for _ in range(3):
        with suppress(ZeroDivisionError), budget.lease() as reservation:
            reservation.draw(10)
            _ = 1 / 0
    with budget.lease() as reservation:
        reservation.draw(10)
        assert 10 == reservation.drawn


def test_small_files_do_not_pass_a_large_one_for_ever():
    """First come, first served: under a steady stream of small files the large one gets its turn."""
    budget, stop, done = ByteBudget(100), threading.Event(), threading.Event()

    def small() -> None:
        while not stop.is_set():
            with budget.lease() as reservation:
                reservation.draw(30)
                time.sleep(0.01)

    def large() -> None:
        with budget.lease() as reservation:
            reservation.draw(100)
            done.set()

    with ThreadPoolExecutor(5) as pool:
        for _ in range(4):
            pool.submit(small)
        time.sleep(0.05)
        pool.submit(large)
        passed = done.wait(2)
        stop.set()
    assert passed


def test_decoders_take_turns():
    """Never more pictures at once than there are decoders, whatever the number of threads."""
    decoders = DecodeSlots(count=2, memory=ByteBudget(100))
    inside, most = [], []

    def decode(number):
        with decoders.turn():
            inside.append(number)
            most.append(len(inside))
            time.sleep(0.005)
            inside.remove(number)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(decode, range(16)))
    assert 2 == max(most)


def test_pictures_share_the_decoders_memory():
    """Small pictures are decoded side by side; one that needs more than there is waits for all, and is alone."""
    memory = ByteBudget(100)
    decoders = DecodeSlots(count=8, memory=memory)
    held: list[int] = []
    most: list[int] = []

    def decode(size):
        with decoders.turn(), decoders.reserve(size):
            held.append(size)
            most.append(sum(held))
            time.sleep(0.005)
            held.remove(size)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(decode, [40, 40, 40, 1000, 40, 40, 40, 40]))
    assert max(total for total in most if total < 1000) <= 100
    assert 1000 == max(most)
