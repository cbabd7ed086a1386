"""The taxonomies page as a person uses it: write, look, save, plan, apply, and go back."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from tests.pages.axe import violations
from tests.pages.conftest import TOKENS, Site
from tests.waiting import until
from worker.tagging import parse_files

WOULD = re.compile(r"Would tag [\d,]+ of 2,000 sampled images, so about [\d,]+ \([\d,]+–[\d,]+\) of 10,000")
#: Texts that YAML parsers read differently unless they are quoted, or escaped.
ODD = [
    "yes", "null", "1", "1.5", "- a", "a: b", "a #b", "#x", "'q'", '"q"', "a\\nb", "\u2028x", "\u0085x", "\ufeffx",
    "é ü 日",
    "{a}", "[a]", "*x", "&x", "!x", "%x", "@x", "`x`", "~", "? x", "| x", "> x", "a,b", "2020-01-01", "0x10",
    "a" * 300, "\U0001f600",
]  # fmt: skip


def write(page: Page, site: Site, name: str, **labels: str) -> None:
    """Open a new taxonomy and type it."""
    page.goto(f"{site.url}/taxonomies?new=1")
    page.get_by_label("Name").fill(name)
    for number, (label, prompts) in enumerate(labels.items()):
        if number >= 2:
            page.get_by_role("button", name="Add a label").click()
        page.get_by_label("Label", exact=True).nth(number).fill(label)
        page.get_by_label(f"Prompts of {label}").fill(prompts)


def would_tag(page: Page) -> int:
    """Images of the sample that would be tagged."""
    found = re.search(r"Would tag ([\d,]+) of", page.get_by_role("status").filter(has_text="Would tag").inner_text())
    assert found is not None
    return int(found[1].replace(",", ""))


def settled(page: Page) -> None:
    """Wait for the answer to what was typed."""
    expect(page.locator(".summary")).to_be_visible()
    expect(page.locator(".summary.stale")).to_have_count(0)


def followed(site: Site) -> None:
    """Wait until stored tags follow the revision in force."""
    until(lambda: (site.api.get("/v1/taxonomies").json["retagging"] or {}).get("finished_at"))


def test_what_is_in_force_is_listed(site, page):
    """With labels and their images, and what is known about its precision."""
    page.goto(f"{site.url}/taxonomies")
    card = page.get_by_role("listitem").filter(has=page.get_by_role("heading", name="colour"))
    for text in (
        "3 labels",
        "one label at most",
        "unproven",
        "no numbers for this model",
        "red 3.3K",
        "none of these 97",
    ):
        expect(card).to_contain_text(text)
    card.get_by_role("link", name="green").click()
    expect(page).to_have_url(f"{site.url}/taxonomies?open=colour&label=green")
    expect(page.get_by_role("region", name="green: likeliest").get_by_role("img")).to_have_count(6)


def test_typing_shows_what_a_taxonomy_does(site, page):
    """Histograms with thresholds, images at both ends and at the threshold, and how many would be tagged."""
    write(page, site, "paint", red="red", green="green")
    settled(page)
    expect(page.locator(".would")).to_have_text(WOULD)
    page.get_by_label("Prompts of red").focus()
    for title in ("likeliest", "just above the threshold", "just below the threshold", "least likely"):
        expect(page.get_by_role("region", name=f"red: {title}").get_by_role("link")).to_have_count(6)
    histogram = page.get_by_role("img", name=re.compile(r"^red: [\d,]+ of 2,000 images at or above 0.5$"))
    expect(histogram).to_be_visible()
    before = would_tag(page)
    slider = page.get_by_label("Threshold of red")
    for _ in range(5):
        slider.press("ArrowRight")
    expect(page.get_by_role("img", name=re.compile("^red: .* at or above 0.55$"))).to_be_visible()
    slider.fill("1")
    expect(page.get_by_role("img", name="red: 0 of 2,000 images at or above 1")).to_be_visible()
    settled(page)
    assert 0 < would_tag(page) < before
    page.get_by_role("button", name="Use the taxonomy's").click()
    expect(histogram).to_be_visible()


def test_fast_typing_asks_once(site, page):
    """After a pause, and only for what was typed last."""
    write(page, site, "paint", red="red")
    settled(page)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.post_data or "") if "trials" in request.url else None)
    page.get_by_label("Prompts of red").press_sequentially("\na picture of a red thing", delay=5)
    expect(page.locator(".summary.stale")).to_have_count(1)
    settled(page)
    assert [True] == ["a picture of a red thing" in each for each in asked]


def test_a_refusal_stands_at_its_field(site, page):
    """In the words of the API, without lines and paths; what was tried before stays."""
    write(page, site, "paint", red="red", green="green")
    settled(page)
    page.get_by_label("Prompts of green").fill("red")
    row = page.get_by_role("listitem").filter(has=page.get_by_label("Prompts of green"))
    expect(row.get_by_role("alert")).to_contain_text("'red' is a prompt of labels.red")
    page.get_by_label("Prompts of green").fill("green")
    expect(page.get_by_role("alert")).to_have_count(0)
    page.get_by_label("Name").fill("Paint!")
    expect(page.get_by_role("alert")).to_contain_text("'Paint!' does not fit")
    page.get_by_role("button", name="Plan").click()
    expect(page.get_by_role("heading", name="New taxonomy")).to_be_visible()
    expect(page.locator("label", has_text="Name").get_by_role("alert")).to_contain_text("does not fit")


def test_a_new_label_waits_until_it_has_a_prompt(site, page):
    """Keys add and leave labels; the rest is tried meanwhile, and removing one can be undone."""
    page.goto(f"{site.url}/taxonomies?open=colour")
    settled(page)
    page.locator("h1").click()
    page.keyboard.press("n")
    expect(page.get_by_label("Label", exact=True).nth(3)).to_be_focused()
    page.keyboard.type("black")
    expect(page.get_by_text("Needs a name and a prompt.")).to_be_visible()
    settled(page)
    page.get_by_role("button", name="Remove black").click()
    expect(page.get_by_label("Label", exact=True)).to_have_count(3)
    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_label("Label", exact=True).nth(3)).to_have_value("black")
    page.reload()
    expect(page.get_by_label("Label", exact=True).nth(3)).to_have_value("black")
    page.get_by_role("button", name="Discard changes").click()
    expect(page.get_by_label("Label", exact=True)).to_have_count(3)


def test_keys_move_between_labels(site, page):
    """Enter writes into a label, and Escape leaves it, so that keys are shortcuts again."""
    page.goto(f"{site.url}/taxonomies?open=colour")
    settled(page)
    page.locator("h1").click()
    page.keyboard.press("j")
    page.keyboard.press("j")
    expect(page.get_by_role("region", name="blue: likeliest")).to_be_visible()
    page.keyboard.press("k")
    expect(page.get_by_role("region", name="green: likeliest")).to_be_visible()
    page.keyboard.press("Enter")
    expect(page.get_by_label("Label", exact=True).nth(1)).to_be_focused()
    page.keyboard.press("Escape")
    page.keyboard.press("k")
    expect(page.get_by_role("region", name="red: likeliest")).to_be_visible()
    expect(page.get_by_label("Label", exact=True).nth(1)).to_have_value("green")


def test_it_is_saved_as_a_file(site, page):
    """That the command line reads as the same taxonomy, whatever was typed."""
    write(page, site, "odd", **{"yes": "\n".join(ODD), "a b: c": "red\n  blue  \n\n"})
    page.get_by_text("More: title, mode").click()
    page.get_by_label("Background").fill("nothing: at all\nno")
    page.get_by_label("An image gets").select_option("multi-label")
    with page.expect_download() as found:
        page.get_by_role("button", name="Save as file").click()
    assert "odd.yaml" == found.value.suggested_filename
    [read] = parse_files({"odd.yaml": found.value.path().read_text("utf-8")})
    first, second = read.taxonomy.labels
    assert ("yes", "a b: c", "multi-label") == (first.name, second.name, read.taxonomy.mode)
    assert ("red", "blue") == second.prompts
    assert ("nothing: at all", "no") == read.taxonomy.background
    assert len(ODD) == len(first.prompts)
    assert {each for each in ODD if each.isprintable()} <= set(first.prompts)


def test_a_taxonomy_in_force_is_saved_as_it_was_written(site, page):
    """Opening and saving changes nothing."""
    page.goto(f"{site.url}/taxonomies?open=colour")
    settled(page)
    expect(page.get_by_text("no tag would change")).to_be_visible()
    with page.expect_download() as found:
        page.get_by_role("button", name="Save as file").click()
    [read] = parse_files({"colour.yaml": found.value.path().read_text("utf-8")})
    assert site.api.get("/v1/taxonomies/colour").json["version"] == read.taxonomy.version


def test_a_change_is_planned_applied_and_taken_back(own_site, page):
    """The plan shows pictures of each change, applying asks, and the history leads back."""
    page.goto(f"{own_site.url}/taxonomies?open=colour")
    settled(page)
    page.get_by_label("Threshold of red").fill("0.99")
    page.get_by_role("button", name="Plan").click()
    change = page.locator(".change", has_text="red → none of these")
    expect(change.get_by_role("img")).to_have_count(5)
    page.get_by_role("button", name="Apply …").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text(re.compile(r"[\d,]+ images gain or lose a label"))
    dialog.get_by_role("button", name="Cancel").click()
    page.get_by_role("button", name="Apply …").click()
    dialog.get_by_role("button", name="Apply", exact=True).click()
    expect(page.get_by_text("Revision 2 is in force.")).to_be_visible()
    expect(page).to_have_url(f"{own_site.url}/taxonomies")
    followed(own_site)
    expect(page.get_by_text("Stored tags follow revision 2")).to_have_count(0)
    expect(page.get_by_role("link", name="red")).to_have_count(0)

    page.get_by_role("link", name="History").click()
    expect(page.get_by_role("heading", name="Revision 2 in force")).to_be_visible()
    page.get_by_role("button", name="Go back to this …").click()
    page.get_by_role("button", name="Go back …").click()
    page.get_by_role("dialog").get_by_role("button", name="Go back").click()
    expect(page.get_by_text("Revision 3 is in force.")).to_be_visible()
    followed(own_site)
    [newest] = own_site.api.get("/v1/taxonomy-revisions?limit=1").json["revisions"]
    assert (3, "rollback", 1) == (newest["id"], newest["action"], newest["back_to"])


def test_a_new_taxonomy_is_put_into_force_and_removed(own_site, page):
    """Without asking twice, and with all of its tags."""
    write(page, own_site, "warmth", warm="red", cold="blue")
    settled(page)
    page.get_by_role("button", name="Plan").click()
    expect(page.locator("h2", has_text="warmth")).to_contain_text("new")
    page.get_by_role("button", name="Apply …").click()
    page.get_by_role("dialog").get_by_role("button", name="Apply").click()
    followed(own_site)
    page.get_by_role("link", name="warmth").click()
    settled(page)
    page.get_by_role("button", name="Remove …").click()
    expect(page.locator("h2", has_text="warmth")).to_contain_text("removed")
    page.locator(".plan").get_by_role("button", name="Remove …").click()
    page.get_by_role("dialog").get_by_role("button", name="Remove").click()
    expect(page.get_by_text("Revision 3 is in force.")).to_be_visible()
    followed(own_site)
    assert ["colour"] == [each["name"] for each in own_site.api.get("/v1/taxonomies").json["taxonomies"]]


def test_a_token_for_reading_tries_but_changes_nothing(guarded_site, page):
    """What would be refused is not offered."""
    page.goto(f"{guarded_site.url}/taxonomies?open=colour")
    page.get_by_label("Token").fill(TOKENS.read)
    page.keyboard.press("Enter")
    page.goto(f"{guarded_site.url}/taxonomies?open=colour")
    settled(page)
    expect(page.get_by_text("Your token may look and try.")).to_be_visible()
    for name in ("Plan", "Remove …"):
        expect(page.get_by_role("button", name=name, exact=True)).to_have_count(0)
    page.goto(f"{guarded_site.url}/taxonomies?view=history")
    expect(page.get_by_role("heading", name="Revision 1")).to_be_visible()
    expect(page.get_by_role("button", name=re.compile("Go back"))).to_have_count(0)


def test_an_api_that_is_away_is_said_and_tried_again(site, page):
    """The draft stays."""
    write(page, site, "paint", red="red", green="green")
    settled(page)
    page.route("**/v1/taxonomy-trials", lambda route: route.abort())
    page.get_by_label("Prompts of red").fill("a red thing")
    expect(page.get_by_role("alert")).to_contain_text("The API does not answer")
    page.unroute("**/v1/taxonomy-trials")
    page.get_by_role("button", name="Try again").click()
    settled(page)
    expect(page.get_by_label("Prompts of red")).to_have_value("a red thing")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everybody_can_use_it(site, page, scheme):
    """axe finds nothing serious: in the list, the editor with a refusal, the plan with its question, the history."""
    page.emulate_media(color_scheme=scheme)
    page.goto(f"{site.url}/taxonomies")
    expect(page.get_by_role("link", name="green")).to_be_visible()
    found = violations(page)
    page.goto(f"{site.url}/taxonomies?open=colour")
    settled(page)
    page.get_by_text("More: title, mode").click()
    page.get_by_role("button", name="get none").click()
    found += violations(page)
    page.get_by_label("Prompts of red").fill("a green picture")
    expect(page.get_by_role("alert")).to_be_visible()
    found += violations(page)
    page.get_by_label("Prompts of red").fill("a red thing that is green")
    settled(page)
    page.get_by_role("button", name="Plan").click()
    expect(page.locator(".change").first).to_be_visible()
    found += violations(page)
    page.get_by_role("button", name="Apply …").click()
    found += violations(page)
    page.goto(f"{site.url}/taxonomies?view=history")
    expect(page.get_by_role("heading", name="Revision 1")).to_be_visible()
    assert [] == found + violations(page)


@pytest.mark.parametrize(
    "address", ["taxonomies", "taxonomies?open=colour", "taxonomies?new=1", "taxonomies?view=history"]
)
def test_a_phone_shows_it_without_scrolling_sideways(site, page, address):
    """At 390 pixels."""
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(f"{site.url}/{address}")
    page.wait_for_load_state("networkidle")
    expect(page.locator("h1")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_a_sample_as_large_as_the_catalog_is_exact(site, page):
    """Numbers have no interval then."""
    page.goto(f"{site.url}/taxonomies?open=colour")
    settled(page)
    page.get_by_label("Sample").select_option("10000")
    expect(page.locator(".would")).to_have_text(re.compile(r"^Would tag 9,903 of 10,000\s+images$"))
