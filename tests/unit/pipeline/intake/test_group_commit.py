"""Writers in flight share one transaction, and each gets its own error."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from worker.pipeline.intake.group_commit import GroupCommit, WaitLimits


class AwayError(Exception):
    """The database is away."""


class Ledger:
    """Remembers what each transaction wrote; the first one takes until ``release`` is set."""

    def __init__(self, refuses: Callable[[Sequence[str]], Exception | None] = lambda _: None) -> None:
        self.transactions: list[list[str]] = []
        self.tried: list[list[str]] = []
        self.entered, self.release = threading.Event(), threading.Event()
        self._refuses = refuses

    def write(self, items: Sequence[str]) -> None:
        self.tried.append(list(items))
        if len(self.tried) == 1:
            self.entered.set()
            assert self.release.wait(10)
        if error := self._refuses(items):
            raise error
        self.transactions.append(list(items))

    def shared(self) -> GroupCommit[str]:
        return GroupCommit(self.write, is_everybodys=lambda error: isinstance(error, AwayError))


def write_while_busy(ledger: Ledger, waiting: Sequence[Sequence[str]]) -> list[BaseException | None]:
    """Errors of the callers that came while the first one was writing."""
    write = ledger.shared()
    with ThreadPoolExecutor(1 + len(waiting)) as pool:
        first = pool.submit(write, ["first"])
        assert ledger.entered.wait(10)
        others = [pool.submit(write, items) for items in waiting]
        while len(write._waiting) < len(waiting):
            threading.Event().wait(0.001)
        ledger.release.set()
        first.result(10)
        return [other.exception(10) for other in others]


def test_a_lone_writer_does_not_wait():
    """Nothing is gained by waiting for others, so nobody does."""
    ledger = Ledger()
    ledger.release.set()
    ledger.shared()(["a", "b"])
    assert [["a", "b"]] == ledger.transactions


def test_those_who_wait_share_a_transaction():
    """Whoever comes while one is being committed is in the next one, with all others."""
    ledger = Ledger()
    errors = write_while_busy(ledger, [["a"], ["b", "c"], ["d"]])
    assert [None, None, None] == errors
    assert [["first"], ["a", "b", "c", "d"]] == [sorted(each) for each in ledger.transactions]


def test_one_refused_costs_the_others_nothing():
    """A shared transaction that fails is taken apart: only whose part is wrong is told so."""
    ledger = Ledger(refuses=lambda items: ValueError("b") if "b" in items else None)
    errors = write_while_busy(ledger, [["a"], ["b"], ["c"]])
    assert [type(None), ValueError, type(None)] == [type(error) for error in errors]
    assert {"first", "a", "c"} == {item for written in ledger.transactions for item in written}


def test_an_outage_is_everybodys():
    """Where the database is away nobody's part is tried again alone."""
    ledger = Ledger(refuses=lambda items: None if "first" in items else AwayError())
    errors = write_while_busy(ledger, [["a"], ["b"]])
    assert [AwayError, AwayError] == [type(error) for error in errors]
    assert 2 == len(ledger.tried)


def test_a_failure_is_no_end():
    """Whoever comes after an error writes as if nothing had been."""
    ledger = Ledger(refuses=lambda items: ValueError("bad") if "bad" in items else None)
    ledger.release.set()
    write = ledger.shared()
    with pytest.raises(ValueError, match="bad"):
        write(["bad"])
    write(["good"])
    assert [["good"]] == ledger.transactions


def test_many_threads_lose_nothing():
    """Everything is written exactly once, in fewer transactions than there were callers."""
    ledger = Ledger()
    ledger.release.set()
    write = ledger.shared()
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: write([str(number)]), range(400)))
    assert sorted(map(str, range(400))) == sorted(item for written in ledger.transactions for item in written)


def test_nobody_takes_the_end_of_a_writing_thread_for_a_commit():
    """Whatever is meant to end it: those whose items it had are told, and the next are written as ever."""
    ledger = Ledger(lambda items: SystemExit() if "bad" in items else None)  # type: ignore[arg-type, return-value]
    ledger.release.set()
    write = ledger.shared()
    with pytest.raises(RuntimeError, match="told to end"):
        write(["bad"])
    write(["good"])
    assert [["good"]] == ledger.transactions


def test_a_future_is_done_once_its_items_are_committed():
    """Who must not wait gets a future instead, and it is not done a moment too early."""
    ledger = Ledger()
    done = ledger.shared().submit(["a"])
    assert ledger.entered.wait(10)
    assert not done.done()
    ledger.release.set()
    assert None is done.exception(10)
    assert [["a"]] == ledger.transactions


def test_who_gives_up_before_its_turn_has_written_nothing():
    """A sender that was told to try again does not also weigh on the transaction that comes next."""
    ledger = Ledger()
    write = ledger.shared()
    first = write.submit(["first"])
    assert ledger.entered.wait(10)
    given_up, other = write.submit(["given up"]), write.submit(["other"])
    assert given_up.cancel()
    ledger.release.set()
    first.result(10)
    other.result(10)
    assert [["first"], ["other"]] == ledger.transactions


def test_a_transaction_has_a_size():
    """Any number may wait; what is written at once stays bounded, and nobody is left behind or written in parts."""
    ledger = Ledger()
    write = ledger.shared()
    first = write.submit(["first"])
    assert ledger.entered.wait(10)
    waiting = [write.submit([str(number)] * size) for number, size in enumerate([6_000, 4_000, 1, 20_000, 1])]
    ledger.release.set()
    for done in [first, *waiting]:
        done.result(10)
    assert [1, 10_000, 1, 20_000, 1] == [len(each) for each in ledger.transactions]


class Outage:
    """Refuses every write until it is over."""

    def __init__(self) -> None:
        self.over = threading.Event()
        self.noted: list[Exception] = []

    def __call__(self, _: Sequence[str]) -> Exception | None:
        return None if self.over.is_set() else AwayError()

    def shared(self, ledger: Ledger, hold: WaitLimits) -> GroupCommit[str]:
        ledger.release.set()
        return GroupCommit(
            ledger.write, is_everybodys=lambda error: isinstance(error, AwayError), hold=hold, held=self.noted.append
        )


def test_callers_are_held_until_an_outage_is_over():
    """Nobody has to come again: all are written, in the order they came, and the outage is noted once."""
    outage = Outage()
    ledger = Ledger(outage)
    write = outage.shared(ledger, WaitLimits(seconds=30, callers=10, items=10))
    held = [write.submit(["a"]), write.submit(["b"])]
    while len(ledger.tried) < 3:
        threading.Event().wait(0.01)
    held.append(write.submit(["c"]))
    outage.over.set()
    for each in held:
        each.result(10)
    assert ["a", "b", "c"] == [item for written in ledger.transactions for item in written]
    assert 1 == len(outage.noted)


def test_a_caller_is_held_so_long_and_no_longer():
    """Then it gets the error, and whoever came later is held on."""
    outage = Outage()
    write = outage.shared(Ledger(outage), WaitLimits(seconds=2, callers=10, items=10))
    early = write.submit(["early"])
    threading.Event().wait(1.5)
    late = write.submit(["late"])
    assert isinstance(early.exception(2), AwayError)
    assert not late.done()
    outage.over.set()
    late.result(10)


@pytest.mark.parametrize(
    "hold", [WaitLimits(seconds=30, callers=2, items=100), WaitLimits(seconds=30, callers=100, items=2)]
)
def test_so_many_are_held_and_no_more(hold):
    """Beyond the bounds a caller is refused at once; when there is room again, it is held."""
    outage = Outage()
    ledger = Ledger(outage)
    write = outage.shared(ledger, hold)
    held = [write.submit(["a"])]
    while not (outage.noted and write._waiting):
        threading.Event().wait(0.01)
    outcomes = [write.submit([str(number)]) for number in range(5)]
    refused = [each for each in outcomes if each.done()]
    assert {AwayError} == {type(each.exception(1)) for each in refused}
    assert len(held) + len(outcomes) - len(refused) in (2, 3)  # one is on its way into the database
    outage.over.set()
    for each in (*held, *(each for each in outcomes if each not in refused)):
        each.result(10)
    write(["later"])
