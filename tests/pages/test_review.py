"""Reviewing tags on a page, as a person does: keys, mouse, touch; what is stored; what becomes of faults."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from playwright.sync_api import expect
from sqlalchemy import text

from tests.pages.axe import violations
from tests.pages.conftest import TOKENS
from tests.pages.reviewing import QUEUE, keys_of, known, opened, settle, stored, tiles
from worker.pipeline.evaluation import certify


def test_a_plan_is_reviewed_with_keys_alone(review_site, page):
    """From the choice of the label to a moved meter: what PostgreSQL has is what was said."""
    page.goto(f"{review_site.url}/review")
    page.get_by_role("link", name="red").focus()
    page.keyboard.press("Enter")
    start = page.get_by_role("button", name="Start")
    start.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_label("Your name")).to_be_focused()
    page.keyboard.type("ada")
    page.keyboard.press("Enter")
    expect(tiles(page)).to_have_count(40)
    expect(page.get_by_role("group", name="How far the proof is")).to_contain_text("120 more reviews to the first look")

    for key in ("ArrowRight", " ", "ArrowDown", "2", "ArrowLeft", "u", "ArrowRight", "ArrowRight", "n"):
        page.keyboard.press(key)
    expect(page.get_by_role("button", name="36 red")).to_contain_text("1 not red")
    page.keyboard.press("Enter")
    expect(page.get_by_role("group", name="How far the proof is")).to_contain_text("80 more reviews to the first look")
    expect(page.get_by_role("group", name="How far the proof is")).to_contain_text("3 mistakes")
    assert "option" == page.evaluate("document.activeElement.getAttribute('role')")
    expected = {
        ("accept", "red"): 36,
        ("reject", "red"): 1,
        ("replace", "blue"): 1,
        ("unsure", "red"): 1,
        ("none", None): 1,
    }
    settle(page, expected, lambda: stored(review_site))
    query = (
        "SELECT DISTINCT reviewer, chosen, plan, shown_label, inclusion_probability BETWEEN 1e-9 AND 1 FROM decisions"
    )
    with review_site.engine.connect() as connection:
        found = [tuple(row) for row in connection.execute(text(query))]
    assert [("ada", "random", 1, "red", True)] == found
    assert page.url.endswith("/review?plan=1")
    page.reload()  # the name is known now, and the plan goes on where it was
    expect(page.get_by_role("group", name="How far the proof is")).to_contain_text("80 more reviews")


def test_proven_says_so_and_offers_what_comes_next(review_site, page):
    """After a look without a mistake, the threshold is put into force from the page, and the label shows the proof."""
    known(page, "ada")
    page.goto(f"{review_site.url}/review?taxonomy=colour&label=red")
    page.get_by_label("Prove").select_option("0.9")
    page.get_by_role("button", name="Start").click()
    for done in range(0, 60, 12):
        expect(page.get_by_role("progressbar")).to_have_attribute("aria-valuenow", str(done))
        expect(tiles(page)).to_have_count(12)
        page.keyboard.press("Enter")
    expect(page.get_by_text("0.9 is proven from a probability of")).to_be_visible()
    page.get_by_role("button", name="Put it into force").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("gain or lose the label")
    dialog.get_by_role("button", name="Put into force").click()
    expect(page.get_by_text("The thresholds are in force")).to_be_visible()
    page.get_by_role("link", name="colour", exact=True).click()
    expect(page.get_by_text("proven 90 %")).to_be_visible()


def test_ranges_and_rectangles_mark_many(review_site, reviewer):
    """Shift extends from the last click; a rectangle marks what it touches; keys then say something else about them."""
    opened(reviewer, f"{review_site.url}/{QUEUE}")
    tiles(reviewer).nth(1).click()
    tiles(reviewer).nth(4).click(modifiers=["Shift"])
    expect(reviewer.get_by_role("button", name="8 red")).to_contain_text("4 not red")
    columns = int(reviewer.locator(".tiles").get_attribute("data-columns"))
    first, second = (tiles(reviewer).nth(n).bounding_box() for n in (12 - columns, 13 - columns))
    reviewer.mouse.move(first["x"] + 20, first["y"] + 20)
    reviewer.mouse.down()
    reviewer.mouse.move(second["x"] + 20, second["y"] + 40, steps=5)
    reviewer.mouse.up()
    expect(reviewer.locator(".tile.selected")).to_have_count(2)
    reviewer.keyboard.press("2")
    reviewer.keyboard.press("Enter")
    settle(reviewer, 12, lambda: stored(review_site).total())
    assert {("accept", "red"), ("reject", "red"), ("replace", "blue")} == set(stored(review_site))
    assert 2 == stored(review_site)["replace", "blue"]


def test_batches_are_taken_back(review_site, reviewer):
    """`z` takes the last page back and shows it again as it was; the list takes back earlier ones."""
    opened(reviewer, f"{review_site.url}/{QUEUE}")
    shown = keys_of(reviewer)
    tiles(reviewer).nth(2).click()
    reviewer.keyboard.press("Enter")
    settle(reviewer, 12, lambda: stored(review_site).total())
    assert not set(shown) & set(keys_of(reviewer))
    reviewer.keyboard.press("z")
    expect(tiles(reviewer).nth(2)).to_have_attribute("aria-selected", "true")
    assert shown == keys_of(reviewer)
    settle(reviewer, Counter(), lambda: stored(review_site))

    reviewer.keyboard.press("Enter")
    settle(reviewer, 12, lambda: stored(review_site).total())
    reviewer.reload()
    expect(tiles(reviewer)).to_have_count(12)
    reviewer.keyboard.press("b")
    expect(reviewer.get_by_role("dialog")).to_contain_text("11 accept, 1 reject")
    reviewer.get_by_role("button", name="Undo 12 decisions").click()
    expect(reviewer.get_by_role("dialog")).to_contain_text("Nothing was recorded yet")
    assert Counter() == stored(review_site)


def test_found_images_get_a_label_at_once(review_site, reviewer):
    """Search for words, unselect two, and give the label to the others: the unselected ones are left alone."""
    reviewer.goto(f"{review_site.url}/review?taxonomy=colour&label=red")
    reviewer.get_by_label("Words to search for").fill("a blue picture")
    reviewer.keyboard.press("Enter")
    expect(tiles(reviewer)).to_have_count(12)
    assert "query=a+blue+picture" in reviewer.url
    for place in (0, 5):
        tiles(reviewer).nth(place).click()
        expect(tiles(reviewer).nth(place)).to_be_in_viewport()
    reviewer.get_by_role("button", name="10 red").click()
    settle(reviewer, {("accept", "red"): 10}, lambda: stored(review_site))
    with review_site.engine.connect() as connection:
        assert ["search"] == list(connection.scalars(text("SELECT DISTINCT chosen FROM decisions")))


def test_a_selection_of_another_page_is_reviewed(review_site, reviewer):
    """What the search page or the map handed over gets a label; the inverse question marks what the label is for."""
    found = review_site.api.get("/v1/images?limit=14", token=None).json["images"]
    handed = [{"bucket": each["bucket"], "key": each["key"]} for each in found]
    reviewer.goto(review_site.url)
    reviewer.evaluate("all => sessionStorage.setItem('enrich.selection', JSON.stringify(all))", handed)
    reviewer.goto(f"{review_site.url}/review?from=selection")
    expect(reviewer.get_by_role("heading", level=1)).to_contain_text("14 images")
    reviewer.get_by_role("link", name="green").click()
    expect(tiles(reviewer)).to_have_count(12)
    reviewer.get_by_label("What a mark means").select_option("only")
    assert "mode=only" in reviewer.url
    tiles(reviewer).nth(3).click()
    reviewer.get_by_role("button", name="1 green").click()
    expect(tiles(reviewer)).to_have_count(2)
    settle(reviewer, 1, lambda: stored(review_site).total())
    with review_site.engine.connect() as connection:
        rows = [tuple(row) for row in connection.execute(text("SELECT key, verdict, label, chosen FROM decisions"))]
    assert [(handed[3]["key"], "accept", "green", "direct")] == rows


def test_a_complete_plan_is_closed_from_the_page(review_site, reviewer):
    """When all its images are decided, the page says so; closing asks, and keeps who and why."""
    api = review_site.api
    body = {"taxonomy": "colour", "label": "red", "target": 0.95, "size": 20, "seed": 1, "reviewer": "ada"}
    plan = api.post("/v1/review-plans", body, token=None).json["id"]
    opened(reviewer, f"{review_site.url}/review?plan={plan}")
    reviewer.keyboard.press("Enter")
    expect(tiles(reviewer)).to_have_count(8)
    reviewer.keyboard.press("Enter")
    expect(reviewer.get_by_text("0.95 cannot be proven yet: 20 pictures reviewed")).to_be_visible()
    expect(reviewer.get_by_role("heading", name="All done")).to_be_visible()
    reviewer.get_by_role("button", name="Close the plan").click()
    reviewer.get_by_label("Why").fill("too few")
    reviewer.get_by_role("button", name="Close for good").click()
    expect(reviewer).to_have_url(f"{review_site.url}/review?taxonomy=colour&label=red")
    expect(reviewer.get_by_role("button", name="Start")).to_be_enabled()
    closed = api.get(f"/v1/review-plans/{plan}", token=None).json
    assert ("ada", "too few", 20) == (closed["closed_by"], closed["closed_because"], closed["reviewed"])


def test_slips_of_people_are_found_and_set_right(review_site, reviewer):
    """What the model contradicts is left alone, unless the person decides about it anew."""
    found = review_site.api.get("/v1/images?tag=colour=red&limit=20", token=None).json["images"]
    rows = [each for each in found if each["tags"][0]["probability"] > 0.85][:2]
    slips = [
        {"bucket": "photos", "key": each["key"], "taxonomy": "colour", "verdict": "replace", "label": "blue"}
        for each in rows
    ]
    review_site.api.post("/v1/decisions", {"reviewer": "bob", "decisions": slips}, token=None)
    reviewer.goto(f"{review_site.url}/review?taxonomy=colour&label=blue&queue=label-error")
    expect(tiles(reviewer)).to_have_count(2)
    expect(tiles(reviewer).first).to_contain_text("a person said blue")
    expect(reviewer.get_by_role("button", name="2 left alone")).to_be_visible()
    reviewer.keyboard.press("r")
    reviewer.keyboard.press("Enter")
    settle(reviewer, {("replace", "blue"): 2, ("reject", "blue"): 1}, lambda: stored(review_site))


def test_who_may_only_look_cannot_decide(guarded_review, page):
    """With the read token, pictures are shown, and neither keys nor clicks decide anything."""
    page.goto(f"{guarded_review.url}/review")
    page.get_by_label("Token").fill(TOKENS.read)
    page.keyboard.press("Enter")
    page.get_by_role("link", name="red").click()
    expect(page.get_by_role("button", name="Start")).to_be_disabled()
    page.get_by_role("link", name="Most uncertain").click()
    expect(tiles(page)).to_have_count(40)
    tiles(page).nth(1).click()
    page.keyboard.press("r")
    page.keyboard.press("Enter")
    expect(page.locator(".tile.reject")).to_have_count(0)
    expect(page.get_by_text("Deciding needs the review token")).to_be_visible()
    assert Counter() == stored(guarded_review)


def test_a_phone_reviews_by_touch(review_site, chromium):
    """At 390 pixels nothing is cut off; a tap marks, a long press shows the picture large."""
    context = chromium.new_context(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    page = context.new_page()
    known(page, "ada")
    opened(page, f"{review_site.url}/{QUEUE}")
    assert 390 >= page.evaluate("document.documentElement.scrollWidth")
    tiles(page).nth(4).tap()
    expect(page.get_by_role("button", name="11 red")).to_contain_text("1 not red")
    tiles(page).nth(5).dispatch_event("pointerdown", {"pointerType": "touch", "bubbles": True})
    expect(page.get_by_role("dialog")).to_be_visible()
    page.get_by_role("button", name="Close").click()
    page.get_by_role("button", name="11 red").tap()
    settle(page, {("accept", "red"): 11, ("reject", "red"): 1}, lambda: stored(review_site))
    context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everybody_can_review(review_site, reviewer, scheme):
    """Axe finds nothing serious in the choice of a label and of images, on a page with marks, in a large picture."""
    reviewer.emulate_media(color_scheme=scheme)
    for address in ("review", "review?taxonomy=colour&label=red"):
        reviewer.goto(f"{review_site.url}/{address}")
        expect(reviewer.get_by_text("not reviewed").first).to_be_visible()
        assert [] == violations(reviewer), address
    opened(reviewer, f"{review_site.url}/{QUEUE}")
    for key in ("r", "ArrowRight", "u", "ArrowRight", "1", "ArrowRight", "n"):
        reviewer.keyboard.press(key)
    reviewer.keyboard.press("Enter")
    reviewer.keyboard.press("z")
    expect(reviewer.locator(".tile.reject")).to_have_count(1)
    assert [] == violations(reviewer)
    reviewer.keyboard.press("i")
    expect(reviewer.get_by_role("dialog")).to_be_visible()
    assert [] == violations(reviewer)


def test_the_meter_counts_as_the_calibration_does(site, page):
    """The page's arithmetic and the one that makes certificates agree: numbers, starts, errors, bounds."""
    page.goto(site.url)
    cases = [
        (target, delta, n) for target in (0.9, 0.95, 0.98) for delta in (0.05, 0.025, 0.003) for n in (1, 59, 120, 480)
    ]
    script = """async (cases) => {
        const style = document.querySelector("link[rel=stylesheet]").href;
        const proof = await import(new URL("pages/review/proof.js", style).href);
        return cases.map(([target, delta, n]) => [proof.least(target, delta), proof.starts(n, target, delta),
            proof.allowed(n, target, delta), proof.lowerBound(n, 0, delta), proof.lowerBound(n, n >> 3, delta)]);
    }"""
    for (target, delta, n), (least, starts, allowed, clean, bound) in zip(
        cases, page.evaluate(script, [list(each) for each in cases]), strict=True
    ):
        expected = len(certify.starts(n, target, delta))
        passed = certify.at_most(np.arange(n + 1), n, 1 - target) <= delta / expected
        assert (certify.least(target, delta), expected, int(passed.sum()) - 1) == (least, starts, allowed)
        assert pytest.approx(certify.lower_bound(n, 0, delta), abs=1e-6) == clean
        assert pytest.approx(certify.lower_bound(n, n >> 3, delta), abs=1e-6) == bound
