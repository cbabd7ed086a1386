"""Maps over real HTTP: asked for, read as arrays, coloured, and looked up."""

from __future__ import annotations

import base64
from dataclasses import dataclass

import numpy as np
import pytest

from tests.factories import enriched_image
from tests.fakes import ColourEncoder
from tests.integration.api.live import LiveApi
from worker import catalog
from worker.db import Engine, transaction
from worker.pipeline.maps.run import run_requested

COUNT = 150


@dataclass(frozen=True)
class Mapped:
    """An API whose catalog has a map."""

    api: LiveApi
    engine: Engine
    id: int

    def get(self, what: str, **options: object):
        return self.api.get(f"/v1/maps/{self.id}/{what}", **options)

    def images(self, points: object):
        return self.api.post(f"/v1/maps/{self.id}/images", {"points": points})


@pytest.fixture
def mapped(api, engine, enriched) -> Mapped:
    random = np.random.default_rng(0)
    centres = ColourEncoder().encode_texts(["red", "green", "blue"])
    made = centres[np.arange(COUNT) % 3] + 0.03 * random.normal(size=(COUNT, centres.shape[1])).astype(np.float32)
    vectors = made / np.linalg.norm(made, axis=1, keepdims=True)
    enriched(
        *(enriched_image(f"{n}.jpg", label=("day", "night", None)[n % 3], vector=vectors[n]) for n in range(COUNT))
    )
    answer = api.post("/v1/maps", {"method": "pca", "sample": 100})
    assert (202, "requested", "waiting") == (answer.status, answer.json["state"], answer.json["drawing"]["stage"])
    assert 0 == run_requested(engine)
    return Mapped(api, engine, answer.json["id"])


def test_a_map_is_listed(mapped):
    """With what a page shows of it: how many images, how well placed, and whether it is the one to show."""
    [found] = mapped.api.get("/v1/maps").json["maps"]
    wanted = {
        "state": "ready", "current": True, "method": "pca", "images": COUNT, "fitted": 100, "added": 0,
        "drawing": None, "error": None, "updating": False, "aligned_to": None,
    }  # fmt: skip
    assert wanted == {name: found[name] for name in wanted}
    assert 0 <= found["poor_share"] < 0.1


def test_points_are_numbers_for_a_graphics_card(mapped):
    """Four bytes each; the first ones are the same whatever is added later, and may be cached for ever."""
    whole, part = mapped.get("points"), mapped.get("points?count=100")
    assert ("application/octet-stream", 4 * COUNT) == (whole.headers["content-type"], len(whole.body))
    assert whole.body[:400] == part.body
    places = np.frombuffer(whole.body, "<u2").reshape(-1, 2)
    assert (0, 65_535) == (places[:, 0].min(), places[:, 0].max())
    assert "immutable" in part.headers["cache-control"]
    assert "immutable" not in whole.headers["cache-control"]


def test_points_that_a_client_has_are_not_sent_again(mapped):
    """By the ETag, which changes when points are added."""
    first = mapped.get("points")
    again = mapped.get("points", headers={"If-None-Match": first.headers["etag"]})
    assert (304, b"", first.headers["etag"]) == (again.status, again.body, again.headers["etag"])
    assert 200 == mapped.get("points?count=3", headers={"If-None-Match": first.headers["etag"]}).status


def test_colours_fit_to_the_points(mapped):
    """One byte for each, and what the bytes mean: here, three groups of fifty images."""
    found = mapped.get(f"colours?by=tag:time-of-day&count={COUNT}").json
    column = np.frombuffer(base64.b64decode(found["column"]), np.uint8)
    assert (COUNT, COUNT) == (found["count"], len(column))
    assert {"day": 50, "night": 50, "none of the labels": 50} == {
        each["name"]: each["images"] for each in found["legend"]
    }
    for each in found["legend"]:
        assert each["images"] == (column == each["value"]).sum()


def test_points_lead_to_images(mapped):
    """In the order asked for, with tags and links; the colour of a point is that of its image."""
    colours = mapped.get("colours?by=tag:time-of-day").json
    column = base64.b64decode(colours["column"])
    names = {each["value"]: each["name"] for each in colours["legend"]}
    found = mapped.images([7, 0, COUNT - 1]).json
    assert ([7, 0, COUNT - 1], []) == ([each["point"] for each in found["images"]], found["gone"])
    for each in found["images"]:
        label = each["tags"].get("time-of-day", ["none of the labels"])
        assert [names[column[each["point"]]]] == label
        assert 200 == mapped.api.get(each["links"]["image"]).status


def test_new_images_are_placed_on_request(mapped, enriched):
    """The answer says that it is going to be done; afterwards there are more points, and the first are the same."""
    before = mapped.get("points").body
    enriched(enriched_image("new.jpg", vector=ColourEncoder().encode_texts(["red"])[0]))
    assert [1] == [each["added"] for each in mapped.api.get("/v1/maps").json["maps"]]
    answer = mapped.api.post("/v1/maps", {"update": True})
    assert (202, mapped.id, True) == (answer.status, answer.json["id"], answer.json["updating"])
    assert 0 == run_requested(mapped.engine)
    after = mapped.get("points").body
    assert (len(before) + 4, before) == (len(after), after[: len(before)])
    assert "new.jpg" == mapped.images([COUNT]).json["images"][0]["key"]


def test_a_map_is_asked_for_once(mapped):
    """Who asks while one is under way gets that one."""
    ids = [mapped.api.post("/v1/maps", {}).json["id"] for _ in range(2)]
    assert 1 == len(set(ids))
    assert 409 == mapped.api.get(f"/v1/maps/{ids[0]}/points").status
    assert "not drawn yet" in mapped.api.get(f"/v1/maps/{ids[0]}/colours?by=time").detail


@pytest.mark.parametrize(
    ("what", "status", "says"),
    [
        ("points?count=151", 422, "has 150 points, not 151"),
        ("points?counts=5", 422, "did you mean 'count'"),
        ("colours", 422, "by"),
        ("colours?by=tags:colour", 422, "choose tag:TAXONOMY, decision, time or bucket"),
        ("colours?by=tag:time-of-dey", 422, "did you mean 'time-of-day'"),
    ],
)
def test_what_makes_no_sense_is_refused(mapped, what, status, says):
    """With what would make sense."""
    answer = mapped.get(what)
    assert status == answer.status
    assert says in answer.detail


@pytest.mark.parametrize(
    ("points", "says"),
    [
        ([150], "has no point 150; its 150 points are numbered from 0"),
        ([], "points"),
        ([-1], "points[0]"),
        (list(range(1_001)), "points"),
        (["a"], "points[0]"),
    ],
)
def test_points_that_cannot_be_looked_up_are_refused(mapped, points, says):
    """At least one and at most a thousand numbers, each of a point that there is."""
    answer = mapped.images(points)
    assert 422 == answer.status
    assert says in answer.detail


def test_other_maps_are_not_found(mapped):
    """And without any image there is nothing to ask for."""
    answer = mapped.api.get("/v1/maps/99/points")
    assert (404, True) == (answer.status, "there is no map 99" in answer.detail)


def test_without_images_there_is_no_map(api):
    """409, and what to do first."""
    assert {"maps": []} == api.get("/v1/maps").json
    for body, says in (({}, "upload images first"), ({"update": True}, "enrich map draw")):
        answer = api.post("/v1/maps", body)
        assert (409, True) == (answer.status, says in answer.detail)


def test_a_failed_map_says_why(mapped):
    """In the list, and where its points are asked for."""
    number = mapped.api.post("/v1/maps", {}).json["id"]
    with transaction(mapped.engine) as connection:
        catalog.maps.fail(connection, number, "the disk is full")
    found = mapped.api.get("/v1/maps").json["maps"][0]
    assert ("failed", "the disk is full", None) == (found["state"], found["error"], found["drawing"])
    assert "the disk is full" in mapped.api.get(f"/v1/maps/{number}/points").detail
