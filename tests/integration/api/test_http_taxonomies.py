"""Taxonomies over real HTTP: what is in force, plans, and changes that go on after the answer."""

from __future__ import annotations

import pytest

from tests.active_taxonomies import put_into_force
from tests.waiting import until
from worker.db import Engine
from worker.pipeline.taxonomies import lifecycle
from worker.tagging import Label, Taxonomy

COLOUR = Taxonomy(
    name="colour",
    labels=tuple(Label(name=colour, prompts=(colour,)) for colour in ("red", "green")),
    background=("blue",),
)
WARM = "name: warmth\nwhen: {colour: red}\nlabels: {warm: [red]}\nbackground: [blue]\n"
CHANGED = "name: colour\nlabels: {a: [red], b: [green]}\n"
OTHER = "name: other\nlabels: {red: [red]}\nbackground: [blue]\n"


@pytest.fixture
def coloured(engine: Engine, gallery) -> None:
    """Three pictures, and colours to tag them by."""
    put_into_force(engine, COLOUR)


def in_force(api) -> dict[str, str]:
    return {each["name"]: each["set"] for each in api.get("/v1/taxonomies").json["taxonomies"]}


def apply(api, **change):
    """Apply, and wait until stored tags follow."""
    answer = api.post("/v1/taxonomy-changes/apply", change)
    if answer.status == 202:
        until(lambda: (api.get("/v1/taxonomies").json["retagging"] or {}).get("finished_at"))
    return answer


def test_what_is_in_force_is_listed_with_its_owner(api, coloured):
    """And since when, and by whom; of one, everything."""
    found = api.get("/v1/taxonomies").json
    [colour] = found["taxonomies"]
    assert (1, COLOUR.version, "default", "test@here", False) == (
        found["revision"], colour["version"], colour["set"], colour["made_by"], colour["many"],
    )  # fmt: skip
    assert colour["since"].endswith("Z")
    details = api.get("/v1/taxonomies/colour").json
    assert ["red"] == details.pop("definition")["labels"][0]["prompts"]
    assert {"red": ["red"], "green": ["green"]} == details.pop("document")["labels"]
    assert colour == details
    assert (2, False, None, 0, 0) == tuple(
        colour[each] for each in ("labels", "calibrated", "target_precision", "proven", "expired")
    )
    assert "did you mean 'colour'?" in api.get("/v1/taxonomies/color").detail


def test_an_empty_catalog_has_none(api):
    """Nothing can be added to it either, until there is a beginning; a set can be declared."""
    assert {"revision": None, "retagging": None, "taxonomies": []} == api.get("/v1/taxonomies").json
    assert 404 == api.post("/v1/taxonomy-changes/apply", {"add": [OTHER]}).status
    assert 202 == api.post("/v1/taxonomy-changes/apply", {"declare": {"taxonomies": [OTHER], "set": "art"}}).status
    assert {"other": "art"} == in_force(api)


def test_a_change_is_planned_and_applied(api, coloured):
    """The plan says what happens, and its revision guards the answer to it."""
    planned = api.post("/v1/taxonomy-changes/plan", {"add": [WARM]}).json
    [edit] = [each["edit"] for each in planned["taxonomies"] if each["edit"]["name"] == "warmth"]
    assert ("added", "by-hand", False, 1) == (edit["edit"], edit["set_after"], planned["is_empty"], planned["revision"])
    made = apply(api, add=[WARM], planned=planned["revision"])
    assert (202, 2, "apply") == (made.status, made.json["id"], made.json["action"])
    assert {"colour": "default", "warmth": "by-hand"} == in_force(api)
    tags = {(tag["taxonomy"], tag["label"]) for tag in api.image("photos", "red.jpg").json["tags"]}
    assert {("colour", "red"), ("warmth", "warm")} <= tags
    assert api.post("/v1/taxonomy-changes/plan", {"add": [WARM]}).json["is_empty"]
    [change] = [change for each in planned["taxonomies"] for change in each["changes"] if change["after"] == "warm"]
    [sample] = change["samples"]
    assert ("photos/red.jpg", "/v1/images/photos/red.jpg") == (sample["ref"], sample["links"]["image"])
    assert sample["links"]["thumbnail"].endswith(f"/photos/red.jpg?sha256={sample['sha256']}")
    outdated = apply(api, remove=["warmth"], planned=planned["revision"])
    assert (409, True) == (outdated.status, "revision 2 was put into force since" in outdated.detail)


def test_a_plan_says_why_images_get_nothing(api, coloured):
    """By reason and nearest label."""
    planned = api.post("/v1/taxonomy-changes/plan", {"add": [OTHER]}).json
    [other] = [each for each in planned["taxonomies"] if each["edit"]["name"] == "other"]
    assert other["abstentions"]["abstained"]["seen"] == sum(
        each["images"]["seen"] for each in other["abstentions"]["reasons"]
    )
    assert {"red"} == {label["label"] for each in other["abstentions"]["reasons"] for label in each["nearest"]}


def test_sets_are_kept_apart(api, coloured):
    """What a set does not declare stays; its own is removed when asked for."""
    apply(api, declare={"taxonomies": [OTHER], "set": "art"})
    kept = api.post("/v1/taxonomy-changes/plan", {"declare": {"taxonomies": [], "set": "art"}}).json["kept"]
    assert {("colour", False), ("other", True)} == {(each["name"], each["is_own"]) for each in kept}
    apply(api, declare={"taxonomies": [], "set": "art", "remove": True})
    assert {"colour": "default"} == in_force(api)


def test_earlier_taxonomies_come_back(api, coloured):
    """By number or as the previous ones; the list of revisions says so."""
    apply(api, add=[OTHER])
    apply(api, back_to="previous")
    assert {"colour": "default"} == in_force(api)
    newest = api.get("/v1/taxonomy-revisions?limit=1").json["revisions"]
    assert [(3, "rollback", 1)] == [(each["id"], each["action"], each["back_to"]) for each in newest]
    assert newest[0]["made_by"].startswith("api@")
    assert 404 == apply(api, back_to="17").status


@pytest.mark.parametrize(
    ("change", "status", "why"),
    [
        ({}, 422, "needs exactly one of"),
        ({"add": [OTHER], "remove": ["colour"]}, 422, "needs exactly one of"),
        ({"add": []}, 422, "add"),
        ({"add": ["name: x"]}, 422, "add[0]:1: the field 'labels' is missing"),
        ({"add": [OTHER, OTHER]}, 422, "the name 'other' is already that of add[0]"),
        ({"add": ["\x00"]}, 422, "NUL"),
        ({"add": ["name: [" * 10]}, 422, "add[0]:"),
        ({"add": ["name: w\nvocabulary: words.txt\n"]}, 422, "add[0]:2: vocabulary: names a file"),
        ({"add": [WARM.replace("colour", "color")]}, 422, "add[0]:2: when.color: no taxonomy of that name"),
        ({"remove": ["color"]}, 404, "did you mean 'colour'?"),
        ({"declare": {"taxonomies": [], "set": "by-hand"}}, 422, "by-hand"),
        ({"declare": {"taxonomies": [CHANGED], "set": "art"}}, 422, "colour belongs to set default"),
        ({"delete": ["colour"]}, 422, "delete"),
    ],
)  # fmt: skip
def test_a_bad_change_is_refused_and_changes_nothing(api, coloured, change, status, why):
    """By plans and applies alike, with the reason."""
    for action in ("plan", "apply"):
        answer = api.post(f"/v1/taxonomy-changes/{action}", change)
        assert status == answer.status
        assert why in answer.detail
    assert {"colour": "default"} == in_force(api)


def test_a_body_of_megabytes_is_refused(api, coloured):
    """Taxonomies may be larger than other bodies, up to a limit."""
    filler = "# " + "x" * 100 + "\n"
    assert 200 == api.post("/v1/taxonomy-changes/plan", {"add": [OTHER + filler * 9_000]}).status
    assert 413 == api.post("/v1/taxonomy-changes/plan", {"add": [OTHER + filler * 45_000]}).status


def test_two_do_not_apply_at_once(api, coloured, engine):
    """409, and nothing is changed."""
    with lifecycle._alone(engine):
        answer = api.post("/v1/taxonomy-changes/apply", {"add": [OTHER]})
    assert (409, True) == (answer.status, "are being applied already" in answer.detail)
    assert {"colour": "default"} == in_force(api)


def test_changes_need_the_admin(api, coloured):
    """Without a token, nothing is planned or applied."""
    for action in ("plan", "apply"):
        assert 401 == api.post(f"/v1/taxonomy-changes/{action}", {"remove": ["colour"]}, token="wrong").status
