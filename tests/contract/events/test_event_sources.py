"""What every source promises, on every fixture of every folder in tests/fixtures/events: a folder added is tested."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from tests.unit.events.event_fixtures import FIXTURES, Fixture, fixtures
from worker.events import SOURCES, Envelope, parse
from worker.resources import schemas_dir

ALL = fixtures()
each_fixture = pytest.mark.parametrize("fixture", ALL, ids=[fixture.name for fixture in ALL])


def envelopes(fixture: Fixture) -> list[Envelope]:
    return [parse(fixture.source, body) for body in fixture.bodies]


def schema(name: str) -> Any:
    return json.loads((schemas_dir() / "events" / f"{name}.schema.json").read_text())


def test_every_source_has_fixtures_and_every_folder_a_source() -> None:
    """Nothing is accepted that was never seen, and nothing lies about that is not tested."""
    assert {fixture.source for fixture in ALL} == set(SOURCES)
    assert {path.name for path in FIXTURES.iterdir()} == {fixture.name.split("/")[0] for fixture in ALL}


@each_fixture
def test_a_fixture_names_exactly_its_objects(fixture: Fixture) -> None:
    """Bucket and key as the uploader wrote them, and nothing else."""
    hints = [hint for envelope in envelopes(fixture) for hint in envelope.hints]
    assert fixture.objects == {(hint.ref.bucket, hint.ref.key) for hint in hints if not hint.guess}
    assert fixture.readings == {(hint.ref.bucket, hint.ref.key) for hint in hints if hint.guess}


@each_fixture
def test_what_is_no_hint_is_accounted_for(fixture: Fixture) -> None:
    """Every event of every notification is a hint, or ignored for a reason."""
    found = envelopes(fixture)
    assert fixture.ignored == dict(Counter(str(each.reason) for envelope in found for each in envelope.ignored))
    assert all(envelope.hints or envelope.ignored for envelope in found)
    assert [fixture.test] * len(found) == [envelope.test for envelope in found]


@each_fixture
def test_hints_say_where_they_come_from_and_when(fixture: Fixture) -> None:
    """A source, the store's own word for what happened, and an aware time or none."""
    for envelope in envelopes(fixture):
        for hint in envelope.hints:
            assert hint.source
            assert hint.event
            assert hint.event_time is None or hint.event_time.tzinfo is not None


@each_fixture
def test_a_fixture_has_a_shape_that_is_documented(fixture: Fixture) -> None:
    """Each body follows exactly one of the schemas that the source names."""
    validators = [Draft202012Validator(schema(name)) for name in SOURCES[fixture.source].schemas]
    assert [1] * len(fixture.events) == [sum(v.is_valid(event) for v in validators) for event in fixture.events]


@each_fixture
def test_a_notification_says_the_same_twice(fixture: Fixture) -> None:
    """Parsing has no memory: a notification that is repeated is understood as it was."""
    assert envelopes(fixture) == envelopes(fixture)


@pytest.mark.parametrize("name", SOURCES)
def test_the_example_in_the_documents_is_understood(name: str) -> None:
    """What the API's documents show of a source can be sent."""
    hints = parse(name, json.dumps(SOURCES[name].example).encode()).hints
    assert [False] == [hint.guess for hint in hints if not hint.guess]
