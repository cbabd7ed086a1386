"""One thread that does one thing every few seconds."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from structlog.testing import capture_logs

from worker.errors import StoreUnavailableError
from worker.pipeline.resilience import periodic
from worker.pipeline.resilience.periodic import PeriodicThread

_LONG = 60.0


def test_a_step_runs_at_once_and_then_after_every_interval() -> None:
    """Where nothing else is asked for."""
    third = _Steps(3)
    _run(_thread(third, interval=0.001), third.reached)


def test_a_step_says_when_the_next_one_is_due() -> None:
    """A step that has more to do is not kept waiting for an interval."""
    third = _Steps(3, returns=0.0)
    _run(_thread(third, interval=_LONG), third.reached)


def test_a_step_that_fails_is_run_again() -> None:
    """After the interval; the thread outlives any exception."""
    third = _Steps(3, raises=lambda _: RuntimeError("broken"))
    _run(_thread(third, interval=0.001), third.reached)


def test_nothing_runs_before_it_is_asked_for() -> None:
    """Without an interval, each call of `hurry` brings a step, also one from before the start."""
    first, second = _Steps(1), _Steps(2)

    def step() -> None:
        first()
        second()

    thread = _thread(step, interval=None, at_once=False)
    thread.hurry()
    thread.start()
    thread.start()  # nothing more
    assert first.reached.wait(5)
    assert not second.reached.is_set()
    thread.hurry()
    assert second.reached.wait(5)
    thread.stop()


def test_stopping_waits_for_the_step_and_not_for_the_interval() -> None:
    """What is under way ends, and nothing begins any more."""
    begun, may_end, ended = threading.Event(), threading.Event(), threading.Event()

    def step() -> None:
        begun.set()
        may_end.wait(5)
        ended.set()

    thread = _thread(step, interval=_LONG)
    thread.start()
    assert begun.wait(5)
    thread.stop(timeout=0.01)
    assert (True, False) == (thread.is_stopping, ended.is_set())
    may_end.set()
    thread.stop(timeout=5)
    assert ended.is_set()


def test_a_step_may_end_its_own_thread() -> None:
    """As a device that is broken does."""

    def step() -> None:
        thread.cancel()

    thread = _thread(step, interval=0.0)
    thread.start()
    thread.stop(timeout=5)
    assert not thread._thread.is_alive()


@pytest.mark.parametrize(
    ("error", "level"),
    [
        pytest.param(RuntimeError("broken"), "error", id="a mistake of ours"),
        pytest.param(StoreUnavailableError("503"), "warning", id="something that passes"),
    ],
)
def test_a_failure_is_logged_once(error: Exception, level: str) -> None:
    """A failure that lasts is one line, not one for every step."""
    assert [level] == _logged([error, error, error])


def test_a_failure_that_lasts_is_logged_again_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody who looks at the newest lines learns of it."""
    monkeypatch.setattr(periodic, "_REPEAT", 0.0)
    assert ["error"] * 3 == _logged([RuntimeError("broken")] * 3)


def test_a_failure_is_logged_again_when_it_changes() -> None:
    """Another message, or the same one after a success."""
    one, other = RuntimeError("one"), RuntimeError("other")
    assert ["error"] * 3 == _logged([one, other, other, None, other])


def test_a_failure_is_logged_in_the_words_of_whoever_runs_the_step() -> None:
    """With the action of its other lines, and the part of the step that failed."""
    thread = _thread(lambda: None, interval=None)

    def fail() -> None:
        raise StoreUnavailableError("503")

    with capture_logs() as lines:
        thread.attempt(fail)
        thread.attempt(fail, "space 7")
    common = {"event": "a try failed", "action": "try", "error": "503", "log_level": "warning", "room": "pipeline"}
    assert [common, {**common, "part": "space 7"}] == lines


def test_a_failure_that_is_handled_is_not_logged() -> None:
    """Whoever handles it says what there is to say."""
    handled: list[Exception] = []
    errors: list[Exception | None] = [RuntimeError("broken")]

    def handle(error: Exception) -> bool:
        handled.append(error)
        return True

    assert [] == _logged(errors, handles=handle)
    assert errors == handled


class _Steps:
    """Counts, and tells when it has been called so often."""

    def __init__(
        self, count: int, *, returns: float | None = None, raises: Callable[[int], Exception] | None = None
    ) -> None:
        self._left, self._returns, self._raises = count, returns, raises
        self.reached = threading.Event()

    def __call__(self) -> float | None:
        self._left -= 1
        if self._left <= 0:
            self.reached.set()
        if self._raises is not None:
            raise self._raises(self._left)
        return self._returns


def _thread(
    step: Callable[[], float | None],
    *,
    interval: float | None,
    at_once: bool = True,
    handles: Callable[[Exception], bool] = lambda _: False,
) -> PeriodicThread:
    return PeriodicThread(
        "test", step, action="try", failure="a try failed", interval=interval, at_once=at_once, handles=handles
    )


def _run(thread: PeriodicThread, until: threading.Event) -> None:
    thread.start()
    try:
        assert until.wait(5)
    finally:
        thread.stop(timeout=5)


def _logged(results: list[Exception | None], *, handles: Callable[[Exception], bool] = lambda _: False) -> list[str]:
    """The levels of what is logged while a step fails as told."""
    thread = _thread(lambda: None, interval=None, handles=handles)

    def step(result: Exception | None) -> None:
        if result is not None:
            raise result

    with capture_logs() as lines:
        for each in results:
            thread.attempt(lambda each=each: step(each))  # type: ignore[misc]
    return [line["log_level"] for line in lines]
