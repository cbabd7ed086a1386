"""Celery: the app, its one task, and the bell. Messages carry no data: losing all of them costs seconds, not images."""

from __future__ import annotations

import math
import os
import threading
import time
from typing import Any

from celery import Celery
from celery.beat import Scheduler
from kombu.exceptions import OperationalError
from redis import Redis, RedisError

from worker import bootstrap, logs, metrics
from worker.errors import FatalDeviceError
from worker.pipeline.keeper import Keeper
from worker.settings import Settings

_log = logs.get("tasks")

_QUEUE = "enrich"
_WAKE = "enrich.wake"
_BELL = "enrich:bell"
#: A wake-up that was lost with its broker keeps the bell silent for this long at most.
_BELL_SECONDS = 3
#: A wake-up nobody took for this long is dropped; the scheduler rings anew.
_WAKE_EXPIRES = 60
#: After the broker failed once, how long ringing is not even tried.
_BROKER_PAUSE = 5.0
_EXIT_FATAL_DEVICE = 70

_runtime: bootstrap.Worker | None = None


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
        worker_send_task_events=False,
        broker_connection_retry_on_startup=True,
        broker_transport_options={"socket_connect_timeout": 2, "socket_keepalive": True, "health_check_interval": 10},
        beat_scheduler="worker.tasks:SweepScheduler",
        beat_schedule={
            "sweep": {
                "task": _WAKE,
                "schedule": settings.sweep_seconds,
                "options": {"expires": 2 * settings.sweep_seconds},
            }
        },
    )
    app.task(name=_WAKE)(_wake)
    return app


class Bell:
    """Wakes a worker, at most once until somebody has answered. Never raises: the ledger has the work already."""

    def __init__(self, settings: Settings, app: Celery | None = None) -> None:
        self._app = app or make_app(settings)
        self._redis = Redis.from_url(settings.broker_url, socket_timeout=2, socket_connect_timeout=2)
        self._silent_until = 0.0
        self._mutex = threading.Lock()

    def ring(self) -> None:
        """Send a wake-up unless one is on its way."""
        if time.monotonic() < self._silent_until:
            return
        try:
            if self._redis.set(_BELL, 1, nx=True, ex=_BELL_SECONDS):
                self._app.send_task(_WAKE, expires=_WAKE_EXPIRES)
                metrics.WAKE_UPS.labels(result="sent").inc()
            else:
                metrics.WAKE_UPS.labels(result="coalesced").inc()
        except (RedisError, OperationalError, OSError) as error:
            self._silent_until = time.monotonic() + _BROKER_PAUSE
            metrics.WAKE_UPS.labels(result="failed").inc()
            _log.warning("the broker is away; the scheduler will ring when it is back", action="ring", error=str(error))

    def answer(self) -> None:
        """Let the bell ring again. Called before claiming: whatever is hinted from now on rings anew."""
        try:
            self._redis.delete(_BELL)
        except RedisError as error:
            _log.warning("the bell could not be reset; it resets itself", action="answer", error=str(error))


_bell: Bell | None = None


def _wake() -> None:
    """Take one batch to its end. A full batch has rung for the next one already."""
    if _runtime is None or _bell is None:
        raise RuntimeError("this process was not started by `enrich worker`")
    _bell.answer()
    try:
        _runtime.enricher.run_once()
    except FatalDeviceError:
        # The claims stay: their objects are retried alone, so that the one that broke the device is found.
        _log.exception("the device is broken; this process ends so that a clean one can start", action="fatal")
        os._exit(_EXIT_FATAL_DEVICE)


def run_worker(settings: Settings) -> None:
    """Load the model, then consume wake-ups until SIGTERM; batches in hand are finished first."""
    global _runtime, _bell  # noqa: PLW0603  # Celery tasks are functions; this is the one place they get their parts from
    app = make_app(settings)
    _bell = Bell(settings, app)
    with bootstrap.worker(settings, _bell.ring) as runtime:
        _runtime = runtime
        _bell.ring()  # whatever was hinted while nobody listened
        app.worker_main(
            [
                "--quiet",
                "worker",
                "--pool=threads",
                f"--concurrency={settings.concurrency}",
                f"--loglevel={'INFO' if settings.log_level == 'DEBUG' else 'WARNING'}",
                "--without-gossip",
                "--without-mingle",
                "--without-heartbeat",
            ]
        )


class SweepScheduler(Scheduler):
    """Beat's scheduler, without a schedule file: everything it knows is in the settings. Ticks are its progress."""

    keeper: Keeper | None = None

    def tick(self, *args: Any, **kwargs: Any) -> Any:
        if self.keeper is not None:
            self.keeper.progressed()
        return super().tick(*args, **kwargs)


def run_scheduler(settings: Settings) -> None:
    """Ring every few seconds, until SIGTERM."""
    engine = bootstrap.database(settings, "scheduler", pool_size=1)
    keeper = Keeper(engine, kind="scheduler")
    SweepScheduler.keeper = keeper
    keeper.start()
    try:
        make_app(settings).Beat(loglevel="WARNING", quiet=True, max_interval=math.ceil(settings.sweep_seconds)).run()
    finally:
        keeper.stop()
