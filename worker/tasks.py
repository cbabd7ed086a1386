"""Celery: the app, its one task, and the bell. Messages carry no data: losing all of them costs seconds, not images."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from celery import Celery, signals
from celery.exceptions import SecurityWarning
from kombu.exceptions import OperationalError
from redis import Redis, RedisError

from worker import bootstrap, logs, metrics, process
from worker.errors import FatalDeviceError, TaxonomyError
from worker.pipeline import keeper, watchdog
from worker.pipeline.keeper import Keeper
from worker.pipeline.serving import Serving
from worker.pipeline.watchdog import Patience, Surroundings, Watchdog
from worker.settings import Settings
from worker.stopping import StopRequest

_log = logs.get("tasks")

_QUEUE = "enrich"
_WAKE = "enrich.wake"
_BELL = "enrich:bell"
#: A wake-up that was lost with its broker keeps the bell silent for this long at most.
_BELL_SECONDS = 3
#: With this many wake-ups waiting, one more wakes nobody: workers are all busy, or away. (Not by an expiry: it would be
#: the sender's clock against the worker's.)
_MOST_WAITING = 100
#: After the broker failed once, how long ringing is not even tried.
_BROKER_PAUSE = 5.0
#: How often in a row work may have to be taken unwoken: about a minute with the default sweep.
_DEAF = 12
#: How often the scheduler shows that it moves, also where it is told to ring less often.
_SCHEDULER_SECONDS = 10.0
#: How long a process that ends tries to tell the database so.
_GOODBYE_SECONDS = 5.0
_EXIT_FATAL_DEVICE = 70  # EX_SOFTWARE
_EXIT_TOO_OLD = 78  # EX_CONFIG: starting it again does not help
_EXIT_NO_PROGRESS = 75  # EX_TEMPFAIL: a new process is the remedy


def make_app(settings: Settings) -> Celery:
    """The Celery app of this process."""
    app = Celery("enrich", broker=settings.broker_url, set_as_current=False)
    app.conf.update(
        task_default_queue=_QUEUE,
        task_ignore_result=True,
        task_publish_retry=False,
        # A wake-up is spent when it is taken; what it woke for is in the ledger.
        task_acks_late=False,
        worker_prefetch_multiplier=1,
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        worker_send_task_events=False,
        worker_enable_remote_control=False,
        broker_connection_retry_on_startup=True,
        worker_cancel_long_running_tasks_on_connection_loss=True,  # of tasks that acknowledge late; ours do not
        broker_connection_max_retries=None,  # for ever: meanwhile the watchdog works from the ledger
        broker_transport_options={"socket_connect_timeout": 2, "socket_keepalive": True, "health_check_interval": 10},
    )
    app.task(name=_WAKE)(_wake)
    return app


class Bell:
    """Wakes a worker, at most once until somebody has answered. Never raises: the ledger has the work already."""

    def __init__(self, settings: Settings, app: Celery | None = None) -> None:
        self._app = app or make_app(settings)
        self._redis = Redis.from_url(settings.broker_url, socket_timeout=2, socket_connect_timeout=2)
        self._silent_until = 0.0

    def ring(self) -> None:
        """Send a wake-up unless one is on its way."""
        if time.monotonic() < self._silent_until:
            return
        try:
            metrics.WAKE_UPS.labels(result="sent" if self._send() else "coalesced").inc()
        except (RedisError, OperationalError, OSError) as error:
            self._silent_until = time.monotonic() + _BROKER_PAUSE
            metrics.WAKE_UPS.labels(result="failed").inc()
            _log.warning("the broker is away; workers look for work by themselves", action="ring", error=str(error))

    def _send(self) -> bool:
        with self._redis.pipeline(transaction=False) as ask:
            ask.set(_BELL, 1, nx=True, ex=_BELL_SECONDS)
            ask.llen(_QUEUE)
            first, waiting = ask.execute()
        if not first or waiting >= _MOST_WAITING:
            return False
        self._app.send_task(_WAKE)
        return True

    def answer(self) -> None:
        """Let the bell ring again. Called before claiming: whatever is hinted from now on rings anew."""
        try:
            self._redis.delete(_BELL)
        except RedisError as error:
            _log.warning("the bell could not be reset; it resets itself", action="answer", error=str(error))

    def is_connected(self) -> bool:
        """Whether the broker answers."""
        try:
            return bool(self._redis.ping())
        except RedisError:
            return False


# -- the worker --------------------------------------------------------------------------------------------------------
@dataclass(frozen=True, kw_only=True, slots=True)
class _Process:
    """What the task needs, in a process that `enrich worker` started."""

    runtime: Serving
    bell: Bell
    watchdog: Watchdog
    drain: Drain


_process: _Process | None = None


def _wake() -> None:
    """Take one batch to its end. A full batch has rung for the next one already."""
    if _process is None:
        raise RuntimeError("this process was not started by `enrich worker`")
    if _process.drain.has_begun:
        return  # somebody else is woken by the next ring
    with _process.watchdog.awake():
        _process.bell.answer()
        _work(_process.runtime)


def _work(runtime: Serving) -> None:
    try:
        runtime.run_once()
    except FatalDeviceError as error:
        _end_of_device(error)
    except TaxonomyError as error:
        _log.error(f"{error}; this process ends, because it can tag nothing", action="taxonomies")
        runtime.enricher.keeper.stop()  # gives back what is in hand
        os._exit(_EXIT_TOO_OLD)


def _end_of_device(error: FatalDeviceError) -> None:
    # The claims stay: their objects are retried alone, so that the one that broke the device is found.
    _log.error("the device is broken; this process ends so that a clean one can start", action="fatal", exc_info=error)
    os._exit(_EXIT_FATAL_DEVICE)


def run_worker(settings: Settings) -> None:
    """Load the model, then consume wake-ups until SIGTERM; batches in hand are finished first, or given back."""
    global _process  # noqa: PLW0603  # Celery tasks are functions; this is the one place they get their parts from
    # Until Celery takes the signal over: ending by default would leave our heartbeat, and perhaps leases, behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    app = make_app(settings)
    bell = Bell(settings, app)
    with process.worker(settings, bell.ring, _end_of_device) as runtime:
        drain = Drain(runtime.enricher.keeper, seconds=settings.drain_seconds)
        signals.worker_shutting_down.connect(drain.begin, weak=False)
        with _watching(settings, runtime, bell, drain) as watching:
            _process = _Process(runtime=runtime, bell=bell, watchdog=watching, drain=drain)
            _consume(app, settings)


class Drain:
    """The end of a process that was told to end: soon, whatever its batches in hand are waiting for."""

    def __init__(self, keeper: Keeper, *, seconds: float) -> None:
        self._keeper, self._seconds = keeper, seconds
        self._begun = StopRequest()

    @property
    def has_begun(self) -> bool:
        """Whether no more work is to be taken."""
        return self._begun.is_set()

    def begin(self, **_: Any) -> None:
        """Take no more work; give back what is still in hand after the bound. Called by Celery on SIGTERM."""
        if not self._begun.is_set():
            self._begun.set()
            timer = threading.Timer(self._seconds, self._give_back)
            timer.daemon = True
            timer.start()

    def _give_back(self) -> None:
        """On a thread of its own, because the database may not answer either: then leases end by themselves."""
        _log.warning(
            f"batches in hand are not finished after {self._seconds:g} s (ENRICH_DRAIN_SECONDS); they are given back",
            action="drain",
        )
        goodbye = threading.Thread(target=self._keeper.stop, name="goodbye", daemon=True)
        goodbye.start()
        goodbye.join(_GOODBYE_SECONDS)
        os._exit(0)


def _consume(app: Celery, settings: Settings) -> None:
    signals.setup_logging.connect(_log_as_we_do, weak=False)
    with warnings.catch_warnings():
        # Root is discouraged because of pickled messages; ours are JSON and carry no data. In containers it is common.
        warnings.simplefilter("ignore", SecurityWarning)
        app.worker_main(
            [
                "--quiet",
                "worker",
                "--pool=threads",
                f"--concurrency={settings.concurrency}",
                "--without-gossip",
                "--without-mingle",
                "--without-heartbeat",
            ]
        )


@contextmanager
def _watching(settings: Settings, runtime: Serving, bell: Bell, drain: Drain) -> Iterator[Watchdog]:
    enricher, breakers = runtime.enricher, runtime.enricher.breakers
    around = Surroundings(
        claimable=lambda: not (drain.has_begun or breakers.hold) and watchdog.claimable(enricher.engine),
        due=lambda: breakers.due and not drain.has_begun,
        broker_answers=bell.is_connected,
        ring=bell.ring,
        work=lambda: _work(runtime),
        end=_end,
    )
    patience = Patience(
        quiet=2 * settings.sweep_seconds,
        deaf=_DEAF,
        stuck=(keeper.LONGEST_BATCH_IN_LEASES + 1) * settings.lease_seconds,
    )
    watching = Watchdog(around, patience)
    bell.ring()  # for whatever was hinted while nobody listened
    watching.start()
    try:
        yield watching
    finally:
        watching.stop()


def _end(why: str) -> None:
    _log.error(f"{why}; it ends so that a new one can start", action="end")
    os._exit(_EXIT_NO_PROGRESS)


class _Forward(logging.Handler):
    """Celery's own log records, in our format."""

    def emit(self, record: logging.LogRecord) -> None:
        sentence = " ".join(record.getMessage().split())
        _log.log(record.levelno, sentence, action="celery", exc_info=record.exc_info or None)


def _log_as_we_do(**_: Any) -> None:
    """Called by Celery in place of its own logging set-up."""
    for name in ("celery", "kombu"):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [_Forward()], False
        logger.setLevel(logging.WARNING)


# -- the scheduler -----------------------------------------------------------------------------------------------------
def run_scheduler(settings: Settings) -> None:
    """Ring every few seconds, until SIGTERM: for retries that come due, leases that ended, wake-ups that were lost."""
    bell = Bell(settings)
    stop = StopRequest()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    with bootstrap.scheduler(settings, bell.ring) as beating:
        ring_at = time.monotonic() + settings.sweep_seconds
        while not stop.wait(min(settings.sweep_seconds, _SCHEDULER_SECONDS)):
            if time.monotonic() >= ring_at:
                bell.ring()
                ring_at = time.monotonic() + settings.sweep_seconds
            beating.progressed()
