"""A space becomes the active one while others write, however many they are."""

from __future__ import annotations

import threading
import time

from tests.factories import spec
from worker import catalog
from worker.db import transaction

WRITERS, EACH = 6, 0.1


def test_activating_waits_for_writers_that_are_there_and_not_for_those_that_come(engine):
    """Each tells by the active space whether its vectors are news; there is always one of them under way."""
    with transaction(engine) as connection:
        catalog.spaces.ensure(connection, spec())
        other = catalog.spaces.ensure(connection, spec("other"))
    stop = threading.Event()
    seen: list[list[int]] = []

    def write() -> None:
        while not stop.is_set():
            with transaction(engine) as connection:
                catalog.spaces.hold_active(connection)
                active = [catalog.spaces.active(connection)]
                time.sleep(EACH)
                active.append(catalog.spaces.active(connection))
            seen.append([each.id for each in active if each is not None])

    writers = [threading.Thread(target=write) for _ in range(WRITERS)]
    for writer in writers:
        writer.start()
        time.sleep(EACH / WRITERS)
    begun = time.monotonic()
    try:
        with transaction(engine) as connection:
            assert catalog.spaces.activate(connection, other.id)
        took = time.monotonic() - begun
    finally:
        stop.set()
        for writer in writers:
            writer.join()
    assert took < 10 * EACH
    assert all(before == after for before, after in seen)
    assert {active for active, _ in seen} <= {1, other.id}
