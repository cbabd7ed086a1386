"""The listener process: one thread per queue, a heartbeat, and an orderly shutdown."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Sequence

from worker import bootstrap, logs
from worker.pipeline.intake.sqs_consumer import SqsConsumer
from worker.pipeline.resilience.heartbeat import Heartbeat
from worker.settings import Settings
from worker.stop_signal import StopFlag

_log = logs.get("listening")

_LOOK_SECONDS = 1.0
#: A queue that is silent for this long beyond its long poll counts as no progress.
_SILENCE = 60.0
#: On top of the current long poll, to commit its messages or give them back.
_DRAIN_SECONDS = 8.0
_EXIT_NO_PROGRESS = 75  # EX_TEMPFAIL: a new process is the remedy


def run(settings: Settings, notify: Callable[[], None]) -> None:
    """Listen to every queue until SIGTERM; a second one does not wait.

    Raises:
        ConfigurationError: no queue is named, or one does not exist or may not be used.
    """
    asked = StopFlag()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: os._exit(1) if asked.is_set() else asked.set())
    with bootstrap.listener(settings, notify) as (heartbeat, listeners):
        for each in listeners:
            each.start()
        _log.info(f"listening to {', '.join(each.queue.name for each in listeners)}", action="listen")
        _watch(asked, heartbeat, listeners, silence=settings.sqs_wait_seconds + _SILENCE)
        _drain(listeners, seconds=settings.sqs_wait_seconds + _DRAIN_SECONDS)


def _watch(asked: StopFlag, heartbeat: Heartbeat, listeners: Sequence[SqsConsumer], *, silence: float) -> None:
    """Report progress while every queue responds. Exit if a thread has ended, which none should."""
    while not asked.wait(_LOOK_SECONDS):
        if not all(each.is_alive for each in listeners):
            _log.error("a thread ended unexpectedly; exiting so that a new process can start", action="end")
            os._exit(_EXIT_NO_PROGRESS)
        if all(each.silent_for < silence for each in listeners):
            heartbeat.progressed()


def _drain(listeners: Sequence[SqsConsumer], *, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    for each in listeners:
        each.ask_to_stop()
    for each in listeners:
        if not each.stop(within=max(0.0, deadline - time.monotonic())):
            _log.warning(
                "still busy; its unfinished messages go back to the queue", action="drain", queue=each.queue.name
            )
