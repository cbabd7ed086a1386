"""Searching as a person does: by words, pictures and facets, with the keyboard and on a phone."""

from __future__ import annotations

import base64
import io
import re
from urllib.parse import parse_qs, urlsplit

import pytest
from PIL import Image
from playwright.sync_api import Page, expect
from sqlalchemy import text

from tests.pages.axe import violations
from worker.catalog import newest_images
from worker.db import transaction

_DROP = """data => {
  const bytes = Uint8Array.from(atob(data), each => each.charCodeAt(0));
  const given = new DataTransfer();
  given.items.add(new File([bytes], "sky.png", { type: "image/png" }));
  for (const name of ["dragover", "drop"])
    document.body.dispatchEvent(new DragEvent(name, { dataTransfer: given, bubbles: true, cancelable: true }));
}"""

_BLUE = re.compile(r"\.png, blue, relevance \d+ %")


def query_of(page: Page) -> dict[str, list[str]]:
    return parse_qs(urlsplit(page.url).query)


def first(page: Page) -> str:
    """What a screen reader says of the first picture."""
    cell = page.locator("[data-index='0']:not([aria-busy])")
    expect(cell).to_be_visible()
    return str(cell.get_attribute("aria-label"))


def search(page: Page, words: str) -> None:
    page.keyboard.press("/")
    page.keyboard.type(words)
    page.keyboard.press("Enter")
    page.wait_for_url("**q=*")


def png(colour: tuple[int, int, int]) -> str:
    buffer = io.BytesIO()
    Image.new("RGB", (32, 32), colour).save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


def test_the_newest_images_come_without_a_question(site, page):
    """All of them, counted, with the facets of the catalog beside them."""
    page.goto(site.url)
    assert first(page).startswith("2023/09999.png, red")
    expect(page.get_by_role("status").filter(has_text="10,000 images")).to_be_visible()
    side = page.get_by_role("complementary")
    expect(side).to_contain_text("Counted over 10,000 images of the catalog")
    expect(side.get_by_role("checkbox", name="ACME One 3,334")).to_be_visible()


def test_words_find_pictures_above_a_line(site, page):
    """What is less relevant comes on request below the cut-off; the address has all of it."""
    page.goto(site.url)
    expect(page.get_by_role("grid")).to_be_visible()
    search(page, "a blue picture")
    expect(page.locator("[data-index='0']")).to_have_attribute("aria-label", _BLUE)
    assert ["a blue picture"] == query_of(page)["q"]
    page.get_by_role("grid").focus()
    more = page.get_by_role("button", name="Show less relevant")
    while not more.is_visible():
        page.keyboard.press("End")
        page.wait_for_timeout(100)
    relevant = page.get_by_role("status").filter(has_text="relevant pictures").inner_text()
    more.click()
    expect(page.get_by_text("Relevance cut-off: what follows")).to_be_visible()
    assert ["1"] == query_of(page)["all"]
    page.keyboard.press("ArrowDown")
    expect(page.get_by_role("grid")).to_be_focused()
    assert relevant.split()[0] in page.get_by_role("status").filter(has_text="relevant pictures").inner_text()
    page.reload()
    assert "blue" in first(page)


def test_facets_count_over_the_filter(site, page):
    """Two values of one facet are alternatives; what is chosen stays visible where nothing has it; back undoes each."""
    page.goto(site.url)
    side = page.get_by_role("complementary")
    side.get_by_role("checkbox", name="ACME Two").check()
    expect(side).to_contain_text("Counted over 3,333 images that match the filter")
    side.get_by_role("checkbox", name="green").check()
    expect(side.get_by_role("checkbox", name="ACME One")).not_to_be_checked()
    side.get_by_role("checkbox", name="red").check()
    expect(side).to_contain_text("Counted over 2,2")
    expect(side.get_by_role("checkbox", name=re.compile("blue 1,1"))).to_be_visible()
    side.get_by_role("checkbox", name="Zeta Z 9").check()
    side.get_by_role("button", name="2021-02").click()
    side.get_by_role("checkbox", name="ACME Two").uncheck()
    expect(side.get_by_role("checkbox", name="Zeta Z 9 0")).to_be_checked()
    expect(page.get_by_role("heading", name="No image matches")).to_be_visible()
    for _ in range(3):
        page.go_back()
    expect(side).to_contain_text("Counted over 2,2")
    side.get_by_role("button", name="Clear the filter").click()
    expect(side).to_contain_text("10,000 images of the catalog")


def test_the_back_button_returns_to_the_same_place(site, page):
    """With the keyboard alone: far down, into a picture, and back to it."""
    page.goto(site.url)
    first(page)
    page.keyboard.press("ArrowDown")
    grid = page.get_by_role("grid")
    expect(grid).to_be_focused()
    for _ in range(25):
        page.keyboard.press("PageDown")
    active = grid.get_attribute("aria-activedescendant")
    index = str(active).rpartition("-")[2]
    expect(page.locator(f"[data-index='{index}']:not([aria-busy])")).to_be_in_viewport()
    top = page.locator(f"[data-index='{index}']").bounding_box()
    page.keyboard.press("Enter")
    page.wait_for_url("**/image?*")
    page.go_back()
    cell = page.locator(f"[data-index='{index}']:not([aria-busy])")
    expect(cell).to_be_in_viewport()
    assert (top["x"], pytest.approx(top["y"], abs=2)) == (cell.bounding_box()["x"], cell.bounding_box()["y"])
    assert index == str(page.get_by_role("grid").get_attribute("aria-activedescendant")).rpartition("-")[2]


def test_a_grid_of_ten_thousand_keeps_few_in_the_page(site, page):
    """The scroll bar has its final length at once, and only what is near is in the document."""
    page.goto(site.url)
    expect(page.get_by_role("status").filter(has_text="10,000 images")).to_be_visible()
    height = page.evaluate("document.documentElement.scrollHeight")
    page.evaluate("scrollTo(0, 1e9)")
    expect(page.locator("[data-index='9999']:not([aria-busy])")).to_be_in_viewport()
    assert height == page.evaluate("document.documentElement.scrollHeight")
    assert page.locator(".cell").count() < 200


def test_a_dropped_picture_finds_its_like(site, page):
    """A vector stands for it in the address, so that the address alone finds the same."""
    page.goto(site.url)
    first(page)
    page.evaluate(_DROP, png((20, 30, 230)))
    expect(page.get_by_role("list", name="Examples")).to_contain_text("sky.png")
    expect(page.locator("[data-index='0']")).to_have_attribute("aria-label", _BLUE)
    found = first(page)
    [like] = query_of(page)["like"]
    assert like.startswith("vector:")
    page.reload()
    assert found == first(page)
    page.get_by_role("button", name="Remove sky.png").click()
    expect(page.get_by_role("list", name="Examples")).to_have_count(0)
    page.go_back()
    expect(page.get_by_role("list", name="Examples")).to_contain_text("sky.png")


def test_more_like_and_less_like_by_single_keys(site, page):
    """`m` and `l` take the focused or the selected pictures as examples; the grid keeps the focus."""
    page.goto(site.url)
    first(page)
    page.keyboard.press("ArrowRight")
    page.keyboard.press("m")
    chips = page.get_by_role("list", name="Examples").get_by_role("listitem")
    expect(chips).to_have_count(1)
    expect(page.get_by_role("grid")).to_be_focused()
    first(page)
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Space")
    page.keyboard.press("Shift+ArrowRight")
    expect(page.get_by_role("toolbar", name="Selected pictures")).to_contain_text("2 pictures")
    page.keyboard.press("l")
    expect(chips).to_have_count(3)
    assert (1, 2) == (len(query_of(page)["like"]), len(query_of(page)["unlike"]))
    expect(page.get_by_role("grid")).to_be_focused()


def test_pictures_are_selected_by_rectangle_range_and_key(site, page):
    """Drag, shift-click, Ctrl+a, Escape."""
    page.goto(site.url)
    first(page)
    toolbar = page.get_by_role("toolbar", name="Selected pictures")
    one, other = (page.locator(f"[data-index='{index}']").bounding_box() for index in (0, 8))
    page.mouse.move(one["x"] + 20, one["y"] + 20)
    page.mouse.down()
    page.mouse.move(other["x"] + 20, other["y"] + 20, steps=4)
    page.mouse.up()
    expect(toolbar).to_contain_text("6 pictures")
    page.keyboard.press("Escape")
    expect(toolbar).to_have_count(0)
    page.locator("[data-index='1']").click(modifiers=["Control"])
    page.locator("[data-index='4']").click(modifiers=["Shift"])
    expect(toolbar).to_contain_text("4 pictures")
    expect(page.locator("[data-index='3']")).to_have_attribute("aria-selected", "true")
    page.keyboard.press("Control+a")
    expect(toolbar).not_to_contain_text("4 pictures")
    toolbar.get_by_role("button", name="Clear").click()
    expect(page.get_by_role("grid")).to_be_focused()


def test_hover_and_focus_tell_tags_and_why(site, page):
    """Probabilities, relevance, and the similarity with what was asked for; Escape hides them."""
    page.goto(f"{site.url}/?q=a+red+picture")
    first(page)
    page.locator("[data-index='1']").hover()
    card = page.locator(".hover-card")
    expect(card).to_contain_text("colour red")
    expect(card).to_contain_text("relevance")
    expect(card).to_contain_text("like “a red picture”")
    page.keyboard.press("Escape")
    expect(card).to_have_count(0)
    page.mouse.move(0, 0)
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowRight")
    expect(card).to_contain_text("relevance")


def test_images_far_from_the_newest_are_looked_for(site, page, monkeypatch):
    """Answers without any image but with a next page are followed until one has some."""
    monkeypatch.setattr(newest_images, "_WALK", 500)
    page.goto(f'{site.url}/?filter={{"none":[{{"tags":[{{"taxonomy":"colour","label":"red"}}]}}]}}')
    assert not first(page).endswith("red")
    expect(page.get_by_text("1 further condition")).to_be_visible()


def test_what_changed_meanwhile_is_found_anew(own_site, page):
    """A link to the search asks again; going back does once a decision was made, and still returns to the place."""
    page.goto(f'{own_site.url}/?filter={{"tags":[{{"taxonomy":"colour","label":"blue"}}]}}')
    name = first(page).partition(",")[0]
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    expect(page.get_by_role("region", name="Tags")).to_be_visible()
    page.keyboard.press("r")
    page.get_by_label("Your name").fill("ada")
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Undo: rejected blue")).to_be_visible()
    page.go_back()
    expect(page.locator("[data-index='0']:not([aria-busy])")).not_to_have_attribute("aria-label", f"{name}, blue")
    with transaction(own_site.engine) as connection:
        connection.execute(text("DELETE FROM images WHERE key LIKE '2023/%'"))
    page.get_by_role("link", name="Search", exact=True).click()
    expect(page.locator("[data-index='0']:not([aria-busy])")).to_have_attribute("aria-label", "2022/09998.png, red")


def test_pictures_are_looked_through_one_after_another(site, page):
    """On the page of an image the arrows go on in what was found; back leads to the grid."""
    page.goto(site.url)
    first(page)
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="09999.png")).to_be_visible()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("heading", name="09998.png")).to_be_visible()
    page.get_by_role("button", name="Previous picture").click()
    expect(page.get_by_role("heading", name="09999.png")).to_be_visible()
    page.go_back()
    expect(page.get_by_role("grid")).to_be_visible()


def test_searches_are_saved_and_deleted_with_a_way_back(own_site, page):
    """Under a name, with their filter; opening one restores the address."""
    page.goto(f'{own_site.url}/?q=a+red+picture&filter={{"camera":"ACME One"}}')
    first(page)
    page.get_by_role("button", name="Saved searches").click()
    page.get_by_label("Name").fill("red ones")
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("link", name="red ones")).to_be_visible()
    dialog.get_by_role("button", name="Delete red ones").click()
    expect(dialog).to_contain_text("None yet")
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Undo").click()
    page.goto(own_site.url)
    page.get_by_role("button", name="Saved searches").click()
    page.get_by_role("link", name="red ones").click()
    expect(page.get_by_role("searchbox")).to_have_value("a red picture")
    assert ['{"camera":"ACME One"}'] == query_of(page)["filter"]


def test_readers_are_offered_nothing_that_would_be_refused(guarded_site, page):
    """Saving needs the scope `review`."""
    page.goto(guarded_site.url)
    page.get_by_label("Token").fill("read-0123456789")
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Saved searches").click()
    expect(page.get_by_role("dialog")).to_contain_text("None yet")
    expect(page.get_by_role("dialog").get_by_role("textbox")).to_have_count(0)


def test_a_phone_shows_three_columns_and_no_filter_at_first(site, page):
    """Nothing is wider than the screen; the filter opens above the pictures."""
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(site.url)
    first(page)
    assert "3" == page.get_by_role("grid").get_attribute("aria-colcount")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    expect(page.get_by_role("complementary")).to_have_count(0)
    page.get_by_role("button", name="Filter").click()
    page.get_by_role("complementary").get_by_role("checkbox", name="green").check()
    page.get_by_role("button", name="Show the pictures").click()
    expect(page.locator("[data-index='0']")).to_have_attribute("aria-label", re.compile("png, green"))
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_what_the_api_refuses_is_said_in_its_words(site, page):
    """An unknown label in an address that somebody wrote by hand."""
    page.goto(f'{site.url}/?filter={{"camera":"Leica"}}')
    expect(page.get_by_role("alert").first).to_contain_text("Leica")


@pytest.mark.parametrize("colours", ["light", "dark"])
def test_keyboards_and_screen_readers_can_use_it(site, page, colours):
    """axe finds nothing serious: with examples and a selection, in the dialog, and where nothing is found."""
    page.emulate_media(color_scheme=colours)
    page.goto(f"{site.url}/?q=a+red+picture&like=image:photos/2020/00000.png&unlike=text:blue")
    first(page)
    expect(page.get_by_role("complementary")).to_contain_text("Counted over")
    page.locator("[data-index='1']").click(modifiers=["Control"])
    page.locator("[data-index='2']").hover()
    expect(page.locator(".hover-card")).to_contain_text("colour")
    assert [] == violations(page)
    page.get_by_role("button", name="Saved searches").click()
    expect(page.get_by_role("dialog")).to_contain_text("None yet")
    assert [] == violations(page)
    page.goto(f'{site.url}/?filter={{"camera":"ACME One","taken_since":"2019","taken_until":"2019"}}')
    expect(page.get_by_role("heading", name="No image matches")).to_be_visible()
    assert [] == violations(page)
