"""Detects poison images: when a worker's death is evidence, and how much evidence suffices."""

from __future__ import annotations

from worker import ledger
from worker.db import Engine, transaction
from worker.errors import ImageRejectedError, LeaseLostError
from worker.ledger.claims import Claim, ClaimedObject
from worker.types import Reason

#: Deaths of workers that processed this image's bytes alone, until it is quarantined.
EXPOSED_DEATHS = 4
#: After this many deaths without evidence, exposure starts earlier: perhaps reading the object is what kills.
_DEATHS_UNSEEN = 12


def before_reading(engine: Engine, claim: Claim) -> None:
    """Mark a suspect as exposed from the start if its workers keep dying before they reach its bytes.

    Raises:
        LeaseLostError: another worker may have it by now.
    """
    for each in claim.objects:
        if claim.suspect and each.deaths - each.exposed_deaths >= _DEATHS_UNSEEN:
            _expose(engine, claim, each)


def before_decoding(engine: Engine, claim: Claim, each: ClaimedObject) -> None:
    """Mark a suspect as exposed right before its bytes are decoded, or refuse it if enough workers have died.

    Raises:
        ImageRejectedError: it is a poison image.
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
