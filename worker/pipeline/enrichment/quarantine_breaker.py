"""Keeps a bad release from quarantining a whole archive."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from pathlib import PurePosixPath

from worker import logs
from worker.db import is_unavailable
from worker.errors import FatalDeviceError
from worker.pipeline.enrichment.canary import CanaryResult, Cause, is_refusal, verdict
from worker.pipeline.enrichment.prepare import FinalOutcome
from worker.pipeline.resilience.circuit_breaker import CircuitBreaker, FailureWindow, Permit
from worker.types import Outcome, RetryReason

_log = logs.get("pipeline")

#: How long the files stay blamed: a folder of broken files must not trigger a check every few images.
_SETTLED_SECONDS = 600.0
#: Refused keys whose suffixes are kept.
_KEPT = 100


class QuarantineBreaker:
    """Watches how much is refused. When it is too much, nothing is given up until images that were enriched before have
    been tried again: if they pass, the files are to blame, and go into quarantine; if they do not, we are.

    Safe to use from several threads.
    """

    def __init__(
        self,
        breaker: CircuitBreaker,
        window: FailureWindow,
        control: Callable[[Collection[str]], CanaryResult],
    ) -> None:
        """Take finished parts; ``control`` is given the refused keys' suffixes."""
        self._breaker, self._window, self._control = breaker, window, control
        self._suffixes: deque[str] = deque(maxlen=_KEPT)

    def using(self, control: Callable[[Collection[str]], CanaryResult]) -> QuarantineBreaker:
        """The same breaker and counts with another canary check, for another model."""
        return QuarantineBreaker(self._breaker, self._window, control)

    def screen(self, ended: Sequence[FinalOutcome], *, enriched: int) -> list[FinalOutcome]:
        """The outcomes to write: refusals become retries while too much is refused."""
        refused = [each for each in ended if is_refusal(each)]
        self._suffixes.extend(PurePosixPath(each.claimed.ref.key).suffix.lower() for each in refused)
        if not self._breaker.is_open and self._window.record(good=enriched, bad=len(refused)):
            bad, total = self._window.counts()
            self._breaker.report(failed=1, why=f"{bad} of the last {total} images were refused")
        if not self._breaker.is_open:
            return list(ended)
        return [_held_back(each) if is_refusal(each) else each for each in ended]

    def look(self, turn: Permit) -> None:
        """Run the canary check if it is due."""
        if not turn.limit:
            return
        found = self._find_out()
        if found.cause is Cause.FILES:
            _log.warning(
                f"{found.sentence}: the refused files are broken", action="breaker", breaker="quarantine",
                suffixes=sorted(set(self._suffixes)),
            )  # fmt: skip
            self._window.clear(ignore=_SETTLED_SECONDS)
            self._breaker.close()
            return
        if found.sentence != self._breaker.why:
            _log.error(found.sentence, action="breaker", breaker="quarantine")
        turn.report(failed=1, why=found.sentence)

    def _find_out(self) -> CanaryResult:
        try:
            return self._control(frozenset(self._suffixes))
        except Exception as error:
            if isinstance(error, FatalDeviceError) or is_unavailable(error):
                raise
            _log.exception("the canary check failed", action="breaker")
            return verdict(passed=0, refused=0)


def _held_back(ended: FinalOutcome) -> FinalOutcome:
    entry = ended.quarantine
    assert entry is not None  # noqa: S101  # it is a refusal
    return replace(
        ended,
        outcome=Outcome.RETRY,
        etag=None,
        quarantine=None,
        retry=RetryReason.HELD_BACK,
        error=f"{entry.reason}: {entry.message}",
        counted=False,
    )
