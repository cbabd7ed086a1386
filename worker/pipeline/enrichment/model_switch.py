"""Switches a worker process to another model when another space becomes active."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from threading import Condition

from worker.pipeline.enrichment.canary import CanaryCheck
from worker.pipeline.enrichment.enricher import BatchReport, Enricher
from worker.pipeline.spaces.fill_batch import BatchFiller


@dataclass(kw_only=True, slots=True)
class ModelSwitch:
    """The current enricher of a process; called from several threads while another one switches it."""

    enricher: Enricher
    _in_hand: Counter[int] = field(default_factory=Counter)  # batches, by space
    _changed: Condition = field(default_factory=Condition)

    def run_once(self) -> BatchReport | None:
        """Process one batch in the space in which it began, see ``Enricher.run_once``."""
        with self._changed:
            enricher = self.enricher
            self._in_hand[enricher.space.id] += 1
        try:
            return enricher.run_once()
        finally:
            with self._changed:
                self._in_hand[enricher.space.id] -= 1
                self._changed.notify_all()

    def switch(self, filler: BatchFiller) -> None:
        """Switch to a filler's space.

        Returns when the batches in progress have ended: nothing uses the previous model any more, and it may be freed.
        """
        before = self.enricher
        self.enricher = _with(before, filler)
        before.heartbeat.serves(filler.model.encoder.purpose)
        with self._changed:
            self._changed.wait_for(lambda: not self._in_hand[before.space.id], timeout=before.lease)


def _with(before: Enricher, filler: BatchFiller) -> Enricher:
    model = filler.model
    preparer = replace(before.preparer, encoder=model.encoder)
    control = CanaryCheck(
        engine=before.engine, reader=preparer.reader, encoder=model.encoder, batcher=model.batcher, pool=before.pool
    )
    return replace(
        before,
        preparer=preparer,
        batcher=model.batcher,
        labels=model.labels,
        space=model.space,
        quarantine_breaker=before.quarantine_breaker.using(control),
    )
