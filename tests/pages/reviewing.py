"""What tests of the review do on its page."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING

from playwright.sync_api import Page, expect
from sqlalchemy import text

if TYPE_CHECKING:  # whose fixtures use this module
    from tests.pages.conftest import Site

#: Of the most uncertain.
QUEUE = "review?taxonomy=colour&label=red&queue=uncertain"


def known(page: Page, name: str) -> None:
    kept = f"localStorage.setItem('enrich.reviewer', '{name}'); localStorage.setItem('enrich.review.size', '12')"
    page.add_init_script(kept)


def opened(page: Page, url: str) -> None:
    page.goto(url)
    expect(tiles(page)).to_have_count(12)


def tiles(page: Page):
    return page.locator(".tile")


def keys_of(page: Page) -> list[str]:
    """Of the images in view."""
    return [label.split(":")[0] for label in tiles(page).evaluate_all("all => all.map((e) => e.ariaLabel)")]


_STANDING = """
    SELECT verdict, label FROM decisions d
    WHERE verdict <> 'undo' AND NOT EXISTS (SELECT FROM decisions u WHERE u.undoes = d.id)
"""


def stored(site: Site) -> Counter[tuple[str, str | None]]:
    """Verdict and label → standing decisions."""
    with site.engine.connect() as connection:
        return Counter((row.verdict, row.label) for row in connection.execute(text(_STANDING)))


def settle(page: Page, expected: object, now: Callable[[], object]) -> None:
    """Wait until something is as expected: the page sends decisions in the background."""
    ends = time.monotonic() + 20
    while now() != expected and time.monotonic() < ends:
        page.wait_for_timeout(50)
    assert expected == now()
