"""Objects whose worker died: when a death is evidence, and how much of it is enough."""

from __future__ import annotations

from worker import ledger
from worker.db import Engine, transaction
from worker.errors import ImageRejectedError, LeaseLostError
from worker.ledger.claims import Claim, ClaimedObject
from worker.types import Reason

#: Workers that may die while they work on the bytes of one image alone.
EXPOSED_DEATHS = 4
#: After so many deaths of which none was evidence, looking begins earlier: perhaps it is the reading that kills.
_DEATHS_UNSEEN = 12


def before_reading(engine: Engine, claim: Claim) -> None:
    """Expose a suspect whose workers die before they reach its bytes, from the beginning.

    Raises:
        LeaseLostError: another worker may have it by now.
    """
    for each in claim.objects:
        if claim.suspect and each.deaths - each.exposed_deaths >= _DEATHS_UNSEEN:
            _expose(engine, claim, each)


def before_decoding(engine: Engine, claim: Claim, each: ClaimedObject) -> None:
    """Expose a suspect right before its bytes are decoded, unless enough workers died at work on it.

    Raises:
        ImageRejectedError: it kills.
        LeaseLostError: another worker may have it by now.
    """
    if each.exposed_deaths >= EXPOSED_DEATHS:
        raise ImageRejectedError(
            Reason.KILLED_WORKER, f"{each.exposed_deaths} worker processes died while they worked on this image alone"
        )
    if claim.suspect or each.exposed_deaths:
        _expose(engine, claim, each)


def _expose(engine: Engine, claim: Claim, each: ClaimedObject) -> None:
    with transaction(engine) as connection:
        held = ledger.claims.expose(connection, claim.token, each.id)
    if not held:
        raise LeaseLostError("its lease was lost")
