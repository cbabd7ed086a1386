"""The broker: sends and receives wake-ups. If it is unavailable or holds foreign messages, work is only delayed.

Messages carry no data: what is to do is in the ledger, where a worker finds it even without a wake-up.
"""

from __future__ import annotations

import base64
import binascii
import functools
import json
import logging
import threading
import time
from typing import Any, cast

from celery import Celery
from celery.worker import state
from celery.worker.consumer import Consumer
from kombu.exceptions import OperationalError
from kombu.transport import redis as kombu_redis
from redis import Redis, RedisError
from redis.backoff import NoBackoff
from redis.retry import Retry

from worker import logs, metrics
from worker.settings import Settings

_log = logs.get("broker")

WAKE = "enrich.wake"
_QUEUE = "enrich"
#: Prefix of every key we write: a broker may be shared, and no other program uses this prefix.
PREFIX = "image-enricher:"
WAKE_UP_KEY = f"{PREFIX}bell"
QUEUE = f"{PREFIX}{_QUEUE}"
#: A wake-up lost with its broker suppresses further ones for this long at most.
_WAKE_UP_SECONDS = 3
#: With this many wake-ups waiting, one more wakes nobody: workers are all busy, or away. (Not by an expiry: it would be
#: the sender's clock against the worker's.)
_MOST_WAITING = 100
#: After the broker failed once, no wake-up is tried for this long.
_BROKER_PAUSE = 5.0
#: A wake-up has about a thousand bytes.
_LONGEST_MESSAGE = 16_384
_LONGEST_PAUSE = 10.0  # seconds between attempts to consume
#: After an error of the consumer, how long it counts as the reason why no wake-up comes.
_TROUBLE_SECONDS = 20.0
#: A failure that repeats within this time is the same problem, and is not logged again.
_SAME_SECONDS = 60.0


def make_app(settings: Settings) -> Celery:
    """The Celery app of this process, without tasks."""
    app = Celery("enrich", broker=settings.broker_url, set_as_current=False)
    app.conf.update(
        broker_transport=f"{__name__}:Transport",
        worker_consumer=f"{__name__}:PatientConsumer",
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
        broker_channel_error_retry=True,  # such as READONLY: see PatientConsumer
        worker_cancel_long_running_tasks_on_connection_loss=True,  # of tasks that acknowledge late; ours do not
        broker_connection_max_retries=None,  # for ever: meanwhile the watchdog works from the ledger
        broker_transport_options={
            "global_keyprefix": PREFIX,
            "socket_connect_timeout": 2,
            "socket_keepalive": True,
            "health_check_interval": 10,
        },
    )
    return app


# -- sending -----------------------------------------------------------------------------------------------------------
class WakeUp:
    """Wakes a worker, at most once until one has acknowledged. Never raises: the ledger already has the work."""

    def __init__(self, settings: Settings, app: Celery | None = None) -> None:
        self._app = app or make_app(settings)
        self._redis = Redis.from_url(
            settings.broker_url,
            socket_timeout=2,
            socket_connect_timeout=2,
            retry=Retry(NoBackoff(), 1),  # one, for a pooled connection that the broker has closed
        )
        self._silent_until = 0.0
        self._refused = False

    def send(self) -> None:
        """Send a wake-up unless one is already under way."""
        self.reaches()

    def reaches(self) -> bool:
        """Send a wake-up. True if the broker has accepted it or already holds one."""
        if time.monotonic() < self._silent_until:
            return False
        try:
            metrics.WAKE_UPS.labels(result="sent" if self._send() else "coalesced").inc()
        except (RedisError, OperationalError, OSError) as error:
            self._failed(error)
            return False
        if self._refused:
            self._refused = False
            _log.info("the broker accepts wake-ups again", action="ring")
        return True

    def _send(self) -> bool:
        with self._redis.pipeline(transaction=False) as ask:
            ask.set(WAKE_UP_KEY, 1, nx=True, ex=_WAKE_UP_SECONDS)
            ask.llen(QUEUE)
            first, waiting = ask.execute()
        if not first or waiting >= _MOST_WAITING:
            return False
        self._app.send_task(WAKE)
        return True

    def _failed(self, error: Exception) -> None:
        self._silent_until = time.monotonic() + _BROKER_PAUSE
        metrics.WAKE_UPS.labels(result="failed").inc()
        if not self._refused:
            self._refused = True
            _log.warning(
                "the broker does not accept wake-ups; workers find work by polling", action="ring", error=str(error)
            )

    def acknowledge(self) -> None:
        """Allow the next wake-up. Called before claiming: hints from now on wake a worker again."""
        try:
            self._redis.delete(WAKE_UP_KEY)
        except RedisError as error:  # it expires by itself
            self._failed(error)


# -- receiving ---------------------------------------------------------------------------------------------------------
def is_wake_up(message: bytes) -> bool:
    """Whether a message of the queue is one that `WakeUp` sent.

    Anybody who can reach the broker can put anything there: what Celery would do with arguments, compressed bodies,
    other serialisers or tasks to call afterwards is not tried.
    """
    try:
        return len(message) <= _LONGEST_MESSAGE and _is_plain(json.loads(message))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, binascii.Error):
        return False


def _is_plain(message: dict[str, Any]) -> bool:
    headers, properties = message["headers"], message["properties"]
    arguments, keywords, then = json.loads(base64.b64decode(message["body"], validate=True))
    return (
        (headers["task"], message["content-type"], message["content-encoding"]) == (WAKE, "application/json", "utf-8")
        and not (headers.get("compression") or headers.get("eta") or headers.get("expires"))
        and isinstance(headers["id"], str)
        and isinstance(properties["delivery_tag"], str)
        # Given back by a worker that ended before it had begun: kombu says so.
        and properties["delivery_info"].keys() - {"redelivered"} == {"exchange", "routing_key"}
        and (arguments, keywords, any(then.values())) == ([], {}, False)
    )


class _Client(kombu_redis.PrefixedStrictRedis):
    """Drops messages that are not wake-ups as they leave the queue; kombu and Celery would fail on them."""

    _told = False

    def parse_response(self, connection: Any, command_name: str, **options: Any) -> Any:
        taken = super().parse_response(connection, command_name, **options)
        if command_name != "BRPOP" or not taken or is_wake_up(taken[1]):
            return taken
        metrics.WAKE_UPS.labels(result="dropped").inc()
        if not _Client._told:
            _Client._told = True
            _log.warning(
                f"a message on the broker's queue {QUEUE} is not a wake-up, and was dropped; more are only counted "
                '(enrich_wake_ups_total{result="dropped"}). Another program writes there',
                action="consume", size=len(taken[1]), begins=repr(taken[1][:60]),
            )  # fmt: skip
        return None


class _Channel(kombu_redis.Channel):
    def _get_client(self) -> Any:
        return functools.partial(_Client, global_keyprefix=self.global_keyprefix)


class Transport(kombu_redis.Transport):
    """kombu's transport, which also survives foreign messages on the queue."""

    Channel = _Channel


class PatientConsumer(Consumer):
    """Celery's consumer, which ends only with its process.

    Celery takes a broker that answers READONLY, OOM or WRONGTYPE for a fault of its own, and stops. Whatever it is, it
    is tried again, with pauses; meanwhile the worker works from the ledger.
    """

    failed_at = float("-inf")  # monotonic; of the last error of any consumer here: there is one in a process
    _pause = 0.0
    _said = ""  # the cause that was logged last

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.channel_errors: tuple[type[Exception], ...] = (Exception,)  # Celery restarts us after these

    def on_connection_error_before_connected(self, exc: Exception) -> None:
        """Called by Celery."""
        self._failed(exc)

    def on_connection_error_after_connected(self, exc: Exception) -> None:
        """Called by Celery; closes the connection."""
        super().on_connection_error_after_connected(exc)
        self._failed(exc)

    def _failed(self, error: Exception) -> None:
        now, cause = time.monotonic(), f"{type(error).__name__}: {error}"
        if now - PatientConsumer.failed_at > _SAME_SECONDS:
            PatientConsumer._pause, PatientConsumer._said = 0.5, ""
        if cause != PatientConsumer._said:
            PatientConsumer._said = cause
            _log.warning(
                "wake-ups cannot be received; this worker polls for work and keeps trying",
                action="consume",
                error=cause,
            )
        PatientConsumer._pause = min(2 * PatientConsumer._pause, _LONGEST_PAUSE)
        deadline = now + PatientConsumer._pause
        while time.monotonic() < deadline:
            state.maybe_shutdown()
            time.sleep(0.1)
        PatientConsumer.failed_at = time.monotonic()


def is_in_trouble() -> bool:
    """Whether this process knows why it receives no wake-ups."""
    return time.monotonic() - PatientConsumer.failed_at < _TROUBLE_SECONDS


class Forward(logging.Handler):
    """Celery's own log records in our format; repeated messages are logged once."""

    def __init__(self) -> None:
        super().__init__()
        self._said: dict[str, float] = {}
        self._guard = threading.Lock()

    def emit(self, record: logging.LogRecord) -> None:
        now = time.monotonic()
        with self._guard:
            before, self._said[str(record.msg)] = self._said.get(str(record.msg)), now
        if before is None or now - before > _SAME_SECONDS:
            sentence = " ".join(record.getMessage().split())
            cast("Any", _log).log(record.levelno, sentence, action="celery", exc_info=record.exc_info or None)
