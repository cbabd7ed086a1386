"""Heads over HTTP: previewed, put into force, listed, taken back."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.integration.api.live import serve
from tests.integration.pipeline.learning.lessons import Lessons, lessons, truths
from tests.waiting import until
from worker.pipeline.taxonomies.requests import TaxonomyChanges


@pytest.fixture
def taught(engine) -> Lessons:
    """Pictures that people taught about."""
    made = lessons(engine)
    pictures = made.fill(150)
    made.teach(truths(pictures, keys=list(pictures)[:80]))
    return made


@pytest.fixture
def ask(taught: Lessons, services):
    """Sends a request to an API over these pictures; status and body."""
    model = TaxonomyChanges(taught.engine, lambda: (taught.space, taught.encoder))
    with serve(replace(services, engine=taught.engine, taxonomies=model)) as api:

        def send(path: str, body: dict[str, Any] | None = None) -> tuple[int, Any]:
            found = api.get(path) if body is None else api.post(path, body)
            return found.status, found.json

        yield send


def test_a_head_is_previewed_applied_listed_and_taken_back(taught: Lessons, ask):
    """A preview stores nothing; an outdated plan is refused; tags follow."""
    before = taught.tags()
    status, preview = ask("/v1/heads/plan", {"taxonomy": "colour"})
    assert (200, "test", None) == (status, preview["learned"]["promoted_by"], preview["learned"]["head"])
    assert preview["plan"]["changed"]["seen"] > 0
    assert [] == ask("/v1/heads")[1]["heads"]

    planned = preview["learned"]["revision"]
    assert 409 == ask("/v1/heads/apply", {"taxonomy": "colour", "planned": planned + 1})[0]
    status, done = ask("/v1/heads/apply", {"taxonomy": "colour", "planned": planned})
    assert (202, planned + 1) == (status, done["revision"])
    until(lambda: taught.tags() == taught.expected(taught.in_force()))
    assert before != taught.tags()
    [listed] = ask("/v1/heads?taxonomy=colour")[1]["heads"]
    assert (True, done["learned"]["head"]) == (listed["in_force"], listed["id"])

    assert 202 == ask("/v1/heads/apply", {"taxonomy": "colour", "zero_shot": True})[0]
    until(lambda: before == taught.tags())
    assert not ask("/v1/heads")[1]["heads"][0]["in_force"]


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        ({"taxonomy": "color"}, 422, "colour"),
        ({"taxonomy": "colour", "space": 9}, 404, "there is no space 9"),
        ({"taxonomy": "colour", "zero_shot": True}, 422, "has no head in space"),
        ({"taxonomy": "colour", "zero_shot": True, "promote": True}, 422, "leave 'promote'"),
        ({"taxonomy": "colour", "promoted": True}, 422, "promoted"),
    ],
)
def test_what_cannot_be_learned_is_refused(ask, body: dict[str, Any], status: int, message: str):
    """With what is wrong."""
    got, problem = ask("/v1/heads/plan", body)

    assert status == got
    assert message in str(problem)
