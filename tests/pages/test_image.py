"""The page of one image: what is said about it and why, decisions with undo, and what is not in the catalog."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.pages.axe import violations
from tests.pages.conftest import TOKENS, Site

KEY = "2020/00000.png"


def show(page: Page, site: Site, key: str = KEY) -> None:
    """The page of an image, by a reviewer whose name is known."""
    page.add_init_script("localStorage.setItem('enrich.reviewer', 'ada')")
    page.goto(f"{site.url}/image?bucket=photos&key={key}")
    expect(page.get_by_role("region", name="Tags")).to_be_visible()


def row(page: Page, label: str) -> Locator:
    return page.get_by_role("region", name="Tags").get_by_role("listitem").filter(has_text=label)


def decisions(site: Site, key: str = KEY) -> list[tuple[str, str | None, str]]:
    """Verdict, label, reviewer; newest first."""
    found = site.api.get(f"/v1/decisions?bucket=photos&key={key}", token=None).json["decisions"]
    return [(each["verdict"], each["label"], each["reviewer"]) for each in found]


def test_an_image_shows_what_is_known(site, page):
    """Its picture, tags with probability and source, camera, place, file, and what is similar."""
    show(page, site)
    expect(page.get_by_role("heading", name="00000.png")).to_be_visible()
    expect(row(page, "red")).to_contain_text("88 %")
    expect(row(page, "red")).to_contain_text("zero-shot")
    article = page.get_by_role("article")
    for fact in ("ACME One", "1/125 s", "ISO 200", "33.50000° S, 151.25000° E", "64 × 96 pixels", "SHA-256"):
        expect(article).to_contain_text(fact)
    assert page.get_by_role("img", name=KEY).evaluate("each => each.complete && each.naturalWidth > 0")
    expect(page.get_by_role("heading", name="Similar")).to_be_visible()
    page.locator(".strip a").nth(3).click()
    expect(page.get_by_role("heading", level=1)).not_to_have_text("00000.png")
    page.go_back()
    expect(page.get_by_role("heading", name="00000.png")).to_be_visible()


def test_why_shows_what_was_compared(site, page):
    """With one key: every label as a bar, its reason, and the prompt that was nearest."""
    show(page, site)
    page.keyboard.press("w")
    expect(page.get_by_text("holds · similarity")).to_be_visible()
    expect(page.get_by_text("another label is nearer")).to_have_count(2)
    expect(page.get_by_role("region", name="Tags")).to_contain_text("“a red picture”")


def test_what_the_model_saw_stands_beside_the_picture(site, page):
    """Made when it is asked for."""
    show(page, site)
    page.keyboard.press("v")
    seen = page.get_by_role("img", name="What the model saw")
    expect(page.get_by_text("As the model saw it")).to_be_visible()
    assert 16 == seen.evaluate("each => each.naturalWidth")


def test_a_tag_is_rejected_undone_and_replaced_by_keys(own_site, page):
    """The name is asked once; every decision is recorded with it, shown in the history, and can be taken back."""
    page.goto(f"{own_site.url}/image?bucket=photos&key={KEY}")
    expect(page.get_by_role("region", name="Tags")).to_be_visible()
    page.keyboard.press("r")
    page.get_by_label("Your name").fill("ada")
    page.keyboard.press("Enter")
    expect(row(page, "red")).to_contain_text("rejected by ada")
    expect(page.get_by_role("status").filter(has_text="does not hold")).to_be_visible()
    assert [("reject", "red", "ada")] == decisions(own_site)
    page.keyboard.press("z")
    expect(row(page, "red")).to_contain_text("88 %")

    page.keyboard.press("e")
    page.get_by_role("combobox", name="Label").fill("bl")
    expect(page.get_by_role("option")).to_have_text(["blue"])
    page.keyboard.press("Enter")
    expect(row(page, "blue")).to_contain_text("ada")
    expect(row(page, "red")).to_have_count(0)
    undo = page.get_by_role("button", name="Undo: replaced by blue")
    expect(undo).to_be_visible()
    assert ("replace", "blue", "ada") == decisions(own_site)[0]
    undo.click()
    expect(row(page, "red")).to_contain_text("zero-shot")
    page.keyboard.press("a")
    expect(page.get_by_role("button", name="Undo: accepted red")).to_be_visible()
    page.keyboard.press("n")
    expect(page.get_by_role("button", name="Undo: none of the labels")).to_be_visible()
    expect(row(page, "none of the labels")).to_be_visible()
    assert ("none", None, "ada") == decisions(own_site)[0]


def test_a_decision_on_what_has_changed_is_a_conflict(own_site, page):
    """Nothing is overwritten: both states are shown, and the reviewer says what holds."""
    show(page, own_site)
    expect(row(page, "red")).to_be_visible()
    other = {"bucket": "photos", "key": KEY, "taxonomy": "colour", "verdict": "replace", "label": "green"}
    body = {"reviewer": "bob", "decisions": [{**other, "seen": {"label": "red"}}]}
    assert 1 == own_site.api.post("/v1/decisions", body, token=None).json["saved"]
    page.keyboard.press("r")
    alert = page.get_by_role("alert").filter(has_text="Not saved")
    expect(alert).to_contain_text("You saw colour: red. Now it is green.")
    assert [("replace", "green", "bob")] == decisions(own_site)
    alert.get_by_role("button", name="Decide all the same").click()
    expect(alert).to_have_count(0)
    expect(row(page, "red")).to_contain_text("rejected by ada")
    expect(page.get_by_role("button", name="Undo: rejected red")).to_be_visible()
    assert ("reject", "red", "ada") == decisions(own_site)[0]


def test_readers_see_decisions_but_cannot_make_any(guarded_site, page):
    """Without the scope `review` there are neither buttons nor keys for it."""
    page.goto(f"{guarded_site.url}/image?bucket=photos&key={KEY}")
    page.get_by_label("Token").fill(str(TOKENS.read))
    page.keyboard.press("Enter")
    expect(page.get_by_role("region", name="Tags")).to_be_visible()
    expect(page.get_by_role("button", name=re.compile("Reject|Accept|Unsure"))).to_have_count(0)
    page.keyboard.press("r")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_contain_text("what the model saw")
    expect(page.get_by_role("dialog")).not_to_contain_text("reject")


def test_what_is_not_in_the_catalog_says_why(own_site, page):
    """An object that is pending, or that nobody named, has a page that says so."""
    page.goto(f"{own_site.url}/image?bucket=photos&key=never.png")
    expect(page.get_by_role("heading", name="photos/never.png")).to_be_visible()
    expect(page.get_by_text("unknown", exact=True)).to_be_visible()
    record = {"bucket": {"name": "photos"}, "object": {"key": "soon.png"}}
    event = {"eventName": "ObjectCreated:Put", "eventSource": "aws:s3", "s3": record}
    assert 1 == own_site.api.post("/v1/events/s3", {"Records": [event]}, token=None).json["hinted"]
    page.goto(f"{own_site.url}/image?bucket=photos&key=soon.png")
    expect(page.get_by_text("pending", exact=True)).to_be_visible()
    expect(page.get_by_role("button", name="Look again")).to_be_visible()


def test_a_phone_shows_picture_tags_and_similar_images_below_each_other(site, page):
    """Nothing is wider than the screen, and the tags come before similar images."""
    page.set_viewport_size({"width": 390, "height": 844})
    show(page, site)
    expect(page.get_by_role("heading", name="Similar")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    tags, similar = page.get_by_role("region", name="Tags"), page.get_by_role("heading", name="Similar")
    assert tags.bounding_box()["y"] < similar.bounding_box()["y"]


@pytest.mark.parametrize("colours", ["light", "dark"])
def test_keyboards_and_screen_readers_can_use_it(site, page, colours):
    """axe finds nothing serious, with the explanation and the choice of a label open, and where there is no image."""
    page.emulate_media(color_scheme=colours)
    show(page, site)
    page.keyboard.press("w")
    expect(page.get_by_text("holds · similarity")).to_be_visible()
    assert [] == violations(page)
    page.keyboard.press("e")
    expect(page.get_by_role("option").first).to_be_visible()
    assert [] == violations(page)
    page.goto(f"{site.url}/image?bucket=photos&key=never.png")
    expect(page.get_by_text("unknown", exact=True)).to_be_visible()
    assert [] == violations(page)
