"""A live API on a database of each test's own."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.api_services import services_of
from tests.factories import enriched_image
from tests.fakes import ColourEncoder
from tests.integration.api.live import TOKEN, LiveApi, serve
from tests.ledger import hints
from tests.memory_store import MemoryStore
from tests.servers import RunningServers
from worker import catalog, db, ledger, outbox
from worker.api import Services, Tokens
from worker.db import Engine, transaction
from worker.ledger.completion import Completion, QuarantineRecord
from worker.outbox import NewEntry
from worker.pipeline.spaces.model_loading import space_spec
from worker.types import Outcome, Reason


class FakeWakeUp:
    """Counts rings."""

    def __init__(self) -> None:
        self.rung = threading.Event()

    def __call__(self) -> None:
        self.rung.set()


@pytest.fixture
def wake_up() -> FakeWakeUp:
    return FakeWakeUp()


def _services(engine: Engine, wake_up: FakeWakeUp, folder: Path) -> Services:
    return services_of(engine, MemoryStore("photos"), folder, notify=wake_up, tokens=Tokens(admin=TOKEN))


@pytest.fixture
def services(engine: Engine, wake_up: FakeWakeUp, tmp_path: Path) -> Services:
    return _services(engine, wake_up, tmp_path)


@pytest.fixture
def api(services: Services) -> Iterator[LiveApi]:
    with serve(services) as live:
        yield live


@pytest.fixture(scope="module")
def shared_api(postgres: RunningServers, migrated: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveApi]:
    """One for all tests of a module: for those that do not mind what others left in its database."""
    with postgres.fresh_database(template=migrated) as url:
        engine = db.connect(url, name="test", pool_size=10)
        with serve(_services(engine, FakeWakeUp(), tmp_path_factory.mktemp("previews"))) as live:
            yield live
        engine.dispose()


@pytest.fixture
def open_api(services: Services) -> Iterator[LiveApi]:
    """Without a token, as on a developer's loopback."""
    with serve(replace(services, tokens=Tokens())) as live:
        yield live


@pytest.fixture
def enriched(engine: Engine):
    """Puts images into the catalog as a worker's batch would: vector, tags, feed."""

    def write(*images: catalog.write.EnrichedImage) -> None:
        with transaction(engine) as connection:
            space = catalog.spaces.ensure(connection, space_spec(ColourEncoder()))
            catalog.write.save_images(connection, space_id=space.id, images=images)
            outbox.append(connection, [NewEntry(kind="enriched", ref=i.info.ref, etag=i.info.etag) for i in images])

    return write


@pytest.fixture
def gallery(enriched) -> None:
    """A red picture by day, a green one by night, and a blue one nobody could date."""
    axes = {"red.jpg": (0, "day"), "2026/green.jpg": (1, "night"), "blue.jpg": (2, None)}
    vectors = ColourEncoder().encode_texts(["red", "green", "blue"])
    enriched(*(enriched_image(key, label=label, vector=vectors[axis]) for key, (axis, label) in axes.items()))


@pytest.fixture
def ended(engine: Engine):
    """Ends an object's work otherwise than in the catalog."""

    def finish(key: str, outcome: Outcome) -> None:
        with transaction(engine) as connection:
            ledger.hints.hint(connection, hints(key))
            taken = ledger.claims.claim(connection, worker="test", size=1, lease=60)
            assert taken is not None
            [held] = ledger.completion.lock(connection, taken.token, [each.id for each in taken.objects])
            why = QuarantineRecord(reason=Reason.TRUNCATED, message="the file ends early", attempts=1)
            quarantine = why if outcome is Outcome.QUARANTINED else None
            ledger.completion.complete(
                connection, taken.token, [Completion(id=held, outcome=outcome, quarantine=quarantine)]
            )

    return finish
