"""What a row of the demo's table shows."""

from __future__ import annotations

from datetime import UTC, datetime

from worker.catalog.read import TagRecord
from worker.cli.demo import cells


def tag(taxonomy: str, label: str | None, *, active: bool = True) -> TagRecord:
    return TagRecord(
        taxonomy=taxonomy,
        label=label,
        probability=0.9,
        score=0.3,
        source="zero-shot",
        taxonomy_version="1",
        space=1,
        model="starter",
        active=active,
        in_force=active,
        decided_at=datetime(2026, 1, 1, tzinfo=UTC),
    )


def test_every_taxonomy_has_a_cell_and_silence_is_a_dash():
    """An abstention reads as nothing; so does a taxonomy that did not apply."""
    tags = [tag("setting", "indoor"), tag("time-of-day", None)]

    assert ["–", "indoor", "–", "–"] == list(cells(tags))


def test_kinds_stand_beside_what_they_are_kinds_of():
    """A cat is an animal, too."""
    tags = [tag("subject", "animal"), tag("subject", "cat")]

    assert ["–", "–", "–", "animal, cat"] == list(cells(tags))


def test_only_the_active_space_and_the_table_s_taxonomies_show():
    """Tags of a space that is being filled, and of a taxonomy of one's own, are not mixed in."""
    tags = [tag("subject", "dog", active=False), tag("weather", "rain"), tag("subject", "food")]

    assert ["–", "–", "–", "food"] == list(cells(tags))
