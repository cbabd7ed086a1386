"""Logging in, and what every page has: navigation, keys, errors, nothing from elsewhere."""

from __future__ import annotations

import re
from http.cookies import SimpleCookie

import pytest
from playwright.sync_api import expect

from tests.pages.axe import violations
from tests.pages.conftest import TOKENS
from worker.api.access import Scope
from worker.api.sessions import Sessions


def test_a_link_logs_in_once(guarded_site, page, chromium):
    """Its code is exchanged for a cookie that no script can read; whoever opens it later has to log in otherwise."""
    code, _ = Sessions(TOKENS).code(Scope.ADMIN)
    page.goto(f"{guarded_site.url}/login#{code}")
    expect(page.get_by_role("link", name="Operations")).to_be_visible()
    assert f"{guarded_site.url}/" == page.url
    assert "" == page.evaluate("document.cookie")
    [cookie] = page.context.cookies()
    assert (True, "Strict") == (cookie["httpOnly"], cookie["sameSite"])

    page.goto(f"{guarded_site.url}/login#{code}")  # the one who used it is logged in anyway
    expect(page.get_by_role("link", name="Operations")).to_be_visible()
    stranger = chromium.new_context().new_page()
    stranger.goto(f"{guarded_site.url}/login#{code}")
    expect(stranger.get_by_role("alert")).to_contain_text("used before")
    stranger.context.close()


def test_a_token_logs_in_and_out(guarded_site, page):
    """A token of the API will do; a wrong one is refused with what to do; logging out forgets the session."""
    page.goto(f"{guarded_site.url}/review")
    page.get_by_label("Token").fill("not a token of ours")
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("alert")).to_contain_text("none of the API's tokens")
    page.get_by_label("Token").fill(TOKENS.review)
    page.keyboard.press("Enter")
    expect(page.get_by_role("link", name="Review")).to_have_attribute("aria-current", "page")
    assert ["read", "review"] == page.evaluate("fetch('session').then((answer) => answer.json())")["scopes"]
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_label("Token")).to_be_visible()


def test_keys_lead_to_pages_and_are_listed(site, page):
    """`?` lists all keys; `g 3` opens the third page; in a text field, keys are text."""
    page.goto(site.url)
    expect(page.get_by_role("link", name="Taxonomies")).to_be_visible()
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_contain_text("go to Taxonomies")
    page.keyboard.press("Escape")
    page.keyboard.press("g")
    page.keyboard.press("3")
    expect(page).to_have_url(f"{site.url}/taxonomies")
    page.go_back()
    expect(page).to_have_url(f"{site.url}/")


def test_everything_comes_from_this_origin(site, page):
    """Policy and requests: no page asks any other host for anything."""
    asked: set[str] = set()
    page.on("request", lambda request: asked.add(re.split(r"(?<=\w)/", request.url)[0]))
    for name in ("", "review", "taxonomies", "map", "operations"):
        answer = page.goto(f"{site.url}/{name}")
        assert "default-src 'self'" in answer.headers["content-security-policy"]
        page.wait_for_load_state("networkidle")
    assert {site.url} == {each for each in asked if not each.startswith(("data:", "blob:"))}


def test_other_sites_pages_cannot_use_a_session(guarded_site):
    """A request with the cookie that another site's page may have caused is refused; one with a token is not."""
    api = guarded_site.api
    answer = api.post("/session", {"token": TOKENS.admin}, token=None, headers={"Sec-Fetch-Site": "same-origin"})
    [(name, morsel)] = SimpleCookie(answer.headers["set-cookie"]).items()
    cookie = {"Cookie": f"{name}={morsel.value}"}
    body = {"text": "red"}
    for headers, status in (
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Origin": "http://127.0.0.1:1"}, 403),
        ({}, 403),
        ({"Sec-Fetch-Site": "same-origin"}, 200),
        ({"Origin": guarded_site.url}, 200),
    ):
        assert status == api.post("/v1/search", body, token=None, headers=headers | cookie).status, headers
    assert 200 == api.get("/v1/status", token=None, headers=cookie).status
    assert (
        403
        == api.post("/session", {"token": TOKENS.admin}, token=None, headers={"Sec-Fetch-Site": "cross-site"}).status
    )


@pytest.mark.parametrize("name", ["", "review", "taxonomies", "map", "operations"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everybody_can_use_it(site, page, name, scheme):
    """Axe finds nothing serious on any page, light or dark, wide or narrow."""
    page.emulate_media(color_scheme=scheme)
    page.goto(f"{site.url}/{name}")
    page.wait_for_load_state("networkidle")
    assert [] == violations(page)
    page.set_viewport_size({"width": 390, "height": 800})
    assert [] == violations(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390  # nothing to scroll sideways


def test_the_login_page_can_be_used_by_everybody(guarded_site, page):
    """Axe finds nothing serious there, either."""
    page.goto(guarded_site.url)
    expect(page.get_by_label("Token")).to_be_visible()
    assert [] == violations(page)
