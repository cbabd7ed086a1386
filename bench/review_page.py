"""How many decisions one person makes on the page Review: ``python -m bench.review_page [--decisions 500]``.

Drives chromium with key events at a person's pace: a look at each row of pictures, arrow keys to what is wrong, Space,
Enter. Catalog and API are those of the pages' tests; pictures are made from their files when they are first shown.
"""

from __future__ import annotations

import argparse
import random
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import psycopg2
from playwright.sync_api import Page, Request, sync_playwright

from tests.api_services import services_of
from tests.integration.api.live import serve
from tests.memory_store import MemoryStore
from tests.pages import catalog as pages_catalog
from tests.servers import start_servers
from worker import catalog, db
from worker.api import Tokens
from worker.local.stack import Part
from worker.web import Pages

#: Seconds: a look at a row of pictures, and from one key to the next.
ROW, KEY = 0.9, 0.12
#: One picture of so many is marked.
WRONG = 25
_IMAGES = 4_000
_LOADED = """() => { const all = [...document.querySelectorAll(".tile img")];
    return all.length && all.every((each) => each.complete && each.naturalWidth) && performance.now(); }"""


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What one run came to."""

    decisions: int
    stored: int  # in PostgreSQL
    marked: int
    rejected: int  # in PostgreSQL
    seconds: float
    turns: Sequence[float]  # seconds from Enter until all pictures of the next page are drawn
    requests: Counter[str]


def main() -> None:
    """Run, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--decisions", type=int, default=500, help="how many to make")
    wanted = parser.parse_args().decisions
    with _site() as (url, database):
        found = _driven(url, database, wanted)
    for line in _table(found):
        print(line)
    if (found.decisions, found.marked) != (found.stored, found.rejected):
        raise SystemExit("not everything that was decided is stored")


@contextmanager
def _site() -> Iterator[tuple[str, str]]:
    """A running API with pages: its address, and the database's."""
    with tempfile.TemporaryDirectory() as folder, start_servers(Path(folder) / "servers", [Part.DATABASE]) as servers:
        Path(folder).chmod(0o755)
        engine = db.connect(servers.database_url, name="pages", pool_size=10)
        catalog.schema.migrate(engine)
        store = MemoryStore(pages_catalog.BUCKET)
        pages_catalog.fill(engine, store, images=_IMAGES, scenes=True)
        services = services_of(engine, store, Path(folder) / "previews", notify=lambda: None, tokens=Tokens())
        with serve(services, Pages().routes()) as api:
            yield f"http://127.0.0.1:{api.port}", servers.database_url
        engine.dispose()


def _driven(url: str, database: str, wanted: int) -> Measured:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=_chromium(), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        page.add_init_script("localStorage.setItem('enrich.reviewer', 'ada')")
        requests: Counter[str] = Counter()
        page.on("request", lambda request: requests.update([_kind(request)]))
        _begin(page, url)
        person = _Person(page)
        requests.clear()
        started, turns = time.monotonic(), []
        while person.decided < wanted:
            person.look()
            turns.append(_turn(page))
        seconds = time.monotonic() - started
        page.wait_for_function("!Object.keys(localStorage).some((key) => key.startsWith('enrich.unsent'))")
        stored, rejected = _stored(database)
        browser.close()
    return Measured(
        decisions=person.decided, stored=stored, marked=person.marked, rejected=rejected, seconds=seconds, turns=turns,
        requests=requests,
    )  # fmt: skip


def _begin(page: Page, url: str) -> None:
    """A review plan for .98: enough images for a whole hour."""
    page.goto(f"{url}/review?taxonomy=colour&label=red")
    page.get_by_label("Prove").select_option("0.98")
    page.get_by_role("button", name="Start").click()
    page.wait_for_function(_LOADED)


class _Person:
    """Looks, moves the focus by arrow keys, and marks."""

    def __init__(self, page: Page) -> None:
        self._page, self._random = page, random.Random(7)
        self.decided = self.marked = 0

    def look(self) -> None:
        """At all rows of the page in view; marks what is wrong."""
        count = self._page.locator(".tile").count()
        columns = int(self._page.locator(".tiles").get_attribute("data-columns") or 1)
        at = 0
        for row in range(0, count, columns):
            time.sleep(ROW)
            for place in range(row, min(row + columns, count)):
                if self._random.randrange(WRONG) == 0:
                    at = self._mark(at, place, columns)
        self.decided += count

    def _mark(self, at: int, place: int, columns: int) -> int:
        down, right = place // columns - at // columns, place % columns - at % columns
        self._press("ArrowDown", down)
        self._press("ArrowRight" if right > 0 else "ArrowLeft", abs(right))
        self._press(" ", 1)
        self.marked += 1
        return place

    def _press(self, key: str, times: int) -> None:
        for _ in range(times):
            time.sleep(KEY)
            self._page.keyboard.press(key)


def _turn(page: Page) -> float:
    """Record the page; seconds until the next one is drawn."""
    time.sleep(KEY)
    before = page.locator(".tile").first.get_attribute("aria-label")
    started = time.monotonic()
    page.keyboard.press("Enter")
    changed = "before => document.querySelector('.tile')?.ariaLabel !== before"
    page.wait_for_function(changed, arg=before)
    page.wait_for_function(_LOADED)
    return time.monotonic() - started


def _stored(database: str) -> tuple[int, int]:
    """Decisions, and how many of them reject."""
    with psycopg2.connect(database) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT count(*), count(*) FILTER (WHERE verdict = 'reject') FROM decisions")
        [row] = cursor.fetchall()
    return row[0], row[1]


def _kind(request: Request) -> str:
    path = request.url.split("?")[0].partition("/v1/")[2]
    return f"{request.method} {path.split('/')[0] or 'files of the page'}"


def _chromium() -> str:
    found = shutil.which("chromium") or shutil.which("google-chrome")
    if found is None:
        raise SystemExit("needs chromium: `apt-get install chromium`")
    return found


def _table(found: Measured) -> Iterator[str]:
    turns, pace = sorted(found.turns), 60 * found.decisions / found.seconds
    yield f"decisions               {found.decisions} in {found.seconds:.0f} s: {pace:.0f} a minute"
    yield f"stored                  {found.stored}, {found.rejected} of them rejected ({found.marked} were marked)"
    yield f"pages                   {len(turns)}"
    yield f"from Enter to pictures  median {1000 * median(turns):.0f} ms, longest {1000 * turns[-1]:.0f} ms"
    for kind, number in sorted(found.requests.items()):
        yield f"{kind:<38} {number}"


if __name__ == "__main__":
    main()
