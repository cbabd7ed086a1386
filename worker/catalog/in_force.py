"""Which tags are in force: the one rule that every reader uses, in SQL. The view ``image_tags`` spells it out as well.

A model's tag is in force if its space is active, unless a person answered the whole taxonomy (source ``human``), or
decided about just this label (``human-label``, ``rejected``). What people accepted is in force; a rejected label never,
nor a label that a model only suggests (``suggestion``).
"""

from __future__ import annotations

from worker.types import SUGGESTION

#: Sources of the rows of people, which have no space.
ANSWER, BESIDE, REJECTED = "human", "human-label", "rejected"

#: SQL for what readers see as the source of a row of ``tags``.
PROVENANCE = "CASE WHEN {0}.space_id IS NULL THEN 'human' ELSE {0}.source END"
#: The id of the active space, as a subquery.
ACTIVE = "(SELECT id FROM spaces WHERE state = 'active')"


def by_people(tag: str) -> str:
    """Whether a person's decision puts the row ``tag`` of ``tags`` into force."""
    return f"{tag}.source IN ('{ANSWER}', '{BESIDE}')"


def suggested(tag: str) -> str:
    """Whether the row ``tag`` of ``tags`` is a suggestion, spelled as the index of suggestions has it."""
    return f"{tag}.source = '{SUGGESTION}'"


def applied(tag: str) -> str:
    """Whether the row ``tag`` of ``tags`` is not a suggestion, spelled as the index of all others has it."""
    return f"{tag}.source <> '{SUGGESTION}'"


def hidden(image: str, taxonomy: str, label: str) -> str:
    """Whether people's decisions hide a model's answer.

    First whether people decided about the image in this taxonomy at all, which a hash table can answer for many rows:
    with one condition that has an "or", each row would be looked up.

    Args:
        image: SQL for the image's id.
        taxonomy: SQL for the taxonomy's name.
        label: SQL for the label; null is the model's abstention.
    """
    decided = f"SELECT FROM tags h WHERE h.image_id = {image} AND h.taxonomy = {taxonomy} AND h.space_id IS NULL"
    which = f"h.source = '{ANSWER}' OR h.label = {label} OR ({label} IS NULL AND h.source = '{BESIDE}')"
    return f"(EXISTS ({decided}) AND EXISTS ({decided} AND ({which})))"


def in_force(tag: str, *, space: str = ACTIVE) -> str:
    """Whether the row ``tag`` of ``tags`` is in force, abstentions included.

    Args:
        tag: alias of the table.
        space: SQL for the id of the active space.
    """
    model = hidden(f"{tag}.image_id", f"{tag}.taxonomy", f"{tag}.label")
    return f"({applied(tag)} AND ({by_people(tag)} OR ({tag}.space_id = {space} AND NOT {model})))"


def open_suggestion(tag: str, *, space: str = ACTIVE) -> str:
    """Whether the row ``tag`` of ``tags`` is a suggestion that no person decided about; arguments as ``in_force``."""
    model = hidden(f"{tag}.image_id", f"{tag}.taxonomy", f"{tag}.label")
    return f"({suggested(tag)} AND {tag}.space_id = {space} AND NOT {model})"
