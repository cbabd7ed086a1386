"""Calibrations and certificates over real HTTP."""

from __future__ import annotations

import pytest

from tests.integration.pipeline.evaluation.reviews import CAREFUL, add_scenes, imported
from tests.integration.pipeline.review.gallery import Gallery
from tests.waiting import until
from worker.db import Engine

ASKED = {"taxonomies": ["colour"], "label": "red"}


@pytest.fixture
def reviewed(engine: Engine) -> Gallery:
    """Red scenes, of which a random sample was reviewed without a mistake."""
    made = Gallery.of(engine, CAREFUL)
    assert isinstance(made, Gallery)
    imported(made, add_scenes(made, 400)[:150])
    return made


def test_a_calibration_is_planned_and_applied(api, reviewed):
    """The plan stores nothing, and its revision guards the answer to it."""
    planned = api.post("/v1/calibrations/plan", ASKED).json
    [label] = planned["taxonomies"][0]["labels"]
    assert (1, "red", None, None) == (planned["revision"], label["label"], label["missing"], label["certificate"])
    assert planned["plan"]["changed"]["seen"] > 0
    assert label["message"].startswith("0.95 is proven from a probability of ")
    assert {"certificates": []} == api.get("/v1/certificates").json
    made = api.post("/v1/calibrations/apply", ASKED | {"planned": planned["revision"]})
    [own] = made.json["taxonomies"][0]["labels"]
    assert (202, 2, 1) == (made.status, made.json["revision"], own["certificate"])
    until(lambda: (api.get("/v1/taxonomies").json["retagging"] or {}).get("finished_at"))
    [kept] = api.get("/v1/certificates?taxonomy=colour&label=red&state=proven").json["certificates"]
    assert (1, True, 0.95, 0.95, own["test"]["threshold"]) == (
        kept["id"], kept["in_force"], kept["target"], kept["confidence"], pytest.approx(kept["threshold"]),
    )  # fmt: skip
    outdated = api.post("/v1/calibrations/apply", ASKED | {"planned": 1})
    assert (409, True) == (outdated.status, "revision 2 was put into force since" in outdated.detail)
    again = api.post("/v1/calibrations/apply", ASKED)
    assert (202, None) == (again.status, again.json["revision"])
    assert 1 == len(api.get("/v1/certificates").json["certificates"])


def test_what_is_missing_is_said(api, reviewed):
    """Of a label without reviews, in numbers and in words."""
    made = api.post("/v1/calibrations/apply", {"taxonomies": ["colour"], "label": "blue"}).json
    [label] = made["taxonomies"][0]["labels"]
    assert (None, 72) == (made["revision"], label["missing"]["least"])
    assert ["draw more at random: `enrich review colour blue --target 0.95`"] == label["notes"]


@pytest.mark.parametrize(
    ("change", "status", "detail"),
    [
        ({"taxonomies": ["color"]}, 422, "did you mean 'colour'"),
        ({"taxonomies": ["colour"], "label": "rad"}, 422, "did you mean 'red'"),
        ({"label": "red"}, 422, "name exactly one"),
        ({"target": 1.0}, 422, "target"),
        ({"taxonomy": "colour"}, 422, "taxonomy"),
    ],
)
def test_a_wrong_request_is_refused(api, reviewed, change, status, detail):
    """With what would be right."""
    for action in ("plan", "apply"):
        answer = api.post(f"/v1/calibrations/{action}", change)
        assert (status, True) == (answer.status, detail in answer.body.decode()), answer.body
    assert 422 == api.get("/v1/certificates?taxonomy=color").status
    assert 422 == api.get("/v1/certificates?state=provn").status
