"""The processes that use Celery's wake-ups: the worker, with its only task, and the scheduler."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from celery import Celery, signals
from celery.exceptions import SecurityWarning

from worker import bootstrap, broker, logs, process
from worker.broker import WakeUp
from worker.errors import FatalDeviceError, TaxonomyError
from worker.pipeline.enrichment.model_switch import ModelSwitch
from worker.pipeline.resilience import heartbeat, watchdog
from worker.pipeline.resilience.heartbeat import Heartbeat
from worker.pipeline.resilience.watchdog import Watchdog, WatchdogHooks, WatchdogLimits
from worker.settings import Settings
from worker.stop_signal import StopFlag

_log = logs.get("tasks")

#: Most sweeps in a row that find work without a wake-up: about a minute with the default sweep.
_DEAF = 12
#: How often the scheduler reports progress, even if it sends wake-ups less often.
_SCHEDULER_SECONDS = 10.0
#: How long an ending process tries to sign off in the database.
_SIGN_OFF_SECONDS = 5.0
_EXIT_FATAL_DEVICE = 70  # EX_SOFTWARE
_EXIT_TOO_OLD = 78  # EX_CONFIG: a restart does not help
_EXIT_NO_PROGRESS = 75  # EX_TEMPFAIL: a new process is the remedy


# -- the worker --------------------------------------------------------------------------------------------------------
@dataclass(frozen=True, kw_only=True, slots=True)
class _Process:
    """What the task needs in a process started by `enrich worker`."""

    runtime: ModelSwitch
    wake_up: WakeUp
    watchdog: Watchdog
    drain: Drain


_process: _Process | None = None


def _wake() -> None:
    """Process one batch. A full batch has already sent the wake-up for the next one."""
    if _process is None:
        raise RuntimeError("this process was not started by `enrich worker`")
    if _process.drain.has_begun:
        return  # the next wake-up reaches another worker
    with _process.watchdog.awake():
        _process.wake_up.acknowledge()
        _work(_process.runtime)


def _work(runtime: ModelSwitch) -> None:
    try:
        runtime.run_once()
    except FatalDeviceError as error:
        _end_of_device(error)
    except TaxonomyError as error:
        _log.error(f"{error}; exiting, because this process cannot tag", action="taxonomies")
        runtime.enricher.heartbeat.stop()  # gives claimed work back
        os._exit(_EXIT_TOO_OLD)


def _end_of_device(error: FatalDeviceError) -> None:
    # The claims stay: their objects are retried alone, so that the one that broke the device is found.
    _log.error("the device is broken; exiting so that a new process can start", action="fatal", exc_info=error)
    os._exit(_EXIT_FATAL_DEVICE)


def run_worker(settings: Settings) -> None:
    """Load the model, then consume wake-ups until SIGTERM; batches in progress are finished first, or given back."""
    global _process  # noqa: PLW0603  # Celery tasks are functions; this is the one place they get their parts from
    # Until Celery handles the signal: the default action would leave our heartbeat, and perhaps leases, behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    app = broker.make_app(settings)
    app.task(name=broker.WAKE)(_wake)
    wake_up = WakeUp(settings, app)
    with process.worker(settings, wake_up.send, _end_of_device) as runtime:
        drain = Drain(runtime.enricher.heartbeat, seconds=settings.drain_seconds)
        signals.worker_shutting_down.connect(drain.begin, weak=False)
        with _watching(settings, runtime, wake_up, drain) as watching:
            _process = _Process(runtime=runtime, wake_up=wake_up, watchdog=watching, drain=drain)
            _consume(app, settings, drain)


class Drain:
    """Ends a process within a bounded time after SIGTERM, whatever its batches are waiting for."""

    def __init__(self, heartbeat: Heartbeat, *, seconds: float) -> None:
        self._heartbeat, self._seconds = heartbeat, seconds
        self._begun = StopFlag()

    @property
    def has_begun(self) -> bool:
        """Whether to take no more work."""
        return self._begun.is_set()

    def begin(self, **_: Any) -> None:
        """Take no more work; after the time limit, give back unfinished work. Called by Celery on SIGTERM."""
        if not self._begun.is_set():
            self._begun.set()
            timer = threading.Timer(self._seconds, self._give_back)
            timer.daemon = True
            timer.start()

    def _give_back(self) -> None:
        """Sign off on a separate thread, because the database may not answer: then leases expire by themselves."""
        _log.warning(
            f"batches are unfinished after {self._seconds:g} s (ENRICH_DRAIN_SECONDS); they are given back",
            action="drain",
        )
        sign_off = threading.Thread(target=self._heartbeat.stop, name="sign-off", daemon=True)
        sign_off.start()
        sign_off.join(_SIGN_OFF_SECONDS)
        os._exit(0)


def _consume(app: Celery, settings: Settings, drain: Drain) -> None:
    signals.setup_logging.connect(_log_as_we_do, weak=False)
    with warnings.catch_warnings():
        # Root is discouraged because of pickled messages; ours are JSON and carry no data. In containers it is common.
        warnings.simplefilter("ignore", SecurityWarning)
        consume: Callable[[list[str]], object] = app.worker_main  # returns, whatever its annotation says
        consume([
            "--quiet", "worker", "--pool=threads", f"--concurrency={settings.concurrency}",
            "--without-gossip", "--without-mingle", "--without-heartbeat",
        ])  # fmt: skip
    if not drain.has_begun:  # for whatever reason: a worker that was not told to stop is restarted
        _end("Celery stopped consuming wake-ups")


@contextmanager
def _watching(settings: Settings, runtime: ModelSwitch, wake_up: WakeUp, drain: Drain) -> Iterator[Watchdog]:
    enricher, breakers = runtime.enricher, runtime.enricher.breakers
    around = WatchdogHooks(
        claimable=lambda: (
            not (drain.has_begun or breakers.hold) and watchdog.claimable(enricher.engine, enricher.floors)
        ),
        due=lambda: breakers.due and not drain.has_begun,
        notify=lambda: wake_up.reaches() and not broker.is_in_trouble(),
        work=lambda: _work(runtime),
        end=_end,
    )
    patience = WatchdogLimits(
        quiet=2 * settings.sweep_seconds,
        deaf=_DEAF,
        stuck=(heartbeat.LONGEST_BATCH_IN_LEASES + 1) * settings.lease_seconds,
    )
    watching = Watchdog(around, patience)
    wake_up.send()  # for hints that came while no worker was listening
    watching.start()
    try:
        yield watching
    finally:
        watching.stop()


def _end(why: str) -> None:
    _log.error(f"{why}; exiting so that a new process can start", action="end")
    os._exit(_EXIT_NO_PROGRESS)


def _log_as_we_do(**_: Any) -> None:
    """Called by Celery instead of its own logging set-up."""
    for name in ("celery", "kombu"):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [broker.Forward()], False
        logger.setLevel(logging.WARNING)


# -- the scheduler -----------------------------------------------------------------------------------------------------
def run_scheduler(settings: Settings) -> None:
    """Wake workers every few seconds, until SIGTERM: for due retries, expired leases and lost wake-ups."""
    wake_up = WakeUp(settings)
    stop = StopFlag()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    with bootstrap.scheduler(settings, wake_up.send) as beating:
        ring_at = time.monotonic() + settings.sweep_seconds
        while not stop.wait(min(settings.sweep_seconds, _SCHEDULER_SECONDS)):
            if time.monotonic() >= ring_at:
                wake_up.send()
                ring_at = time.monotonic() + settings.sweep_seconds
            beating.progressed()
