"""Real processes that write while others apply, and are killed."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from tests.integration.pipeline.taxonomies.applier import SETS
from tests.integration.pipeline.taxonomies.archive import COLOUR, TWO, Archive, colours
from worker import catalog
from worker.db import transaction
from worker.pipeline.taxonomies import changes
from worker.tagging import Vocabulary


@contextlib.contextmanager
def process(module: str, archive: Archive, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    url = archive.engine.url.render_as_string(hide_password=False)
    name = f"tests.integration.pipeline.taxonomies.{module}"
    with subprocess.Popen(
        [sys.executable, "-m", name, url, *map(str, arguments)], stdout=subprocess.PIPE, text=True
    ) as child:
        try:
            yield child
        finally:
            child.kill()


def read_vectors(archive: Archive) -> None:
    """What the writers wrote last."""
    engine = archive.engine.execution_options(isolation_level="REPEATABLE READ")
    with transaction(engine) as connection:
        block = catalog.bulk_read.read_after(
            connection, archive.space, 0, limit=10_000, numbering=Vocabulary(), versions={}
        )
        keys = catalog.image_names.by_id(connection, block.images.tolist())
    archive.written = {
        keys[image].ref.key: vector for image, vector in zip(block.images.tolist(), block.vectors, strict=True)
    }


@pytest.fixture
def archive(engine) -> Archive:
    made = Archive.of(engine, COLOUR)
    made.add(400)
    return made


def test_every_image_ends_with_the_tags_of_the_last_revision(archive):
    """Two processes overwrite the same 400 images all the time; others apply, and most of them are killed."""
    revisions = set()
    with process("writer", archive, 1) as one, process("writer", archive, 2) as two:
        for number, seconds in enumerate((0.05, 0.3, 0.6, 0.15)):
            with process("applier", archive, number % len(SETS)) as applier:
                assert applier.stdout is not None
                assert "ready" == applier.stdout.readline().strip()
                time.sleep(seconds)
                applier.kill()
            revisions.add(archive.sql("SELECT max(id) FROM taxonomy_revisions")[0][0])
            assert (None, None) == (one.poll(), two.poll())
        done = archive.apply(*SETS[1])
        # The writers go on for a while: nothing of theirs may be older than what is in force.
        time.sleep(0.5)
        one.kill()
        two.kill()
    assert len(revisions) > 1, "no applier got far enough to be worth killing"
    read_vectors(archive)
    assert done.revision == archive.sql("SELECT max(id) FROM taxonomy_revisions")[0][0]
    assert 400 == len(archive.written)
    assert archive.expected(*SETS[1]) == archive.tags()


def test_a_killed_apply_is_gone_on_with_and_announces_each_image_once(archive):
    """Killed after some blocks; whoever runs it next does the rest."""
    before, announced = archive.seen(), len(archive.feed())
    with process("applier", archive, 2) as applier:
        deadline = time.monotonic() + 60
        while not archive.sql("SELECT 1 FROM retaggings WHERE revision = 2 AND after > 60"):
            assert time.monotonic() < deadline
            time.sleep(0.005)
        applier.kill()
    state = archive.plan(TWO)
    done = archive.apply(TWO)
    after = archive.seen()
    changed = sorted(key for key in archive.written if before.get(key) != after.get(key))
    assert (True, False, 2) == (state.unfinished, done.is_new, done.revision)
    assert 0 < done.images < 400
    assert archive.expected(TWO) == archive.tags()
    assert changed == sorted(archive.feed()[announced:])


def test_two_processes_that_apply_at_once(archive):
    """One does, the other is told to wait; the catalog is as one of them says."""
    with process("applier", archive, 1) as one, process("applier", archive, 2) as two:
        told = [child.communicate(timeout=60)[0] for child in (one, two)]
    finished = [number for number, text in enumerate(told, start=1) if "ApplyResult(" in text]
    assert finished
    current = archive.sql("SELECT versions FROM taxonomy_revisions ORDER BY id DESC LIMIT 1")[0][0]
    [desired] = [SETS[n] for n in finished if {each.name: each.version for each in SETS[n]} == current]
    assert archive.expected(*desired) == archive.tags()


def test_two_processes_that_add_at_once(archive):
    """One may be told to wait. Run again, it adds to what the other one added, and takes nothing back."""
    with process("applier", archive, "one") as one, process("applier", archive, "two") as two:
        told = [child.communicate(timeout=60)[0] for child in (one, two)]
    finished = [name for name, text in zip(("one", "two"), told, strict=True) if "ApplyResult(" in text]
    assert finished
    for name in {"one", "two"}.difference(finished):
        archive.change(changes.added([colours(name)]))
    assert archive.expected(COLOUR, colours("one"), colours("two")) == archive.tags()


def test_a_killed_addition_is_gone_on_with(archive):
    """By the same command, which finds the taxonomy in force and half of the images without it."""
    with process("applier", archive, "other") as applier:
        deadline = time.monotonic() + 60
        while not archive.sql("SELECT 1 FROM retaggings WHERE revision = 2 AND after > 60"):
            assert time.monotonic() < deadline
            time.sleep(0.005)
        applier.kill()
    done = archive.change(changes.added([colours("other")]))
    assert (False, True) == (done.is_new, 0 < done.images < 400)
    assert archive.expected(COLOUR, colours("other")) == archive.tags()
