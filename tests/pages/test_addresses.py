"""Addresses that ask for what there is not, and messages beside dialogs, as a person meets them."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

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
