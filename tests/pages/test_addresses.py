"""Addresses that ask for what there is not, and messages beside dialogs, as a person meets them."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.pages.conftest import TOKENS

_WRONG = {
    "./?filter={bad": "The filter in the address cannot be read",
    './?filter={"any":5}': "filter.any: Input should be a valid list",
    './?filter={"tags":[null]}': "filter.tags[0]: Input should be a valid dictionary",
    './?filter={"nope":1}': "unknown member 'nope'; did you mean 'none'?",
    "review?taxonomy=nope": "There is no taxonomy “nope” to review",
    "review?taxonomy=colour&label=nope": "The taxonomy colour has no label “nope”",
    "review?plan=abc": "The address names no review plan",
    "taxonomies?open=nope": "no taxonomy 'nope' is in force; in force are colour",
}


@pytest.mark.parametrize("address", _WRONG)
def test_an_address_that_is_wrong_says_so(site, page, address):
    """Never an empty page, and never another page than was asked for without a word."""
    page.goto(f"{site.url}/{address}")
    expect(page.get_by_role("alert").filter(has_text=_WRONG[address]).first).to_be_visible()


def test_a_page_that_cannot_be_drawn_says_so(site, page):
    """A mistake in one page leaves the others usable."""
    page.route("**/pages/operations.js", lambda route: route.fulfill(content_type="text/javascript", body=_BROKEN))
    page.goto(f"{site.url}/operations")
    expect(page.get_by_role("alert")).to_contain_text("This page cannot be shown.")
    page.get_by_role("link", name="Search").click()
    expect(page.get_by_role("grid")).to_be_visible()


_BROKEN = "export default function Page() { throw new Error('a mistake'); }"


def test_what_a_dialog_did_can_be_undone_while_it_is_open(site, page):
    """Messages are inside of the open dialog; outside of it nothing can be reached."""
    page.goto(f"{site.url}/?q=red")
    expect(page.get_by_role("grid")).to_be_visible()
    page.get_by_role("button", name="Saved searches").click()
    dialog = page.get_by_role("dialog")
    for message in ("Saved as “mine”.", "Saved as “mine” in place of another search."):
        dialog.get_by_label("Name", exact=True).fill("mine")
        dialog.get_by_role("button", name="Save", exact=True).click()
        expect(dialog.get_by_text(message, exact=True)).to_be_visible()
    dialog.get_by_role("button", name="Delete mine").click()
    expect(dialog.get_by_role("link", name="mine")).to_have_count(0)
    dialog.get_by_role("button", name="Undo").last.click()
    expect(dialog.get_by_role("link", name="mine")).to_be_visible()


def test_the_first_images_appear_by_themselves(site, page):
    """Someone who uploads pictures while the page is open need not load it again."""
    page.route("**/v1/images?*", lambda route: route.fulfill(json={"images": [], "next": None}))
    page.goto(site.url)
    expect(page.get_by_role("heading", name="No images yet")).to_be_visible()
    page.unroute("**/v1/images?*")
    expect(page.get_by_role("grid")).to_be_visible()
    expect(page.locator("[data-index='0']:not([aria-busy])")).to_be_visible()


def test_a_login_in_one_tab_counts_in_the_other(guarded_site, page, browser_context):
    """The form goes away as soon as the other tab is looked at."""
    page.goto(f"{guarded_site.url}/operations")
    expect(page.get_by_label("Token")).to_be_visible()
    other = browser_context.new_page()
    other.goto(guarded_site.url)
    other.get_by_label("Token").fill(TOKENS.read or "")
    other.get_by_role("button", name="Log in").click()
    expect(other.get_by_role("grid")).to_be_visible()
    page.bring_to_front()
    page.evaluate("dispatchEvent(new Event('focus'))")  # browsers without a window send none
    expect(page.get_by_role("heading", name="Operations")).to_be_visible()
