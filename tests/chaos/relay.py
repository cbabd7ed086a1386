"""The store's notifications, as lossy as a store's: some never leave, some leave twice, all leave late and shuffled."""

from __future__ import annotations

import heapq
import json
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import urllib3

from tests.chaos.script import Step

_SENDERS = 3
_MOST_RECORDS = 10  # in one request
_REPEAT_SECONDS = 0.5
_TIMEOUT = 10.0


@dataclass(frozen=True, order=True, slots=True)
class _Due:
    at: float  # monotonic
    number: int  # of the step
    record: dict[str, Any] = field(compare=False)


class Relay:
    """Sends S3 event records to the API, and repeats what was not answered with 200, as stores' queues do."""

    def __init__(self, *, api_url: str, token: str, bucket: str) -> None:
        """Nothing is sent before ``start``."""
        self._url, self._bucket = f"{api_url}/v1/events/s3", bucket
        self._headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        self._pool = urllib3.PoolManager(maxsize=_SENDERS, retries=False, timeout=_TIMEOUT)
        self._waiting: list[_Due] = []
        self._in_hand = 0
        self._changed = threading.Condition()
        self._stop = False
        self._threads = [threading.Thread(target=self._run, name=f"relay-{n}", daemon=True) for n in range(_SENDERS)]
        #: Step number → when (time.time) an event of it was first answered with 200.
        self.accepted: dict[int, float] = {}
        #: Answers that repeating cannot mend.
        self.refused: list[str] = []
        self.sent = self.dropped = self.doubled = self.repeated = 0

    def start(self) -> None:
        """Begin to send."""
        for thread in self._threads:
            thread.start()

    def announce(self, step: Step) -> None:
        """Take note of what was just done to the store."""
        record = _record(step, self._bucket)
        with self._changed:
            self.dropped += not step.delays
            self.doubled += len(step.delays) > 1
            for delay in step.delays:
                heapq.heappush(self._waiting, _Due(time.monotonic() + delay, step.number, record))
            self._changed.notify_all()

    @property
    def is_idle(self) -> bool:
        """Whether everything announced so far has been delivered or dropped."""
        with self._changed:
            return not self._waiting and not self._in_hand

    def stop(self) -> None:
        """Give up what has not been sent."""
        with self._changed:
            self._stop = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()
        self._pool.clear()

    def _run(self) -> None:
        while batch := self._next():
            delivered = self._post(batch)
            with self._changed:
                self._in_hand -= len(batch)
                if delivered:
                    self._note(batch)
                else:
                    self.repeated += 1
                    for each in batch:
                        again = _Due(time.monotonic() + _REPEAT_SECONDS, each.number, each.record)
                        heapq.heappush(self._waiting, again)

    def _next(self) -> list[_Due]:
        """Everything that is due, up to a request's worth; empty at the end."""
        with self._changed:
            while not self._stop:
                now = time.monotonic()
                if self._waiting and self._waiting[0].at <= now:
                    batch: list[_Due] = []
                    while self._waiting and self._waiting[0].at <= now and len(batch) < _MOST_RECORDS:
                        batch.append(heapq.heappop(self._waiting))
                    self._in_hand += len(batch)
                    return batch
                self._changed.wait(self._waiting[0].at - now if self._waiting else None)
            return []

    def _post(self, batch: Sequence[_Due]) -> bool:
        body = json.dumps({"Records": [each.record for each in batch]}).encode()
        try:
            answer = self._pool.request("POST", self._url, body=body, headers=self._headers)
        except urllib3.exceptions.HTTPError:
            return False
        if 400 <= answer.status < 500 and answer.status not in (408, 429):
            self.refused.append(f"{answer.status}: {answer.data.decode(errors='replace')[:300]}")
            return True
        return answer.status == 200

    def _note(self, batch: Sequence[_Due]) -> None:
        self.sent += len(batch)
        for each in batch:
            self.accepted.setdefault(each.number, time.time())


def _record(step: Step, bucket: str) -> dict[str, Any]:
    """As AWS sends it: the key escaped, with ``+`` for a space."""
    deleted = step.content is None
    return {
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "awsRegion": "us-east-1",
        "eventTime": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "eventName": "ObjectRemoved:Delete" if deleted else "ObjectCreated:Put",
        "s3": {
            "s3SchemaVersion": "1.0",
            "bucket": {"name": bucket, "arn": f"arn:aws:s3:::{bucket}"},
            "object": {"key": quote(step.key, safe="/").replace("%20", "+"), "sequencer": f"{step.number:016X}"},
        },
    }
