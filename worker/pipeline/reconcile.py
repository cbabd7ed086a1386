"""The use case: find, on a schedule, what no event announced."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from worker import logs
from worker.db import is_unavailable
from worker.errors import EnrichError
from worker.objects import ObjectStore
from worker.pipeline.verify import Verification, Verify

_log = logs.get("pipeline")


@dataclass(frozen=True, kw_only=True, slots=True)
class Target:
    """A bucket, or the part of one, that is watched."""

    bucket: str
    prefix: str = ""


def targets(watched: Sequence[str], store: ObjectStore) -> list[Target]:
    """What ``ENRICH_BUCKETS`` watches; every bucket the credentials can list where it names none."""
    names = watched or store.buckets()
    parts = (name.partition("/") for name in names)
    return [Target(bucket=bucket, prefix=prefix) for bucket, _, prefix in parts]


class Reconciler:
    """Runs ``Verify`` with repair over every target, at its start and then every so often, on a thread of its own.

    Events are lost with every store. Running it in two places at once costs listings and does no harm.
    """

    def __init__(self, verify: Verify, find_targets: Callable[[], Sequence[Target]], *, interval: float) -> None:
        self._verify, self._find, self._interval = verify, find_targets, interval
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="reconcile", daemon=True)

    def start(self) -> None:
        """Begin with a first round at once."""
        self._thread.start()

    def stop(self) -> None:
        """Stop after the page in hand; what was hinted so far stays hinted."""
        self._stop.set()
        self._thread.join(timeout=10)

    def round(self) -> list[Verification]:
        """Every target once. One that cannot be listed is logged and does not keep the others from their turn."""
        return [found for target in self._find() if (found := self._one(target)) is not None]

    def _one(self, target: Target) -> Verification | None:
        try:
            found = self._verify.run(
                target.bucket, prefix=target.prefix, repair=True, progress=lambda _: self._stop_if_asked()
            )
        except EnrichError as error:
            _log.warning("a bucket could not be reconciled", action="reconcile", bucket=target.bucket, error=str(error))
            return None
        if found.repaired:
            _log.warning(
                f"{found.repaired} objects had changed without an event; they are pending work now",
                action="reconcile", bucket=target.bucket, missing=found.missing, stale=found.stale, ghost=found.ghost,
            )  # fmt: skip
        return found

    def _stop_if_asked(self) -> None:
        if self._stop.is_set():
            raise _StoppedError

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self.round()
            except _StoppedError:
                return
            except Exception as error:  # noqa: BLE001  # this thread must outlive anything
                if is_unavailable(error) or isinstance(error, EnrichError):
                    _log.warning("reconciling waits for its next turn", action="reconcile", error=str(error).strip())
                else:
                    _log.exception("reconciling failed; it goes on at its next turn", action="reconcile")
            self._stop.wait(self._interval)


class _StoppedError(Exception):
    """The process is ending."""
