"""The use case: turn a queue's messages into pending work. A message is deleted only after its work is committed."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import count

from worker import logs, metrics
from worker.db import is_unavailable
from worker.errors import EnrichError, MalformedEventError
from worker.events.sqs import Message, SqsQueue
from worker.pipeline.intake.ingest import Ingest

_log = logs.get("pipeline")

CARRIER = "sqs"
_SOURCE = "s3"  # queues carry what AWS sends
_SHORTEST, _LONGEST = 0.5, 60.0  # seconds between attempts to reach what is away
_BROKEN = "broken"  # in place of a reason: nothing is known but that it could not be recorded


class SqsConsumer:
    """Receives, records and deletes messages on its own thread, until it is stopped.

    Whatever happens between receiving and deleting, the queue delivers again: a hint recorded twice is harmless, one
    that is deleted too early is lost. So nothing here is retried that the queue retries, but for the commit: giving
    messages back while the database is away would use up their deliveries and send good ones to the dead letters.
    """

    def __init__(self, queue: SqsQueue, ingest: Ingest, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Take finished parts; nothing happens yet."""
        self.queue = queue
        self._ingest, self._clock = ingest, clock
        self._stop, self._ended = threading.Event(), threading.Event()
        self._held: tuple[Message, ...] = ()
        self._heard_at = clock()
        self._failures = 0
        self._threads = [
            threading.Thread(target=each, name=f"listen {queue.name}", daemon=True)
            for each in (self._run, self._extend)
        ]

    def start(self) -> None:
        """Begin to listen."""
        for thread in self._threads:
            thread.start()

    def ask_to_stop(self) -> None:
        """Stop receiving; returns at once."""
        self._stop.set()

    def stop(self, *, within: float) -> bool:
        """Wait until received messages are committed, or given back to the queue.

        Args:
            within: seconds; messages that are still being recorded then are given back.

        Returns:
            Whether the thread has ended.
        """
        self._stop.set()
        self._threads[0].join(within)
        self._ended.set()
        self._give_back(self._held)
        return not self._threads[0].is_alive()

    @property
    def is_alive(self) -> bool:
        """Whether the thread is running."""
        return self._threads[0].is_alive()

    @property
    def silent_for(self) -> float:
        """Seconds since the queue last answered, even without messages."""
        return self._clock() - self._heard_at

    # -- the loop ------------------------------------------------------------------------------------------------------
    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._turn()
            except EnrichError as error:
                self._away(str(error))
            except Exception:  # noqa: BLE001  # whatever happens, the queue has the messages still
                _log.exception("receiving failed; retrying", action="listen", queue=self.queue.name)
                self._away("an error of ours")

    def _turn(self) -> None:
        asked_at = self._clock()
        messages = self.queue.receive()
        self._heard_at, self._failures = self._clock(), 0
        if not messages:
            if self._heard_at - asked_at < _SHORTEST:  # a server without long polling
                self._stop.wait(_SHORTEST)
            return
        with self._holding(messages), metrics.INTAKE_SECONDS.time():
            reasons = None if self._stop.is_set() else self._commit(messages)
        if reasons is None:
            self._give_back(messages)
        else:
            self._settle(messages, reasons)

    def _away(self, why: str) -> None:
        """Record that the queue is unreachable, and wait: longer each time, with jitter."""
        metrics.QUEUE_ERRORS.inc()
        pause = min(_SHORTEST * 2**self._failures, _LONGEST) * random.uniform(0.75, 1.25)  # noqa: S311  # jitter
        self._failures = min(self._failures + 1, 16)
        _log.warning(f"{why}; trying again", action="listen", queue=self.queue.name, seconds=round(pause, 1))
        self._stop.wait(pause)

    def _commit(self, messages: Sequence[Message]) -> list[str | None] | None:
        """Record messages, however long the database is unavailable.

        Returns:
            For each message None, or why it was refused; None instead if we were stopped before anything was recorded.
        """
        bodies = [message.body for message in messages]
        for attempt in count():
            try:
                return self._record(bodies)
            except Exception as error:
                if not is_unavailable(error):
                    raise
                pause = min(_SHORTEST * 2 ** min(attempt, 16), 5.0)
                reason = " ".join(str(error).split())[:300]
                _log.warning(
                    "the database is unavailable; received messages wait for it",
                    action="listen",
                    queue=self.queue.name,
                    error=reason,
                )
                if self._stop.wait(pause):
                    return None
        return None  # pragma: no cover  # counting has no end

    def _record(self, bodies: Sequence[bytes]) -> list[str | None]:
        try:
            return self._record_together(bodies)
        except Exception as error:
            if is_unavailable(error):
                raise
            what, alone = "messages could not be recorded together; each is tried alone", len(bodies) == 1
            if alone:
                what = "a message could not be recorded; it stays in the queue"
            _log.exception(what, action="listen", queue=self.queue.name)
            if alone:
                return [_BROKEN]
        # One message must never keep the others from being recorded.
        return [reason for body in bodies for reason in self._record([body])]

    def _record_together(self, bodies: Sequence[bytes]) -> list[str | None]:
        """For each body: None once its work is committed, else why it was refused."""
        taken, reasons = [], list[str | None]()
        for body in bodies:
            try:
                taken.append(self._ingest.parse(_SOURCE, body))
                reasons.append(None)
            except MalformedEventError as error:
                reasons.append(str(error))
        malformed = [(why, body) for why, body in zip(reasons, bodies, strict=True) if why]
        self._ingest.commit(CARRIER, taken, malformed)
        return reasons

    # -- what becomes of the messages ----------------------------------------------------------------------------------
    def _settle(self, messages: Sequence[Message], reasons: Sequence[str | None]) -> None:
        """Delete recorded messages. Refused ones are left to the dead-letter queue, if there is one."""
        recorded = [message for message, why in zip(messages, reasons, strict=True) if why is None]
        refused = [message for message, why in zip(messages, reasons, strict=True) if why not in (None, _BROKEN)]
        left = bool(refused) and self.queue.leads_to_dead_letters()
        failed = self.queue.delete([*recorded, *(() if left else refused)])
        if failed:
            _log.warning(
                f"{failed} messages are recorded but not deleted; they will be delivered again, which is harmless",
                action="listen", queue=self.queue.name,
            )  # fmt: skip
        _count("committed", len(recorded))
        _count("left" if left else "refused", len(refused))
        _count("left", sum(why == _BROKEN for why in reasons))

    def _give_back(self, messages: Sequence[Message]) -> None:
        if not messages:
            return
        try:
            self.queue.hide(messages, seconds=0)
        except EnrichError as error:
            _log.warning(
                "messages could not be given back; the queue delivers them again by itself",
                action="listen", queue=self.queue.name, error=str(error),
            )  # fmt: skip
        _count("returned", len(messages))

    # -- keeping them --------------------------------------------------------------------------------------------------
    @contextmanager
    def _holding(self, messages: Sequence[Message]) -> Iterator[None]:
        self._held = tuple(messages)
        try:
            yield
        finally:
            self._held = ()

    def _extend(self) -> None:
        """Keep our messages hidden from other receivers. A message just received may get more time than it needs."""
        while not self._ended.wait(self.queue.visibility / 3):
            held, why = self._held, "the queue says so"
            try:
                failed = self.queue.hide(held, seconds=self.queue.visibility)
            except EnrichError as error:
                failed, why = len(held), str(error)
            except Exception:  # noqa: BLE001  # this thread must outlive anything
                _log.exception("keeping messages hidden failed; retrying", action="listen", queue=self.queue.name)
                continue
            # Messages that we no longer hold were settled meanwhile, which is fine.
            if failed and self._held is held:
                _log.warning(
                    f"{failed} messages could not be kept hidden; another listener may get them, which is harmless",
                    action="listen", queue=self.queue.name, error=why,
                )  # fmt: skip


def _count(result: str, messages: int) -> None:
    metrics.QUEUE_MESSAGES.labels(result=result).inc(messages)
