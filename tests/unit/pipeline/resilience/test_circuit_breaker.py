"""The breaker and the window, by their clock."""

from __future__ import annotations

from contextlib import AbstractContextManager
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from worker.pipeline.resilience.circuit_breaker import BackoffPolicy, CircuitBreaker, FailureWindow, Permit, StateChange

_PACING = BackoffPolicy(threshold=3, first=2.0, longest=10.0)


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def changes() -> list[StateChange]:
    return []


@pytest.fixture
def breaker(clock: Clock, changes: list[StateChange]) -> CircuitBreaker:
    return CircuitBreaker(_PACING, announce=changes.append, clock=clock, jitter=lambda: 1.0)


def limit(breaker: CircuitBreaker) -> int | None:
    with breaker.turn() as turn:
        return turn.limit


def attempt(breaker: CircuitBreaker, *, answered: int = 0, failed: int = 0) -> int | None:
    with breaker.turn() as turn:
        turn.report(answered=answered, failed=failed, why="503")
        return turn.limit


class TestOpening:
    """So many failures in a row, with no answer between them."""

    def test_a_closed_one_limits_nothing(self, breaker: CircuitBreaker) -> None:
        """Any number of callers at once."""
        with breaker.turn() as one, breaker.turn() as other:
            assert (None, None) == (one.limit, other.limit)

    def test_failures_in_a_row_open_it_and_are_announced_once(
        self, breaker: CircuitBreaker, changes: list[StateChange]
    ) -> None:
        """However many threads find out at once."""
        with breaker.turn() as one, breaker.turn() as other:
            one.report(failed=3, why="503")
            other.report(failed=3, why="504")
        assert [StateChange(is_open=True, why="503", seconds=0.0)] == changes
        assert (True, 0) == (breaker.is_open, limit(breaker))

    def test_an_answer_between_failures_keeps_it_closed(self, breaker: CircuitBreaker) -> None:
        """An object that always fails is not an outage."""
        for _ in range(10):
            attempt(breaker, failed=2)
            attempt(breaker, answered=1)
        assert not breaker.is_open

    def test_an_answer_beside_failures_keeps_it_closed(self, breaker: CircuitBreaker) -> None:
        """Whoever answers one of thirty-two is not away."""
        attempt(breaker, answered=1, failed=31)
        attempt(breaker, failed=2)
        assert not breaker.is_open


class TestTryingAgain:
    """Half-open: one caller at a time, with little."""

    @pytest.fixture(autouse=True)
    def _opened(self, breaker: CircuitBreaker) -> None:
        attempt(breaker, failed=3)

    def test_nobody_may_try_during_the_pause(self, breaker: CircuitBreaker, clock: Clock) -> None:
        """Until it is over."""
        clock.now += 1.9
        assert (0, False) == (limit(breaker), breaker.is_due)
        clock.now += 0.2
        assert (True, 1) == (breaker.is_due, limit(breaker))

    def test_one_may_try_at_a_time(self, breaker: CircuitBreaker, clock: Clock) -> None:
        """The others wait for what comes of it; one that had nothing to try does not keep the next from trying."""
        clock.now += 2
        with breaker.turn() as one, breaker.turn() as other:
            assert (1, 0, False) == (one.limit, other.limit, breaker.is_due)
        assert 1 == limit(breaker)

    def test_one_answer_closes_it(self, breaker: CircuitBreaker, clock: Clock, changes: list[StateChange]) -> None:
        """And that is announced, with how long it took."""
        clock.now += 2
        assert [1, None] == [attempt(breaker, answered=1) for _ in range(2)]
        assert StateChange(is_open=False, why="503", seconds=2.0) == changes[-1]

    def test_pauses_grow_to_the_longest(
        self, breaker: CircuitBreaker, clock: Clock, changes: list[StateChange]
    ) -> None:
        """And it says nothing new meanwhile."""
        waits = []
        for _ in range(5):
            before = clock.now
            while not breaker.is_due:
                clock.now += 0.5
            waits.append(clock.now - before)
            attempt(breaker, failed=1)
        assert [2, 4, 8, 10, 10] == waits
        assert 1 == len(changes)

    def test_once_closed_it_opens_as_before(self, breaker: CircuitBreaker, clock: Clock) -> None:
        """After as many failures in a row, and with the first pause again."""
        clock.now += 2
        attempt(breaker, failed=1)
        clock.now += 4
        attempt(breaker, answered=1)
        assert [None, None, 0] == [attempt(breaker, failed=2), attempt(breaker, failed=1), limit(breaker)]
        clock.now += 2
        assert 1 == limit(breaker)

    def test_a_late_answer_shortens_the_pause_only(self, breaker: CircuitBreaker) -> None:
        """It was asked for before the breaker opened: worth a try, not worth everything."""
        breaker.report(answered=1)
        assert (True, 1) == (breaker.is_open, limit(breaker))

    def test_it_can_be_closed_from_outside(self, breaker: CircuitBreaker, changes: list[StateChange]) -> None:
        """Once; a second time is no news."""
        breaker.close()
        breaker.close()
        assert (None, [True, False]) == (limit(breaker), [each.is_open for each in changes])


class Model(RuleBasedStateMachine):
    """Whatever happens in whatever order."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.changes: list[StateChange] = []
        self.breaker = CircuitBreaker(_PACING, announce=self.changes.append, clock=self.clock)
        self.turns: list[tuple[AbstractContextManager[Permit], Permit]] = []
        self.in_a_row = 0
        self.tried_at: float | None = None  # when the last try failed

    @rule(seconds=st.floats(0, 12))
    def time_passes(self, seconds: float) -> None:
        self.clock.now += seconds

    @rule()
    def ask(self) -> None:
        entered = self.breaker.turn()
        turn = entered.__enter__()
        assert (turn.limit is None) == (not self.breaker.is_open)
        if turn.limit and self.tried_at is not None:
            assert self.clock.now - self.tried_at >= _PACING.first / 2
        self.turns.append((entered, turn))

    @precondition(lambda self: self.turns)
    @rule(which=st.integers(0, 9), answered=st.integers(0, 2), failed=st.integers(0, 4))
    def report(self, which: int, answered: int, failed: int) -> None:
        entered, turn = self.turns.pop(which % len(self.turns))
        was_open = self.breaker.is_open
        if turn.limit != 0:
            turn.report(answered=answered, failed=failed, why="x")
            self.in_a_row = 0 if answered else self.in_a_row + failed
        if self.breaker.is_open and not was_open:
            assert self.in_a_row >= _PACING.threshold
        if was_open and turn.limit and failed and not answered:
            self.tried_at = self.clock.now
        if answered or not self.breaker.is_open:
            self.tried_at = None
        if was_open and not self.breaker.is_open:
            assert 1 == turn.limit
            self.in_a_row = 0
        entered.__exit__(None, None, None)

    @invariant()
    def at_most_one_tries(self) -> None:
        assert sum(bool(turn.limit) for _, turn in self.turns) <= 1

    @invariant()
    def what_is_announced_alternates(self) -> None:
        assert all(one.is_open != other.is_open for one, other in pairwise(self.changes))
        assert self.breaker.is_open == bool(self.changes and self.changes[-1].is_open)

    def teardown(self) -> None:
        """Whatever happened, one answer closes it after a pause."""
        for entered, _ in self.turns:
            entered.__exit__(None, None, None)
        self.clock.now += _PACING.longest
        attempt(self.breaker, answered=1)
        assert not self.breaker.is_open


Model.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestAnyOrder = Model.TestCase


class TestWindow:
    """Too much of what was done lately went wrong."""

    def test_small_samples_say_nothing(self, clock: Clock) -> None:
        """A single broken file is no bad deploy."""
        window = FailureWindow(ratio=0.5, least=4, clock=clock)
        assert [False, True] == [window.record(good=0, bad=3), window.record(good=0, bad=1)]

    def test_what_is_old_does_not_count(self, clock: Clock) -> None:
        """Bad files of this morning say nothing about this deploy."""
        window = FailureWindow(ratio=0.5, least=4, seconds=60, clock=clock)
        window.record(good=0, bad=3)
        clock.now += 61
        assert not window.record(good=0, bad=1)
        assert (1, 1) == window.counts()

    def test_a_ratio_of_one_is_never_exceeded(self, clock: Clock) -> None:
        """The way to switch it off."""
        assert not FailureWindow(ratio=1.0, least=1, clock=clock).record(good=0, bad=1_000)

    @given(st.lists(st.booleans(), min_size=1, max_size=80), st.floats(0.0, 1.0))
    def test_it_is_the_ratio_of_the_newest(self, results: list[bool], ratio: float) -> None:
        """By the definition, for any sequence."""
        window = FailureWindow(ratio=ratio, least=10, most=30)
        for good in results:
            found = window.record(good=int(good), bad=int(not good))
        newest = results[-30:]
        assert found == (len(newest) >= 10 and newest.count(False) > ratio * len(newest))

    def test_it_can_forget(self, clock: Clock) -> None:
        """After somebody has looked into it."""
        window = FailureWindow(ratio=0.5, least=4, clock=clock)
        window.record(good=0, bad=9)
        window.clear()
        assert (0, 0) == window.counts()

    def test_it_takes_nothing_in_for_a_while_if_told_so(self, clock: Clock) -> None:
        """What was found out holds for longer than a few images; not for ever."""
        window = FailureWindow(ratio=0.5, least=4, clock=clock)
        window.clear(ignore=60)
        assert not window.record(good=0, bad=9)
        clock.now += 61
        assert window.record(good=0, bad=9)
