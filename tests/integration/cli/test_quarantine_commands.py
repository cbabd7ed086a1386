"""``enrich quarantine`` on a real ledger: choosing, looking, trying again, giving up."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import text

from tests.acceptance.commands import enrich
from tests.ledger import hints, pending, row
from worker import ledger
from worker.db import Engine, transaction
from worker.ledger.completion import Completion, QuarantineRecord
from worker.types import Outcome, Reason


@pytest.fixture
def run(engine: Engine, tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs `enrich quarantine` on this test's database; the broker is away."""
    url = engine.url.render_as_string(hide_password=False)
    servers = {"ENRICH_DATABASE_URL": url, "ENRICH_BROKER_URL": "redis://127.0.0.1:1/0", "ENRICH_BUCKETS": "photos"}
    return lambda *arguments: enrich("quarantine", *arguments, cwd=tmp_path, **servers)


@pytest.fixture
def filled(engine: Engine) -> Engine:
    """Three entries: two that are cut short, one of them since two days, and an empty one."""
    for key, reason in {"a/old.jpg": Reason.TRUNCATED, "a/new.jpg": Reason.TRUNCATED, "b.jpg": Reason.EMPTY}.items():
        with transaction(engine) as connection:
            ledger.hints.hint(connection, hints(key))
            claim = ledger.claims.claim(connection, worker="test", size=1, lease=60)
            assert claim is not None
            why = QuarantineRecord(reason=reason, message=f"it is {reason}", attempts=1, first_bytes=b"\xff\xd8JFIF")
            ended = Completion(id=claim.objects[0].id, outcome=Outcome.QUARANTINED, quarantine=why)
            ledger.completion.complete(connection, claim.token, [ended])
    with transaction(engine) as connection:
        connection.execute(
            text(
                "UPDATE quarantine q SET since = since - interval '2 days' FROM inbox i "
                "WHERE i.id = q.inbox_id AND i.key = 'a/old.jpg'"
            )
        )
    return engine


def test_entries_are_listed_as_they_were_chosen(filled, run):
    """By reason, place and age, for programs with the place to go on from; the counts are of the whole choice."""
    found = json.loads(run("list", "--reason", "truncated", "--in", "photos/a/", "--limit", "1", "--json").stdout)
    assert (["a/new.jpg"], {"truncated": 2}) == ([entry["key"] for entry in found["entries"]], found["counts"])
    older = run("list", "--reason", "truncated", "--limit", "1", "--after", found["next"])
    assert "photos/a/old.jpg" in older.stdout
    shown = run("list", "--reason", "truncated", "--in", "photos/a/", "--limit", "1")
    assert (True, False) == (f"continue with --after {found['next']}" in shown.stderr, "continue" in older.stderr)
    assert "photos/a/new.jpg" not in older.stdout
    recent = json.loads(run("list", "--since", "1d", "--json").stdout)
    assert {"a/new.jpg", "b.jpg"} == {entry["key"] for entry in recent["entries"]}
    assert "nothing matches\n" == run("list", "--older-than", "30d").stdout


def test_an_entry_is_shown_with_what_its_file_begins_with(filled, run):
    """And one that is not there is a sentence."""
    shown = run("show", "photos/b.jpg").stdout
    assert "reason    empty" in shown
    assert "00000000  ff d8 4a 46 49 46                                |..JFIF|" in shown
    done = run("show", "photos/none.jpg")
    assert (1, True) == (done.returncode, "photos/none.jpg is not in quarantine" in done.stderr)


def test_a_retry_by_age_needs_no_broker(filled, run):
    """What came lately, as after a bad deploy; a second time there is nothing left to do."""
    assert "2 entries will be retried" in run("retry", "--since", "1d").stderr
    assert (2, True) == (pending(filled), row(filled, "b.jpg").done < row(filled, "b.jpg").wanted)
    again = run("retry", "--since", "1d")
    assert (0, True) == (again.returncode, "nothing to retry: 2 entries are already being retried" in again.stderr)
    dropped = run("drop", "--since", "1d")
    assert (1, True) == (dropped.returncode, "nothing to drop: 2 entries are already being" in dropped.stderr)
    assert "retrying" in run("list", "--reason", "empty").stdout


def test_a_drop_by_age(filled, run):
    """What nobody mended for long; it can be seen, and tried again after all."""
    assert "1 entry given up" in run("drop", "--older-than", "36h").stderr
    assert "excluded" == row(filled, "a/old.jpg").outcome
    assert "photos/a/old.jpg" not in run("list").stdout
    assert "photos/a/old.jpg" in run("list", "--given-up", "--since", "1h").stdout
    assert "nothing matches\n" == run("list", "--given-up", "--reason", "empty").stdout
    assert "1 entry will be retried" in run("retry", "--given-up", "--all").stderr
    assert "nothing was given up\n" == run("list", "--given-up").stdout


def test_an_object_that_was_given_up_is_tried_again_by_its_name(filled, run):
    """Nobody has to know that it is not in quarantine any more."""
    run("drop", "photos/b.jpg")
    assert "1 entry will be retried" in run("retry", "photos/b.jpg").stderr
    assert row(filled, "b.jpg").done < row(filled, "b.jpg").wanted


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("list", "--reason", "trunkated"), "'trunkated' is not a reason; did you mean 'truncated'?"),
        (("retry", "--reason", "zzz"), "'zzz' is not a reason; choose one of: empty, not-an-image"),
    ],
)
def test_a_reason_that_there_is_not_is_told_the_nearest(filled, run, arguments, says):
    """Status 2."""
    done = run(*arguments)
    told = " ".join(done.stderr.replace("│", " ").split())
    assert (2, True) == (done.returncode, says in told), done.stderr


@pytest.mark.parametrize("command", ["list", "retry", "drop"])
def test_a_bucket_that_nothing_is_known_of_is_refused(filled, run, command, monkeypatch):
    """An empty answer would say that all is well there."""
    done = run(command, "--in", "photo/a")
    assert 0 != done.returncode
    assert "photos" in done.stderr


def test_everything_is_only_meant_where_it_is_said(filled, run):
    """Status 2, and nothing is changed."""
    for arguments in (("retry",), ("drop",), ("drop", "--all", "--reason", "empty")):
        done = run(*arguments)
        assert (2, True) == (done.returncode, "--older-than AGE" in done.stderr), done.stderr
    assert "3 entries given up" in run("drop", "--all").stderr
    assert "the quarantine is empty\n" == run("list").stdout


@pytest.mark.parametrize("command", ["retry", "drop"])
def test_what_is_not_there_cannot_be_changed(filled, run, command):
    """Whether an object was named, or a choice has nothing in it: status 1, and why."""
    done = run(command, "photos/none.jpg")
    assert (1, True) == (done.returncode, "photos/none.jpg is not in quarantine" in done.stderr)
    done = run(command, "--older-than", "30d")
    assert (1, True) == (done.returncode, f"nothing to {command}: nothing in quarantine matches" in done.stderr)
    done = run(command, "photos/b.jpg")
    assert (0, True) == (done.returncode, "1 entry " in done.stderr)
