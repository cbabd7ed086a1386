"""Who draws when: on request within seconds, at night what is necessary, and in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime

import pytest
from sqlalchemy import text

from tests.acceptance.commands import ENRICH
from tests.integration.pipeline.maps.test_maps import SMALL, drawn
from tests.ledger import ref
from tests.waiting import until
from worker import catalog
from worker.catalog.removal import Removal
from worker.db import Engine, transaction
from worker.pipeline.maps import requests
from worker.pipeline.maps.schedule import MapSchedule, ask_for_necessary

NOON, NIGHT = (datetime(2026, 1, 1, hour, tzinfo=UTC) for hour in (12, 2))


def states(engine: Engine) -> list[str]:
    return [each.map.state for each in requests.maps(engine)]


def a_day_later(engine: Engine) -> None:
    with transaction(engine) as connection:
        connection.execute(
            text("""
                UPDATE maps SET requested_at = requested_at - interval '1 day',
                                updated_at = updated_at - interval '1 day'
            """)
        )


@pytest.mark.parametrize(
    ("habit", "now", "expected"),
    [("nightly", NIGHT, ["requested"]), ("nightly", NOON, []), ("off", NIGHT, [])],
)
def test_maps_are_drawn_at_night_without_being_asked(engine, fill, habit, now, expected):
    """Not by day, and not where that is off."""
    fill(120)
    schedule = MapSchedule(engine, [sys.executable, "-c", ""], habit=habit, now=lambda: now)
    schedule.look()
    schedule.stop()
    assert expected == states(engine)


def test_a_night_has_one_map(engine, fill):
    """What was asked for tonight is not asked for again."""
    fill(120)
    ask_for_necessary(engine)
    assert ["requested"] == states(engine)
    ask_for_necessary(engine)
    assert ["requested"] == states(engine)


@pytest.mark.parametrize(
    ("more", "axes", "expected"),
    [
        (0, (0,), (["ready"], [False])),
        (20, (0, 5, 10), (["ready"], [True])),
        (20, (20,), (["ready"], [True])),
        (200, (0, 5, 10), (["requested", "ready"], [False, False])),
    ],
)
def test_the_next_night_does_what_is_necessary(engine, fill, more, axes, expected):
    """Nothing, or an update for new images; a new map once there are twice as many."""
    fill(120)
    drawn(engine)
    fill(more, prefix="b", axes=axes, seed=3)
    ask_for_necessary(engine)
    assert ["ready"] == states(engine)  # not in the same night
    a_day_later(engine)
    ask_for_necessary(engine)
    wanted = [each.map.update_wanted_at is not None for each in requests.maps(engine)]
    assert expected == (states(engine), wanted)


def test_a_worn_map_is_drawn_anew(engine, fill):
    """Once more than one image in twenty is poorly placed."""
    fill(300)
    first = drawn(engine)
    with transaction(engine) as connection:
        connection.execute(text("UPDATE maps SET poor = 30"))
    a_day_later(engine)
    ask_for_necessary(engine)
    assert [("requested", None), ("ready", first.id)] == [
        (each.map.state, first.id if each.current else None) for each in requests.maps(engine)
    ]


def test_few_images_are_not_drawn_unasked(engine, fill):
    """A map of ninety images says less than a grid of them."""
    fill(90)
    ask_for_necessary(engine)
    assert [] == states(engine)


def test_one_process_draws_at_a_time(engine, fill, tmp_path):
    """A look while one runs starts no second; when it has ended, the next look does."""
    fill(120)
    requests.request(engine, SMALL)
    go, log = tmp_path / "go", tmp_path / "log"
    code = (
        "import pathlib, time; "
        f"pathlib.Path({str(log)!r}).open('a').write('began\\n'); "
        f"[time.sleep(0.02) for _ in iter(lambda: pathlib.Path({str(go)!r}).exists(), True)]"
    )
    schedule = MapSchedule(engine, [sys.executable, "-c", code], habit="off", now=lambda: NOON)
    schedule.look()
    until(log.exists)
    schedule.look()
    assert "began\n" == log.read_text()
    go.touch()

    while log.read_text() == "began\n":
        schedule.look()
    schedule.stop()


def test_a_drawing_ends_with_the_scheduler(engine, fill, tmp_path):
    """The process is told to stop, so that none is left behind."""
    fill(120)
    requests.request(engine, SMALL)
    pid = tmp_path / "pid"
    code = f"import os, pathlib, time; pathlib.Path({str(pid)!r}).write_text(str(os.getpid())); time.sleep(600)"
    schedule = MapSchedule(engine, [sys.executable, "-c", code], habit="off", now=lambda: NOON)
    schedule.look()
    until(lambda: pid.exists() and pid.read_text() != "")
    schedule.stop()
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()), 0)


def test_the_command_draws_what_was_asked_for(engine, fill):
    """What the scheduler starts: it draws, updates, and ends with 0."""
    fill(120)
    requests.request(engine, SMALL)
    environment = {**os.environ, "ENRICH_DATABASE_URL": engine.url.render_as_string(hide_password=False)}
    run = subprocess.run([ENRICH, "map", "run"], env=environment, capture_output=True, timeout=120, check=False)
    assert (0, ["ready"]) == (run.returncode, states(engine)), run.stderr
    fill(5, prefix="b", seed=4)
    requests.request_update(engine)
    subprocess.run([ENRICH, "map", "run"], env=environment, timeout=120, check=True)
    [found] = requests.maps(engine)
    assert (125, 0, None) == (found.map.images, found.added, found.map.update_wanted_at)


@pytest.mark.parametrize("state", ["requested", "ready"])
def test_nothing_is_due_for_a_space_that_was_dropped(engine, space, fill, state):
    """Nobody could draw it: the scheduler would start a process every two seconds."""
    fill(120)
    if state == "ready":
        drawn(engine)
        requests.request_update(engine)
    else:
        requests.request(engine, SMALL)
    with transaction(engine) as connection:
        assert catalog.maps.is_due(connection)
        connection.execute(text("UPDATE spaces SET state = 'dropped' WHERE id = :id"), {"id": space.id})
    with transaction(engine) as connection:
        assert not catalog.maps.is_due(connection)


def test_an_update_that_fails_at_night_is_not_asked_for_at_once_again(engine, fill):
    """Else it would be tried every two seconds until the morning; the next hour tries again."""
    fill(120)
    drawn(engine)
    fill(20, prefix="b", seed=3)
    a_day_later(engine)
    hours = iter([NIGHT, NIGHT, NIGHT.replace(hour=3)])
    schedule = MapSchedule(engine, [sys.executable, "-c", ""], habit="nightly", now=lambda: next(hours))
    wanted = []
    for _ in range(3):
        schedule.look()
        schedule.stop()  # what it started has ended
        with transaction(engine) as connection:
            wanted.append(len(catalog.maps.take_updates(connection)))  # as a process that then fails
    assert [1, 0, 1] == wanted


@pytest.mark.parametrize(
    ("deleted", "added", "expected"), [(20, 10, (["ready"], [True])), (70, 55, (["ready"], [True])), (80, 0, None)]
)
def test_deleted_images_do_not_hide_new_ones(engine, fill, deleted, added, expected):
    """With fewer images than before, new ones are placed; a map of which more than half is gone is drawn anew."""
    fill(220)
    drawn(engine)
    fill(added, prefix="b", seed=3)
    with transaction(engine) as connection:
        gone = [Removal(ref=ref(f"a/{number:05}.jpg")) for number in range(deleted + (40 if expected is None else 0))]
        catalog.removal.remove(connection, gone)
    a_day_later(engine)
    ask_for_necessary(engine)
    found = (states(engine), [each.map.update_wanted_at is not None for each in requests.maps(engine)])
    assert (expected or (["requested", "ready"], [False, False])) == found
