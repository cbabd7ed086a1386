"""The texts of a decision: how long they may be, and which characters they may have."""

from __future__ import annotations

from worker.db import storable
from worker.errors import ChoiceError
from worker.suggestions import shown

#: Most characters of a name: of a reviewer, a taxonomy, one of its versions, or a label.
LONGEST_NAME = 200
#: Most characters of a reason.
LONGEST_REASON = 2_000
#: Most characters of an object's key.
LONGEST_KEY = 1_024


def require_fit(what: str, value: str | None, *, longest: int = LONGEST_NAME) -> None:
    """Check that a text can be kept unchanged.

    Raises:
        ChoiceError: it is too long, or has a character that PostgreSQL cannot store.
    """
    if value is None:
        return
    if len(value) > longest:
        raise ChoiceError(f"{what} has {len(value):,} characters; at most {longest:,} are taken: shorten it")
    if storable(value) != value:
        raise ChoiceError(f"{what} {shown(value)} has a NUL or half of a surrogate pair: remove that character")
