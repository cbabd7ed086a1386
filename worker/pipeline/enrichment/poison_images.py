"""Objects whose worker died: when a death is evidence, and how much of it is enough."""

from __future__ import annotations

from dataclasses import dataclass

from worker import ledger
from worker.db import Engine, transaction
from worker.errors import ImageRejectedError, PutOffError
from worker.ledger.claims import Claim, ClaimedObject
from worker.pipeline.enrichment.sandbox import Sandbox
from worker.types import Reason

#: Workers that may die while they work on the bytes of one image alone, where its guilt cannot be proved: because no
#: process of its own could be had, or because it always takes the worker with it.
EXPOSED_DEATHS = 4
#: After so many deaths of which none was evidence, looking begins earlier: perhaps it is the reading that kills.
_DEATHS_UNSEEN = 12
#: After so many, the worker does it itself: perhaps it is the trial that kills, where the kernel's memory killer takes
#: whole containers and a second model does not fit.
_DEATHS_WITH_TRIALS = 6


@dataclass(frozen=True, kw_only=True, slots=True)
class PoisonImages:
    """Decides what is done before the bytes of a suspect are touched."""

    engine: Engine
    trial: Sandbox

    def before_reading(self, claim: Claim) -> None:
        """Expose a suspect that is never found guilty and never finished either, from the beginning.

        Raises:
            PutOffError: the lease was lost.
        """
        for each in claim.objects:
            if claim.suspect and _deaths_unseen(each) >= _DEATHS_UNSEEN:
                self._expose(claim, each)

    def before_decoding(self, claim: Claim, each: ClaimedObject, data: bytes) -> None:
        """Expose a suspect. One with which a worker died while it was exposed is tried in a process of its own first.

        Raises:
            ImageRejectedError: it kills.
            PutOffError: nothing was learnt; try again later.
        """
        if not (claim.suspect or each.exposed_deaths):
            return
        if each.exposed_deaths >= EXPOSED_DEATHS:
            raise _killer(f"{each.exposed_deaths} worker processes died while they worked on this image alone")
        if each.exposed_deaths and _deaths_unseen(each) < _DEATHS_WITH_TRIALS:
            how = self.trial.try_image(data, expose=lambda: self._expose(claim, each))
            if how is not None:
                raise _killer(f"a process that had just encoded a plain picture was given this image, and {how}")
        self._expose(claim, each)

    def _expose(self, claim: Claim, each: ClaimedObject) -> None:
        with transaction(self.engine) as connection:
            held = ledger.claims.expose(connection, claim.token, each.id)
        if not held:
            raise PutOffError("its lease was lost")


def _deaths_unseen(each: ClaimedObject) -> int:
    return each.deaths - each.exposed_deaths


def _killer(message: str) -> ImageRejectedError:
    return ImageRejectedError(Reason.KILLED_WORKER, message)
