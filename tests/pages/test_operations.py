"""The operations page, as an operator uses it: numbers that move, the quarantine, an API that goes away."""

from __future__ import annotations

import hashlib
import io
import json

import pytest
from PIL import Image
from playwright.sync_api import Locator, Page, expect

from tests.integration.api.live import record, serve
from tests.ledger import ref
from tests.pages import operated
from tests.pages.axe import violations
from tests.pages.conftest import TOKENS, Site
from worker import ledger
from worker.api.access import Scope
from worker.api.sessions import Sessions
from worker.db import transaction
from worker.types import Outcome, Reason
from worker.web import Pages


@pytest.fixture
def operations(own_site: Site, page: Page) -> tuple[Site, Page]:
    """A site whose ten thousand images are in the ledger, with a worker and a scheduler, and an open page."""
    operated.enrich_all(own_site.engine)
    operated.report(own_site.engine, "worker@here:1", "scheduler@here:2")
    operated.reconcile(own_site.engine, listed=10_000)
    page.goto(f"{own_site.url}/operations")
    expect(page.get_by_text("0 missing: every one of 10,000 objects is accounted for")).to_be_visible()
    return own_site, page


def section(page: Page, title: str) -> Locator:
    return page.get_by_role("region", name=title)


def entry(page: Page, key: str) -> Locator:
    return section(page, "Quarantine").get_by_role("listitem").filter(has_text=key)


def test_numbers_move_by_themselves(operations):
    """What is announced is pending, and what a worker has enriched is not, without a reload."""
    site, page = operations
    operated.announce(site.engine, "new.jpg")
    expect(page.get_by_text("10,001 = 10,000 enriched + 0 excluded + 0 quarantined + 1 pending")).to_be_visible()
    operated.finish(site.engine, Outcome.ENRICHED)
    expect(page.get_by_text("10,001 = 10,001 enriched + 0 excluded + 0 quarantined + 0 pending")).to_be_visible()
    expect(page.get_by_text("Nothing needs attention.")).to_be_visible()


def test_only_a_page_that_is_looked_at_asks(own_site, page):
    """Neither a paused page nor one in a hidden tab asks anything; shown again, it asks at once."""
    page.clock.install()
    page.goto(f"{own_site.url}/operations")
    expect(page.get_by_text("No objects yet")).to_be_visible()
    expect(page.get_by_text("Nothing is in quarantine")).to_be_visible()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.keyboard.press("p")
    page.clock.run_for(60_000)
    expect(page.get_by_text("paused; updated")).to_be_visible()
    assert [] == asked
    page.get_by_role("button", name="Go on").click()
    show(page, visible=False)
    page.clock.run_for(60_000)
    assert [] == asked
    with page.expect_request("**/v1/buckets"):
        show(page, visible=True)


def show(page: Page, *, visible: bool) -> None:
    state = "visible" if visible else "hidden"
    page.evaluate(f"Object.defineProperty(document, 'visibilityState', {{value: '{state}', configurable: true}})")
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")


def test_a_retry_moves_an_entry_out_of_the_quarantine(operations):
    """Once confirmed it is being retried; when a worker has enriched it, it is gone, and nothing else is."""
    site, page = operations
    operated.refuse(site.engine, "a.jpg", "b.jpg")
    entry(page, "a.jpg").get_by_role("button", name="Retry").click()
    page.get_by_role("dialog").get_by_role("button", name="Retry").click()
    expect(entry(page, "a.jpg").get_by_text("being retried")).to_be_visible()
    operated.finish(site.engine, Outcome.ENRICHED)
    expect(entry(page, "a.jpg")).to_have_count(0)
    expect(entry(page, "b.jpg")).to_be_visible()


def test_giving_up_asks_and_can_be_undone(operations):
    """Escape gives nothing up; what was given up counts as excluded, and one click takes it back."""
    site, page = operations
    operated.refuse(site.engine, "a.jpg", "b.jpg", "c.jpg")
    quarantine = section(page, "Quarantine")
    quarantine.get_by_role("button", name="Give up all 3").click()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    for key in ("a.jpg", "b.jpg"):
        quarantine.get_by_role("checkbox", name=f"Select photos/{key}").check()
    quarantine.get_by_role("group", name="Actions").get_by_role("button", name="Give up", exact=True).click()
    page.get_by_role("dialog").get_by_role("button", name="Give up").click()
    expect(page.get_by_text("2 excluded + 1 quarantined")).to_be_visible()
    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_text("0 excluded + 1 quarantined + 2 pending")).to_be_visible()


def test_all_of_one_reason_are_retried(operations):
    """A filter by reason is in the address, and says what a retry of all of them will change."""
    site, page = operations
    operated.refuse(site.engine, "a.jpg", "b.jpg", reason=Reason.ARCHIVED)
    operated.refuse(site.engine, "c.jpg")
    section(page, "Quarantine").get_by_role("button", name="archived 2").click()
    expect(page).to_have_url(f"{site.url}/operations?reason=archived")
    expect(entry(page, "c.jpg")).to_have_count(0)
    page.get_by_role("button", name="Retry all 2 archived").click()
    expect(page.get_by_role("dialog", name="Retry 2 objects for the reason archived?")).to_be_visible()
    page.get_by_role("dialog").get_by_role("button", name="Retry").click()
    expect(page.get_by_text("1 quarantined + 2 pending")).to_be_visible()


def test_the_quarantine_by_keys_alone(operations):
    """All that are shown are selected and retried, and afterwards the focus is in the quarantine, not lost."""
    site, page = operations
    operated.refuse(site.engine, "a.jpg", "b.jpg")
    expect(entry(page, "b.jpg")).to_be_visible()
    page.keyboard.press("a")
    expect(page.get_by_text("2 selected")).to_be_visible()
    page.keyboard.press("r")
    expect(page.get_by_role("dialog", name="Retry 2 objects?")).to_be_visible()
    page.get_by_role("dialog").get_by_role("button", name="Retry").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_text("0 quarantined + 2 pending")).to_be_visible()
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(section(page, "Quarantine").get_by_role("heading")).to_be_focused()


def test_pictures_of_the_quarantine(operations):
    """An image that was enriched before is shown; of another, the page says why it cannot be, and its first bytes."""
    site, page = operations
    buffer = io.BytesIO()
    Image.new("RGB", (64, 64), (200, 30, 30)).save(buffer, "PNG")
    site.store.put(ref("known.png"), data := buffer.getvalue())
    operated.execute(
        site.engine,
        "UPDATE images SET key = 'known.png', etag = :etag, sha256 = sha256(:data) "
        "WHERE id = (SELECT min(id) FROM images)",
        data=data, etag=hashlib.md5(data, usedforsecurity=False).hexdigest(),
    )  # fmt: skip
    operated.refuse(site.engine, "known.png", reason=Reason.ACCESS_DENIED)
    operated.refuse(site.engine, "cut.jpg")
    picture = entry(page, "known.png").get_by_role("img")
    expect(picture).to_be_visible()
    page.wait_for_function("image => image.complete && image.naturalWidth === 64", arg=picture.element_handle())
    expect(entry(page, "cut.jpg").get_by_text("no picture: file is cut off")).to_be_visible()
    page.get_by_role("button", name="photos/cut.jpg", exact=True).click()
    expect(page.get_by_role("dialog").get_by_text("00000000  ff d8")).to_be_visible()


def test_an_api_that_was_away(own_site, page):
    """The page says that nothing answers, keeps its numbers, and goes on by itself once the API is back."""
    operated.enrich_all(own_site.engine)
    with serve(own_site.api.services, Pages().routes()) as first:
        page.goto(f"http://127.0.0.1:{first.port}/operations")
        expect(page.get_by_text("10,000 enriched")).to_be_visible()
    expect(page.get_by_text("Not reachable, retrying.")).to_be_visible()
    expect(page.get_by_text("10,000 enriched")).to_be_visible()
    operated.announce(own_site.engine, "meanwhile.jpg")
    with serve(own_site.api.services, Pages().routes(), port=first.port):
        expect(page.get_by_text("10,000 enriched + 0 excluded + 0 quarantined + 1 pending")).to_be_visible()
        expect(page.get_by_text("Not reachable, retrying.")).to_have_count(0)


def test_a_rejected_notification_is_sent_again(own_site, page):
    """One that an older release could not read is accepted now; one that is refused again says why, there."""
    for body in (json.dumps(record("late.jpg")).encode(), b'{"Records": 3}'):
        with transaction(own_site.engine) as connection:
            ledger.rejected_events.reject(connection, source="s3", reason="not understood", body=body)
    page.goto(f"{own_site.url}/operations")
    dialog = page.get_by_role("dialog")
    page.get_by_role("button", name="Show notification 1").click()
    expect(dialog.get_by_text('"late.jpg"')).to_be_visible()
    send_again(dialog)
    expect(page.get_by_text("Accepted: 1 object is pending")).to_be_visible()
    expect(page.get_by_text("1 pending")).to_be_visible()
    page.get_by_role("button", name="Show notification 2").click()
    send_again(dialog)
    expect(dialog.get_by_role("alert").get_by_text("Records")).to_be_visible()


def send_again(dialog: Locator) -> None:
    dialog.get_by_role("button", name="Send again …").click()
    dialog.get_by_role("button", name="Send again", exact=True).click()


def test_what_needs_attention(own_site, page):
    """A worker that waits for the store, a silent scheduler, a bucket that cannot be listed: each in a sentence."""
    operated.enrich_all(own_site.engine)
    operated.report(own_site.engine, "worker@here:1", "scheduler@here:2")
    operated.reconcile(own_site.engine, listed=10_000)
    operated.execute(
        own_site.engine,
        "UPDATE processes SET waiting = 'the object store cannot be read (for 9 s): refused' WHERE kind = 'worker'",
    )
    operated.execute(
        own_site.engine, "UPDATE processes SET seen_at = now() - interval '5 minutes' WHERE kind = 'scheduler'"
    )
    operated.execute(own_site.engine, "UPDATE reconciliations SET last_error = 'AccessDenied'")
    page.goto(f"{own_site.url}/operations")
    attention = section(page, "Needs attention")
    for sentence in (
        "Circuit breaker open: the object store cannot be read (1 process waits)",
        "No scheduler is running",
        "scheduler@here:2 was last heard of",
        "photos cannot be listed: AccessDenied",
    ):
        expect(attention.get_by_text(sentence)).to_be_visible()


def test_readers_are_offered_no_changes(guarded_site, page):
    """With the read token everything is shown, and nothing that would be refused is offered."""
    operated.refuse(guarded_site.engine, "a.jpg")
    code, _ = Sessions(TOKENS).code(Scope.READ)
    page.goto(f"{guarded_site.url}/login#{code}")
    page.get_by_role("link", name="Operations").click()
    expect(entry(page, "a.jpg")).to_be_visible()
    expect(page.get_by_text("Retrying and giving up need a session with the admin token.")).to_be_visible()
    expect(page.get_by_role("button", name="Retry")).to_have_count(0)
    expect(page.get_by_role("button", name="Give up")).to_have_count(0)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_keeps_anybody_out(operations, scheme):
    """With something in every part of the page, on a screen and on a phone, axe finds nothing serious."""
    site, page = operations
    operated.refuse(site.engine, "cut.jpg")
    operated.announce(site.engine, "new.jpg")
    operated.execute(site.engine, "UPDATE processes SET waiting = 'for the store' WHERE kind = 'worker'")
    assert 400 == site.api.send("POST", "/v1/events/s3", b"{", token=None).status
    page.emulate_media(color_scheme=scheme)
    for width in (1_280, 390):
        page.set_viewport_size({"width": width, "height": 800})
        page.reload()
        expect(entry(page, "cut.jpg")).to_be_visible()
        expect(section(page, "Rejected").get_by_role("listitem")).to_be_visible()
        assert [] == violations(page)
    entry(page, "cut.jpg").get_by_role("button", name="photos/cut.jpg").click()
    expect(page.get_by_role("dialog").get_by_text("00000000  ff d8")).to_be_visible()
    assert [] == violations(page)


@pytest.mark.parametrize("width", [390, 1_280])
def test_nothing_sticks_out(operations, width):
    """On a phone as on a screen, only tables scroll sideways."""
    site, page = operations
    operated.refuse(site.engine, f"{'a-very-long-folder/' * 6}{'x' * 80}.jpg")
    page.set_viewport_size({"width": width, "height": 800})
    expect(entry(page, "a-very-long-folder")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
