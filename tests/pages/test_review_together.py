"""Reviews by several people, and with a network that fails: nothing is lost, nothing is overwritten."""

from __future__ import annotations

from collections import Counter

from playwright.sync_api import Dialog, Route, expect
from sqlalchemy import text

from tests.pages.reviewing import QUEUE, keys_of, known, opened, settle, stored, tiles


def test_a_conflict_is_shown_and_never_overwrites(review_site, reviewer):
    """Another person decided meanwhile: both answers are shown, and theirs stands until the reviewer says otherwise."""
    opened(reviewer, f"{review_site.url}/{QUEUE}")
    key = keys_of(reviewer)[0]
    theirs = {"bucket": "photos", "key": key, "taxonomy": "colour", "verdict": "replace", "label": "blue"}
    review_site.api.post("/v1/decisions", {"reviewer": "bob", "decisions": [theirs]}, token=None)
    reviewer.keyboard.press("Enter")
    conflict = reviewer.get_by_role("alert")
    expect(conflict).to_contain_text(f"{key}You said: red. bob said replace blue")
    settle(reviewer, {("accept", "red"): 11, ("replace", "blue"): 1}, lambda: stored(review_site))
    reviewer.get_by_role("button", name="Record mine").click()
    expect(conflict).to_have_count(0)

    def about_it() -> list[tuple[str, str]]:
        query = text("SELECT reviewer, verdict FROM decisions WHERE key = :key ORDER BY id")
        with review_site.engine.connect() as connection:
            return [(row.reviewer, row.verdict) for row in connection.execute(query, {"key": key})]

    settle(reviewer, [("bob", "replace"), ("ada", "accept")], about_it)


def test_a_conflict_is_told_on_another_page_as_well(review_site, reviewer):
    """Who leaves while decisions are on their way learns there what was not stored."""
    opened(reviewer, f"{review_site.url}/{QUEUE}")
    theirs = {"bucket": "photos", "key": keys_of(reviewer)[0], "taxonomy": "colour", "verdict": "none"}
    review_site.api.post("/v1/decisions", {"reviewer": "bob", "decisions": [theirs]}, token=None)
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    reviewer.route("**/v1/decisions", hold)
    reviewer.keyboard.press("Enter")
    expect(reviewer.locator(".last")).to_contain_text("Saving")
    reviewer.get_by_role("link", name="Map").click()
    expect(reviewer.locator(".tile")).to_have_count(0)
    held[0].continue_()
    expect(reviewer.locator(".toast")).to_contain_text("Not stored: 1 decision about colour = red: bob")
    settle(reviewer, {("accept", "red"): 11, ("none", None): 1}, lambda: stored(review_site))


def test_two_reviewers_get_different_images(review_site, reviewer, chromium):
    """What one has been shown is reserved; what is left goes back when the page is left."""
    api = review_site.api
    body = {"taxonomy": "colour", "label": "red", "target": 0.9, "reviewer": "ada"}
    plan = api.post("/v1/review-plans", body, token=None).json["id"]
    opened(reviewer, f"{review_site.url}/review?plan={plan}")
    other = chromium.new_context().new_page()
    known(other, "bob")
    opened(other, f"{review_site.url}/review?plan={plan}")
    assert set() == set(keys_of(reviewer)) & set(keys_of(other))

    def held() -> set[str | None]:
        items = api.get(f"/v1/review-plans/{plan}/items", token=None).json["items"]
        return {each["held_by"] for each in items}

    assert {"ada", "bob", None} == held()
    reviewer.get_by_role("link", name="Search").click()
    settle(reviewer, {"bob", None}, held)
    other.close(run_before_unload=True)
    settle(reviewer, {None}, held)
    other.context.close()


def test_nothing_is_lost_without_a_network(review_site, reviewer):
    """Decisions are kept, the person is told and goes on; they are sent once the API answers, also after a reload."""
    opened(reviewer, f"{review_site.url}/{QUEUE}")
    reviewer.route("**/v1/decisions", lambda route: route.abort())
    reviewer.keyboard.press("Enter")
    warning = reviewer.get_by_role("alert")
    expect(warning).to_contain_text("12 decisions are not stored yet")
    expect(tiles(reviewer)).to_have_count(12)  # the next page, which had been loaded before
    tiles(reviewer).nth(0).click()
    reviewer.keyboard.press("Enter")
    expect(warning).to_contain_text("24 decisions are not stored yet")
    asked: list[str] = []

    def leave(dialog: Dialog) -> None:
        asked.append(dialog.type)
        dialog.accept()

    reviewer.on("dialog", leave)
    reviewer.reload()
    assert ["beforeunload"] == asked
    assert Counter() == stored(review_site)
    reviewer.unroute("**/v1/decisions")
    reviewer.reload()
    settle(reviewer, {("accept", "red"): 23, ("reject", "red"): 1}, lambda: stored(review_site))
    kept = "Object.keys(localStorage).filter((key) => key.startsWith('enrich.unsent'))"
    settle(reviewer, [], lambda: reviewer.evaluate(kept))


def test_a_batch_whose_answer_was_lost_is_stored_once(review_site, reviewer):
    """The API stored it, the answer never came: sending it again records nothing twice."""
    opened(reviewer, f"{review_site.url}/{QUEUE}")

    def lose_the_answer(route):
        route.fetch()
        route.abort()

    reviewer.route("**/v1/decisions", lose_the_answer, times=1)
    reviewer.keyboard.press("Enter")
    settle(reviewer, {("accept", "red"): 12}, lambda: stored(review_site))


def test_a_failed_page_can_be_tried_again(review_site, reviewer):
    """Loading that fails says why, and what to do; an empty queue says what else there is."""
    reviewer.route("**/v1/review-queues/**", lambda route: route.abort(), times=1)
    reviewer.goto(f"{review_site.url}/{QUEUE}")
    expect(reviewer.get_by_role("alert")).to_contain_text("does not answer")
    reviewer.get_by_role("button", name="Try again").click()
    expect(tiles(reviewer)).to_have_count(12)
    reviewer.goto(f"{review_site.url}/review?taxonomy=colour&label=red&queue=label-error")
    expect(reviewer.get_by_text("Nothing is left to review there")).to_be_visible()
