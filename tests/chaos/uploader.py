"""Follows the script, each key in its order, and remembers what the store then holds."""

from __future__ import annotations

import threading
import time
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from tests.chaos.contents import build, content_type
from tests.chaos.script import Script, Step
from worker.objects import ObjectStore
from worker.types import ObjectRef

_THREADS = 4


@dataclass(frozen=True, kw_only=True, slots=True)
class Done:
    """A step that the store has confirmed."""

    step: Step
    began: float  # time.time, before the request
    etag: str | None  # None: deleted


class Uploader:
    """Threads that share the script by key."""

    def __init__(self, script: Script, store: ObjectStore, bucket: str, announce: Callable[[Step], None]) -> None:
        """``announce`` is called after each step, from several threads."""
        self._script, self._store, self._bucket, self._announce = script, store, bucket, announce
        self._threads = [
            threading.Thread(target=self._run, args=(n,), name=f"upload-{n}", daemon=True) for n in range(_THREADS)
        ]
        self._failures: list[BaseException] = []
        self._started = 0.0
        #: Key → what was done to it, in order.
        self.history: dict[str, list[Done]] = {}

    def start(self) -> None:
        """Begin now; the script's times count from here."""
        self._started = time.monotonic()
        for thread in self._threads:
            thread.start()

    def wait(self) -> None:
        """Until the script is at its end. Raises what went wrong, if something did."""
        for thread in self._threads:
            thread.join()
        if self._failures:
            raise self._failures[0]

    @property
    def present(self) -> Mapping[str, Done]:
        """What the bucket holds."""
        return {key: done[-1] for key, done in self.history.items() if done[-1].etag is not None}

    def _run(self, mine: int) -> None:
        try:
            for step in self._script.steps:
                if zlib.crc32(step.key.encode()) % _THREADS == mine:
                    time.sleep(max(self._started + step.at - time.monotonic(), 0))
                    self.history.setdefault(step.key, []).append(self._do(step))
                    self._announce(step)
        except BaseException as error:  # noqa: BLE001  # raised in wait()
            self._failures.append(error)

    def _do(self, step: Step) -> Done:
        ref, began = ObjectRef(bucket=self._bucket, key=step.key), time.time()
        if step.content is None:
            self._store.delete(ref)
            return Done(step=step, began=began, etag=None)
        data = build(step.content, self._script.seed, step.number)
        return Done(step=step, began=began, etag=self._store.put(ref, data, content_type(step.content)))
