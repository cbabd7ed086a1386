"""The map as a person uses it: draw it, colour it, look at images, outline some, review them; with keys, too."""

from __future__ import annotations

import io
import json
import re

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import BrowserContext, Locator, Page, expect

from tests.factories import enriched_image
from tests.fakes import ColourEncoder
from tests.pages.conftest import TOKENS, Site
from worker import catalog
from worker.db import transaction
from worker.pipeline.maps import requests
from worker.pipeline.maps.run import run_requested

STAGE = "div.map-stage"


@pytest.fixture(scope="module")
def mapped(site: Site) -> Site:
    """A site whose catalog has a map."""
    requests.request(site.engine, requests.MapRequest(method="pca", sample=2_000))
    assert 0 == run_requested(site.engine)
    return site


@pytest.fixture
def stage(mapped: Site, page: Page) -> Locator:
    """The open map, drawn and coloured."""
    page.goto(f"{mapped.url}/map")
    expect(page.get_by_role("checkbox")).not_to_have_count(0)
    return page.locator(STAGE)


def dots(stage: Locator) -> np.ndarray:
    """The pixels of the stage in which a point is drawn: ``[height, width]``. Buttons are left out."""
    stage.page.mouse.move(1, 1)
    picture = np.asarray(Image.open(io.BytesIO(stage.screenshot())).convert("RGB")).astype(int)
    drawn: np.ndarray = np.ptp(picture, axis=2) > 40
    drawn[:60], drawn[-70:] = False, False
    return drawn


def a_dot(stage: Locator) -> tuple[float, float]:
    """Where one of the points is, on the page."""
    rows, columns = np.nonzero(dots(stage))
    box = stage.bounding_box()
    assert box is not None
    middle = len(rows) // 2
    return box["x"] + float(columns[middle]), box["y"] + float(rows[middle])


def chosen(page: Page) -> int:
    """How many images are chosen."""
    text = page.locator(".map-chosen strong").inner_text()
    return int(text.replace(",", ""))


def outline(stage: Locator, *corners: tuple[float, float]) -> None:
    """Drag around corners, given as shares of the stage's width and height."""
    box = stage.bounding_box()
    assert box is not None
    mouse = stage.page.mouse
    for number, (x, y) in enumerate([*corners, corners[0]]):
        mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"], steps=4)
        if number == 0:
            mouse.down()
    mouse.up()


def test_a_map_is_drawn_on_request(own_site, page):
    """Without a map there is a button; while it is drawn, how far it is; and then the map, without reloading."""
    page.goto(f"{own_site.url}/map")
    page.get_by_role("button", name="Draw a map").click()
    expect(page.get_by_role("heading", name="The map is being drawn")).to_be_visible()
    expect(page.get_by_role("status").filter(has_text="Waiting for the scheduler")).to_be_visible()
    assert 0 == run_requested(own_site.engine)
    expect(page.get_by_text("10,000 images, laid out by")).to_be_visible()
    assert dots(page.locator(STAGE)).sum() > 2_000


def test_a_map_that_cannot_be_drawn_says_why(own_site, page):
    """And can be asked for again."""
    asked, _ = requests.request(own_site.engine, requests.MapRequest())
    with transaction(own_site.engine) as connection:
        catalog.maps.fail(connection, asked.id, "the disk is full")
    page.goto(f"{own_site.url}/map")
    expect(page.get_by_role("alert")).to_contain_text("the disk is full")
    page.get_by_role("button", name="Draw it again").click()
    expect(page.get_by_role("heading", name="The map is being drawn")).to_be_visible()


def test_who_may_not_review_may_look(guarded_site, page):
    """A reader is told who can draw a map, and gets no button that would be refused."""
    page.goto(guarded_site.url)
    page.get_by_label("Token").fill(TOKENS.read)
    page.keyboard.press("Enter")
    page.get_by_role("link", name="Map").click()
    expect(page.get_by_text("Who may review can draw one here")).to_be_visible()
    expect(page.get_by_role("button", name="Draw a map")).to_have_count(0)


def test_entries_of_the_legend_can_be_hidden(stage, page):
    """What is hidden is drawn no more; `only` leaves one; the counts add up to all images."""
    entries = page.locator(".map-legend li")
    counts = [int(text.replace(",", "")) for text in page.locator(".map-legend .number").all_inner_texts()]
    assert 10_000 == sum(counts)
    everything = dots(stage).sum()
    entries.filter(has_text="red").get_by_role("checkbox").uncheck()
    without_red = dots(stage).sum()
    entries.filter(has_text="red").get_by_role("button", name="Show only red").click()
    only_red = dots(stage).sum()
    assert 0 < only_red < everything
    assert 0 < without_red < everything
    page.get_by_role("button", name="Hide all").click()
    assert 0 == dots(stage).sum()
    page.get_by_role("button", name="Show all").click()
    assert everything == dots(stage).sum()


def test_the_address_says_what_it_is_coloured_by(stage, page, mapped):
    """Another choice changes the legend and the address; who opens the address sees the same."""
    page.get_by_label("Colour by").select_option("time")
    expect(page).to_have_url(re.compile(r"by=time"))
    expect(page.locator(".map-legend li").first).to_contain_text("20")
    page.goto(f"{mapped.url}/map?by=bucket")
    expect(page.locator(".map-legend li")).to_have_count(1)
    expect(page.locator(".map-legend li")).to_contain_text("photos")
    page.goto(f"{mapped.url}/map?by=nonsense")
    expect(page.get_by_role("alert")).to_contain_text("choose tag:TAXONOMY")


def test_a_point_shows_its_image(stage, page, mapped):
    """Under the pointer its picture and tags; clicked, it stays, with a link to everything known of it."""
    page.mouse.move(*a_dot(stage))
    card = page.locator(".map-card")
    expect(card.locator("img")).to_be_visible()
    expect(card).to_contain_text("colour")
    page.mouse.down()
    page.mouse.up()
    page.mouse.move(2, 2)
    key = card.locator(".map-key").inner_text()
    page.get_by_role("link", name="Open the image").click()
    expect(page).to_have_url(re.compile(r"/image\?"))
    assert 200 == mapped.api.get(f"/v1/images/photos/{key}", token=None).status


def test_an_outline_leads_to_the_review(stage, page):
    """Images inside of it are counted; the review page gets them, in this tab's memory, and is opened."""
    page.get_by_role("button", name="Outline").click()
    outline(stage, (0.05, 0.1), (0.5, 0.1), (0.5, 0.95), (0.05, 0.95))
    some = chosen(page)
    assert 0 < some < 10_000
    page.get_by_role("button", name=re.compile("Review")).click()
    expect(page).to_have_url(re.compile(r"/review\?from=selection"))
    kept = json.loads(page.evaluate("sessionStorage.getItem('enrich.selection')"))
    assert min(some, 1_000) == len(kept)
    assert {"bucket", "key"} == set(kept[0])
    assert len(kept) == len({each["key"] for each in kept})


def test_shift_draws_an_outline_without_the_button(stage, page):
    """And a drag without it moves the map, which chooses nothing."""
    outline(stage, (0.2, 0.2), (0.8, 0.2), (0.8, 0.8))
    expect(page.locator(".map-chosen")).to_have_count(0)
    page.keyboard.press("0")
    page.keyboard.down("Shift")
    outline(stage, (0.98, 0.5), (0.98, 0.98), (0.02, 0.98), (0.02, 0.01), (0.98, 0.01))
    page.keyboard.up("Shift")
    assert 10_000 == chosen(page)


def test_everything_can_be_done_with_keys(stage, page):
    """Move, zoom, choose what is in view, show the image in the middle, choose nothing."""
    stage.focus()
    page.keyboard.press("v")
    assert 10_000 == chosen(page)
    page.keyboard.press("Escape")
    expect(page.locator(".map-chosen")).to_have_count(0)
    before = dots(stage)
    page.keyboard.press("ArrowRight")
    assert (dots(stage) != before).any()
    page.keyboard.press("i")
    expect(page.get_by_role("dialog", name="Image of the point")).to_contain_text("Open the image")
    page.keyboard.press("Escape")
    page.keyboard.press("+")
    page.keyboard.press("v")
    assert 0 < chosen(page) < 10_000
    page.keyboard.press("0")
    page.keyboard.press("v")
    assert 10_000 == chosen(page)


def test_hidden_images_are_not_chosen(stage, page):
    """What one does not see is not reviewed."""
    page.get_by_role("button", name="Show only red").click()
    page.get_by_role("button", name="Choose visible").click()
    entry = page.locator(".map-legend li").filter(has_text="red")
    assert int(entry.locator(".number").inner_text().replace(",", "")) == chosen(page)


def test_the_wheel_zooms_where_the_pointer_is(stage, page):
    """The point under the pointer stays under it, while others move away."""
    before = dots(stage)
    at = a_dot(stage)
    box = stage.bounding_box()
    page.mouse.move(*at)
    for _ in range(3):
        page.mouse.wheel(0, -300)
    after = dots(stage)
    x, y = round(at[0] - box["x"]), round(at[1] - box["y"])
    assert after[y - 4 : y + 5, x - 4 : x + 5].any()
    assert 0 < (before & after).sum() < before.sum() / 2


def test_without_webgl_there_is_a_message(mapped, page):
    """What is missing, and where else to find the images."""
    page.add_init_script("""
        const getContext = HTMLCanvasElement.prototype.getContext;
        HTMLCanvasElement.prototype.getContext = function (kind, ...rest) {
          return kind === "webgl2" ? null : getContext.call(this, kind, ...rest);
        };
    """)
    page.goto(f"{mapped.url}/map")
    expect(page.get_by_text("The map needs WebGL 2")).to_be_visible()
    page.get_by_role("main").get_by_role("link", name="Search").click()
    expect(page).to_have_url(f"{mapped.url}/")


def test_an_error_can_be_tried_again(mapped, page):
    """A request that failed is named in the API's words; once it succeeds, the map is there."""
    refusal = json.dumps({"title": "Service Unavailable", "status": 503, "detail": "the database is away"})
    page.route("**/points?*", lambda route: route.fulfill(status=503, body=refusal, content_type="application/json"))
    page.goto(f"{mapped.url}/map")
    expect(page.get_by_role("alert")).to_contain_text("the database is away")
    page.unroute("**/points?*")
    page.get_by_role("button", name="Try again").click()
    expect(page.get_by_role("application")).to_be_visible()
    assert dots(page.locator(STAGE)).sum() > 2_000


def test_a_lost_graphics_card_comes_back(stage, page):
    """As after a phone has slept: everything is drawn again."""
    before = dots(stage).sum()
    page.evaluate("""
        const canvas = document.querySelector(".map-stage canvas");
        const lose = canvas.getContext("webgl2").getExtension("WEBGL_lose_context");
        lose.loseContext();
        new Promise((done) => setTimeout(() => { lose.restoreContext(); setTimeout(done, 300); }, 300));
    """)
    expect(page.get_by_role("application")).to_be_visible()
    assert before == dots(stage).sum()


def test_a_phone_has_room_for_it(mapped, chromium):
    """Nothing is wider than the screen; a tap shows an image, and a finger moves the map."""
    context: BrowserContext = chromium.new_context(
        viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True
    )
    page = context.new_page()
    page.goto(f"{mapped.url}/map")
    expect(page.get_by_role("checkbox")).not_to_have_count(0)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.touchscreen.tap(*a_dot(page.locator(STAGE)))
    expect(page.locator(".map-card")).to_contain_text("Open the image")
    context.close()


def test_new_images_can_be_placed(own_site, page):
    """The page says how many are not on the map, and has them placed; the map then has them."""
    requests.request(own_site.engine, requests.MapRequest(method="pca", sample=1_000))
    assert 0 == run_requested(own_site.engine)
    image = enriched_image("new.webp", vector=ColourEncoder().encode_texts(["red"])[0])
    with transaction(own_site.engine) as connection:
        [space] = catalog.spaces.all_spaces(connection)
        catalog.write.save_images(connection, space_id=space.id, images=[image])
    page.goto(f"{own_site.url}/map")
    expect(page.get_by_text("1 new image is not on it yet")).to_be_visible()
    page.get_by_role("button", name="Place them").click()
    expect(page.get_by_text("New images are being placed")).to_be_visible()
    assert 0 == run_requested(own_site.engine)
    expect(page.get_by_text("10,001 images")).to_be_visible()
