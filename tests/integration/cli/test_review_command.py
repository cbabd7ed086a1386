"""``enrich review`` as a person uses it: a real terminal, real keys, a real PostgreSQL."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.commands import enrich
from tests.integration.cli.review_terminal import Reviewing, reviewing
from tests.integration.pipeline.review.gallery import CAUTIOUS, Gallery
from worker.catalog.decisions import Verdict
from worker.db import Engine
from worker.pipeline.taxonomies.label_vectors import LabelVectorWriter


@pytest.fixture
def gallery(engine: Engine) -> Gallery:
    """A hundred different pictures, of which the store has none."""
    made = Gallery.of(engine, CAUTIOUS)
    made.add(100)
    assert isinstance(made, Gallery)
    return made


@pytest.fixture
def servers_of(engine: Engine) -> dict[str, str]:
    url = engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
    return {"ENRICH_DATABASE_URL": url, "ENRICH_BROKER_URL": "redis://127.0.0.1:1/0", "ENRICH_BUCKETS": "photos"}


@pytest.fixture
def review(servers_of, tmp_path: Path) -> Callable[..., AbstractContextManager[Reviewing]]:
    return lambda *arguments: reviewing(
        "colour", *arguments, "--reviewer", "ada", "--pictures", "none", cwd=tmp_path, **servers_of
    )


def decisions(gallery: Gallery) -> list[Any]:
    return list(
        gallery.sql("SELECT key, verdict, label, chosen, plan FROM decisions WHERE verdict <> 'undo' ORDER BY id")
    )


def test_one_key_for_each_image(gallery, review):
    """Yes, no, another label, none of these, cannot tell: each is recorded when the next image is shown."""
    with review("red", "--target", "0.9") as person:
        asked = []
        for key in ("y", "n", "1", "0", "u"):
            asked.append(person.asked())
            person.press(key)
        person.asked()
        expected = [("accept", "red"), ("reject", "red"), ("replace", "green"), ("none", None), ("unsure", None)]
        assert [(key, *answer, "random", 1) for key, answer in zip(asked, expected, strict=True)] == [
            tuple(row) for row in decisions(gallery)
        ]
        person.press("q")
        status, rest = person.ended()
    assert (0, True) == (status, "5 decided by ada" in rest)
    assert "1 right, 3 wrong, 1 unsure" in " ".join(rest.split())


def test_the_question_says_what_is_known(gallery, review):
    """The image, the label with its probability, what is in force, why it was chosen, and the keys."""
    with review("red", "--queue", "uncertain", "--limit", "1") as person:
        shown = person.until("q quit")
        person.press("y")
        person.ended()
    assert "colour: red?  probability 0." in shown
    assert "in force: " in shown
    assert "threshold 0.90" in shown
    assert "y yes  n no  1 green  2 blue  0 none of these  u unsure  b back  q quit" in shown


def test_back_takes_the_last_answer_back(gallery, review):
    """It is undone, and the image is asked about again; at the first image there is nothing to take back."""
    with review("red", "--queue", "uncertain") as person:
        first = person.asked()
        person.press("b")
        person.until("nothing to go back to")
        assert first == person.asked()
        person.press("n")
        second = person.asked()
        person.press("b")
        assert first == person.asked()
        person.press("y")
        assert second == person.asked()
        person.press("q")
        person.ended()
    assert [("reject", True), ("accept", False)] == [
        tuple(row)
        for row in gallery.sql(
            "SELECT verdict, EXISTS (SELECT FROM decisions u WHERE u.undoes = d.id) FROM decisions d "
            "WHERE verdict <> 'undo' ORDER BY id"
        )
    ]


def test_what_was_answered_is_kept_when_it_is_killed(gallery, review):
    """Nothing is lost, and the next review goes on with the same plan; so it is after Ctrl-C."""
    done = []
    with review("red", "--target", "0.9") as person:
        for _ in range(3):
            done.append(person.asked())
            person.press("y")
        person.asked()
        person.process.send_signal(signal.SIGKILL)
        assert -signal.SIGKILL == person.process.wait(30)
    assert done == [row.key for row in decisions(gallery)]
    with review("red") as person:
        assert "3 of" in person.until("reviewed")
        again = person.asked()
        assert again not in done
        person.press("y")
        person.asked()
        person.process.send_signal(signal.SIGINT)
        status, rest = person.ended()
    assert (130, True) == (status, "1 decided by ada" in rest)
    assert [1] * 4 == [row.plan for row in decisions(gallery)]


def test_what_another_person_decided_meanwhile_is_shown_and_asked_again(gallery, review):
    """Both answers are there to see; the second key decides."""
    with review("red", "--queue", "uncertain") as person:
        key = person.asked()
        gallery.says(key, Verdict.REPLACE, "blue")
        person.press("y")
        shown = person.until("q quit")
        assert "not saved: eve decided about it meanwhile" in shown
        assert "there is now: replace blue by eve" in shown
        person.press("y")
        assert key != person.asked()
        person.press("q")
        person.ended()
    assert [("replace", "blue"), ("accept", "red")] == [(row.verdict, row.label) for row in decisions(gallery)]


def test_keys_that_mean_nothing_decide_nothing(gallery, review):
    """Arrows are not letters, and keys that were typed ahead are taken one by one."""
    with review("red", "--queue", "uncertain", "--limit", "2") as person:
        first = person.asked()
        person.press("\x1b[A\x1bOB?")
        person.until("'?' is not a key here")
        assert first == person.asked()
        person.press("yn")
        status, _ = person.ended()
    assert (0, ["accept", "reject"]) == (status, [row.verdict for row in decisions(gallery)])


def test_a_search_assigns_a_label(gallery, review):
    """To what is nearest to it, best first, also where the model gives another one."""
    writer = LabelVectorWriter(engine=gallery.engine, space=gallery.space, encode_texts=gallery.encoder.encode_texts)
    writer.run()
    with review("green", "--queue", "search", "--limit", "2") as person:
        assert "similarity 0." in person.until("q quit")
        person.press("yy")
        person.ended()
    assert [("accept", "green", "search")] * 2 == [(r.verdict, r.label, r.chosen) for r in decisions(gallery)]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["colour", "red"], "pass --contact-sheet FILE.html"),
        (["colour", "red", "--queue", "randm"], "did you mean 'random'"),
        (["colour", "red", "--query", "cat", "--contact-sheet", "out.html"], "the queue random takes no query"),
        (["colour", "red", "--queue", "search", "--query", " ", "--contact-sheet", "out.html"], "the query is empty"),
        (["colour", "red", "--space", "2", "--contact-sheet", "out.html"], "the queue random looks at one space"),
        (["colour", "red", "--queue", "search", "--target", "0.9"], "--target belongs to --queue random"),
        (["colour", "red", "--target", "7", "--contact-sheet", "out.html"], "shares from 0.5 to below 1"),
        (["--reason", "a slip"], "--reason belongs to --close"),
        (["colour", "--json"], "--json belongs to --plans"),
        (["colours", "--plans"], "did you mean 'colour'"),
        ([], "name a taxonomy"),
        (["colours", "red", "--contact-sheet", "out.html"], "did you mean 'colour'"),
        (["colour", "redd", "--contact-sheet", "out.html"], "did you mean 'red'"),
        (["colour", "red", "--contact-sheet", "none/out.html"], "create the directory none first"),
    ],
)
def test_what_is_wrong_is_said(gallery, servers_of, tmp_path, arguments, says):
    """With the next step, and nothing is made."""
    done = enrich("review", *arguments, cwd=tmp_path, **servers_of)
    assert (True, True) == (done.returncode in (1, 2), says in " ".join(done.stderr.replace("│", " ").split())), done
    assert [] == gallery.sql("SELECT FROM review_plans")


def test_plans_are_listed_and_closed(gallery, servers_of, tmp_path):
    """With who closed them, and why."""

    def run(*arguments: str) -> str:
        done = enrich("review", *arguments, "--reviewer", "ada", cwd=tmp_path, **servers_of)
        assert 0 == done.returncode, done.stderr
        return done.stdout + done.stderr

    assert "no review was planned yet" in run("--plans")
    assert "1 image is in sheet.html" in run("colour", "red", "--contact-sheet", "sheet.html", "--limit", "1")
    other = enrich(
        "review", "colour", "red", "--target", "0.9", "--contact-sheet", "s.html", cwd=tmp_path, **servers_of
    )
    assert (1, True) == (other.returncode, "the open plan 1 has the target 0.95" in other.stderr)
    assert "colour=red" in run("--plans")
    assert ["random"] == [each["queue"] for each in json.loads(run("--plans", "--json"))]
    status = enrich("status", cwd=tmp_path, **servers_of).stdout
    assert "review plan 1, colour=red: " in status
    assert "closed; plan 1" in run("--close", "1", "--reason", "a slip")
    assert "closed by ada: a slip" in run("--plans", "colour")
