"""The pages on a catalog of ten thousand images, in the system's chromium."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from tests.api_services import services_of
from tests.integration.api.live import LiveApi, serve
from tests.memory_store import MemoryStore
from tests.pages import catalog as pages_catalog
from tests.pages.reviewing import known
from tests.servers import RunningServers
from worker import db
from worker.api import Tokens
from worker.db import Engine
from worker.web import Pages

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
#: WebGL without a GPU, for the map.
FLAGS = ("--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader")
#: Images of reviews, none of which is like another.
_SCENES = 2_400
#: Milliseconds: busy machines are slow, and what never comes need not be noticed soon.
_PATIENCE = 20_000
expect.set_options(timeout=_PATIENCE)
TOKENS = Tokens(admin="admin-0123456789", review="review-0123456789", read="read-0123456789")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Without a browser, all tests of pages are skipped, and say why."""
    for item in items:
        if "tests/pages" in item.path.as_posix() and "browser_context" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.browser)
            if CHROMIUM is None:
                item.add_marker(pytest.mark.skip(reason="needs chromium: `apt-get install chromium`"))


@dataclass(frozen=True, kw_only=True)
class Site:
    """A running API with pages, and what is behind it."""

    api: LiveApi
    engine: Engine
    store: MemoryStore

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.api.port}"


@pytest.fixture(scope="session")
def filled_catalog(
    postgres: RunningServers, migrated: str, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, MemoryStore]:
    """Name of a template database with ten thousand images, and the store that has their files."""
    store = MemoryStore(pages_catalog.BUCKET)

    def fill(url: str) -> None:
        engine = db.connect(url, name="test", pool_size=2)
        pages_catalog.fill(engine, store)
        engine.dispose()

    return postgres.create_template("filled", fill, template=migrated), store


def serve_site(
    postgres: RunningServers, filled: tuple[str, MemoryStore], folder: Path, tokens: Tokens
) -> Iterator[Site]:
    """An API with pages on a copy of a template.

    Args:
        postgres: has the template.
        filled: its name, and the store that has the files.
        folder: keeps previews.
        tokens: that let clients in.
    """
    template, store = filled
    with postgres.fresh_database(template=template) as url:
        engine = db.connect(url, name="test", pool_size=10)
        services = services_of(engine, store, folder, notify=lambda: None, tokens=tokens)
        with serve(services, Pages().routes()) as api:
            yield Site(api=api, engine=engine, store=store)
        engine.dispose()


@pytest.fixture(scope="module")
def site(
    postgres: RunningServers, filled_catalog: tuple[str, MemoryStore], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    """Without tokens, as on one's own machine; shared by the tests of a module."""
    yield from serve_site(postgres, filled_catalog, tmp_path_factory.mktemp("previews"), Tokens())


@pytest.fixture
def own_site(
    postgres: RunningServers, filled_catalog: tuple[str, MemoryStore], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    """The same for one test alone, which may change what it wants."""
    yield from serve_site(postgres, filled_catalog, tmp_path_factory.mktemp("previews"), Tokens())


@pytest.fixture(scope="module")
def guarded_site(
    postgres: RunningServers, filled_catalog: tuple[str, MemoryStore], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    """With tokens: nothing is shown before a login."""
    yield from serve_site(postgres, filled_catalog, tmp_path_factory.mktemp("previews"), TOKENS)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """Of one module: while it is there, an event loop runs in this thread, which other tests need for themselves."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        yield browser
        browser.close()


@pytest.fixture
def browser_context(chromium: Browser) -> Iterator[BrowserContext]:
    """A profile of its own, of a laptop's size."""
    context = chromium.new_context(viewport={"width": 1280, "height": 800})
    context.set_default_timeout(_PATIENCE)
    yield context
    context.close()


@pytest.fixture
def page(browser_context: BrowserContext) -> Iterator[Page]:
    """A tab. An error in a script, or a refusal by the content policy, fails the test that caused it."""
    tab = browser_context.new_page()
    faults: list[str] = []
    tab.on("pageerror", lambda error: faults.append(str(error)))
    tab.on("console", lambda said: faults.append(said.text) if "Content Security Policy" in said.text else None)
    yield tab
    assert [] == faults


@pytest.fixture(scope="session")
def scenes(postgres: RunningServers, migrated: str) -> tuple[str, MemoryStore]:
    """A template with images none of which is a near-duplicate of another, and the store that has their files."""
    store = MemoryStore(pages_catalog.BUCKET)

    def fill(url: str) -> None:
        engine = db.connect(url, name="test", pool_size=2)
        pages_catalog.fill(engine, store, images=_SCENES, scenes=True)
        engine.dispose()

    return postgres.create_template("scenes", fill, template=migrated), store


@pytest.fixture
def review_site(postgres: RunningServers, scenes: tuple[str, MemoryStore], tmp_path_factory) -> Iterator[Site]:
    """A catalog of scenes for one test alone, without tokens."""
    yield from serve_site(postgres, scenes, tmp_path_factory.mktemp("previews"), Tokens())


@pytest.fixture(scope="module")
def guarded_review(postgres: RunningServers, scenes: tuple[str, MemoryStore], tmp_path_factory) -> Iterator[Site]:
    """The same with tokens."""
    yield from serve_site(postgres, scenes, tmp_path_factory.mktemp("previews"), TOKENS)


@pytest.fixture
def reviewer(page: Page) -> Page:
    """A tab of a person whose name is known, with twelve pictures on each page."""
    known(page, "ada")
    return page
