"""Whatever people decide, undo, overwrite and write by hand: what is in force follows a few rules, written out here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import psycopg2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from tests.factories import enriched_image, spec
from tests.ledger import BUCKET, ref
from worker import catalog, outbox
from worker.catalog.decisions import Verdict
from worker.catalog.taxonomies import TaxonomyVersion
from worker.db import Engine, transaction
from worker.pipeline.review import undo
from worker.pipeline.review.decide import DecisionOutcome, DecisionRequest, Seen, decide
from worker.types import Tag

PARENTS: dict[str, dict[str, str | None]] = {
    "light": {"day": None, "night": None},
    "things": {"cat": None, "sofa": None, "lamp": None},
    "kinds": {"animal": None, "dog": "animal", "poodle": "dog", "cat": "animal"},
}
DEFINITIONS: dict[str, dict[str, Any]] = {
    "light": {"labels": [{"name": "day"}, {"name": "night"}]},
    "things": {"mode": "multi-label", "labels": [{"name": "cat"}, {"name": "sofa"}, {"name": "lamp"}]},
    "kinds": {
        "labels": [{"name": "animal", "children": [{"name": "dog", "children": [{"name": "poodle"}]}, {"name": "cat"}]}]
    },
}
KEYS = ("a", "b")
BYTES = ("ab" * 32, "cd" * 32)
SHOWN = "SELECT label, source FROM tags t JOIN images i ON i.id = t.image_id WHERE space_id IS NULL"
Row = tuple[str | None, str]
Place = tuple[str, str]  # a taxonomy and a label


def above(taxonomy: str, label: str) -> list[str]:
    parent = PARENTS[taxonomy][label]
    return [label, *(above(taxonomy, parent) if parent else [])]


@dataclass(kw_only=True)
class Made:
    """A decision, as the rules see it."""

    about: tuple[str, str, str]  # key, bytes, taxonomy
    verdict: str
    label: str | None = None
    adds: list[str] = field(default_factory=list)
    removes: list[str] = field(default_factory=list)
    answers: bool
    number: int = 0
    undone: bool = False


def in_force(made: list[Made]) -> set[Row]:
    """The rules: the last decision about a label counts; an answer to the taxonomy replaces the labels that held, and
    leaves those that were rejected; unsure and withdraw, about the taxonomy or a label, forget what was decided before.
    """
    holds: dict[str, bool] = {}
    answer: str | None = None
    for each in made:
        forgets = each.verdict in ("unsure", "withdraw")
        if each.answers:
            holds = {} if forgets else {label: False for label, held in holds.items() if not held}
            answer = None if forgets else each.verdict
        elif forgets and each.label is not None:
            holds.pop(each.label, None)
        holds.update(dict.fromkeys(each.removes, False) | dict.fromkeys(each.adds, True))
    accepted = "human" if answer else "human-label"
    rows: set[Row] = {(label, accepted if held else "rejected") for label, held in holds.items()}
    return rows if answer != "none" or any(holds.values()) else rows | {(None, "human")}


class People:
    """The database, and what should be in it."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.made: list[Made] = []
        self.bytes = dict.fromkeys(KEYS, BYTES[0])
        with transaction(engine) as connection:
            connection.execute(text("TRUNCATE decisions, images, changes CASCADE"))
        for key in KEYS:
            self.enrich(key, BYTES[0])

    def rows(self, key: str, taxonomy: str, sha256: str | None = None) -> set[Row]:
        about = (key, sha256 or self.bytes[key], taxonomy)
        return in_force([each for each in self.made if each.about == about and not each.undone])

    def enrich(self, key: str, sha256: str) -> None:
        labels = [("light", "day"), ("things", "cat"), ("things", "sofa"), ("kinds", "animal"), ("kinds", "dog")]
        tags = tuple(Tag(taxonomy=name, version="v1", label=each, score=0.5, probability=0.75) for name, each in labels)
        image = replace(enriched_image(key), tags=tags)
        image = replace(image, metadata=replace(image.metadata, sha256=sha256))
        with transaction(self.engine) as connection:
            space = catalog.spaces.ensure(connection, spec())
            catalog.write.save_images(connection, space_id=space.id, images=[image])
        self.bytes[key] = sha256

    def restore(self, key: str, sha256: str) -> None:
        with transaction(self.engine) as connection:
            catalog.removal.remove(connection, [catalog.removal.Removal(ref=ref(key))])
        self.enrich(key, sha256)

    def decide(self, key: str, sha256: str, place: Place, verdict: Verdict, shown: str) -> None:
        taxonomy, label = place
        several = taxonomy == "things"
        needs = verdict in (Verdict.ACCEPT, Verdict.REJECT, Verdict.REPLACE)
        given = label if needs or (several and label != "cat" and verdict is not Verdict.NONE) else None
        request = DecisionRequest(
            ref=ref(key), taxonomy=taxonomy, verdict=verdict, label=given, seen=Seen(sha256=sha256, label=shown)
        )
        [result] = decide(self.engine, [request], reviewer="ada").results
        if result.outcome is DecisionOutcome.UNCHANGED:
            return
        below = [each for each in PARENTS[taxonomy] if label in above(taxonomy, each)]
        replaced = [each for each in PARENTS[taxonomy] if shown in above(taxonomy, each)]
        made = Made(about=(key, sha256, taxonomy), verdict=verdict, label=given, answers=True,
                    number=result.decision or 0)  # fmt: skip
        if verdict in (Verdict.ACCEPT, Verdict.REPLACE):
            made.adds, made.answers = above(taxonomy, label), not several
            made.removes = [] if verdict is Verdict.ACCEPT else [each for each in replaced if each not in made.adds]
        elif verdict is Verdict.REJECT:
            made.removes, made.answers = below, False
        elif verdict is not Verdict.NONE:
            made.answers = not several or given is None
        self.made.append(made)

    def undo(self, number: int) -> None:
        if self.made:
            made = self.made[number % len(self.made)]
            if made.number:
                undo.undo_some(self.engine, [made.number], reviewer="bob")
                made.undone = True

    def insert_by_hand(self, key: str, taxonomy: str, label: str | None, source: str) -> None:
        rows = self.rows(key, taxonomy)
        taken = any(name == label and (of != "rejected" or source == "rejected") for name, of in rows)
        if taken or (label is None and source != "human"):  # the database refuses them
            return
        self.sql(
            "INSERT INTO tags (image_id, taxonomy, taxonomy_version, label, source) "
            "SELECT id, %s, 'v1', %s, %s FROM images WHERE bucket = %s AND key = %s",
            taxonomy, label, source, BUCKET, key,
        )  # fmt: skip
        named = [label] if label else []
        more = any(name is not None and of != "rejected" for name, of in rows)
        rejects = source == "rejected"
        self.made.append(
            Made(about=(key, self.bytes[key], taxonomy),
                 verdict="reject" if rejects else "accept" if label else "none",
                 adds=[] if rejects else named, removes=named if rejects else [],
                 answers=source == "human" and (label is None or not more))
        )  # fmt: skip

    def delete_by_hand(self, key: str, taxonomy: str, number: int) -> None:
        rows = sorted(self.rows(key, taxonomy), key=str)
        if not rows:
            return
        label, _ = rows[number % len(rows)]
        self.sql(
            "DELETE FROM tags t USING images i WHERE i.id = t.image_id AND t.space_id IS NULL AND i.bucket = %s "
            "AND i.key = %s AND t.taxonomy = %s AND t.label IS NOT DISTINCT FROM %s",
            BUCKET, key, taxonomy, label,
        )  # fmt: skip
        about = (key, self.bytes[key], taxonomy)
        self.made.append(Made(about=about, verdict="withdraw", label=label, answers=len(rows) == 1))

    def sql(self, statement: str, *values: str | int | None) -> None:
        url = self.engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
        connection = psycopg2.connect(url, application_name="psql")
        try:
            with connection, connection.cursor() as cursor:
                cursor.execute(statement, values)
        finally:
            connection.close()

    def check(self) -> None:
        with transaction(self.engine) as connection:
            for key in KEYS:
                for taxonomy in PARENTS:
                    given = {"key": key, "taxonomy": taxonomy}
                    found = connection.execute(text(f"{SHOWN} AND key = :key AND taxonomy = :taxonomy"), given)
                    assert self.rows(key, taxonomy) == {(row.label, row.source) for row in found}, (key, taxonomy)


# Mostly one image, one picture and one taxonomy, so that decisions meet.
KEY, SHA, NUMBER = st.sampled_from("aaab"), st.sampled_from([BYTES[0]] * 3 + [BYTES[1]]), st.integers(0, 30)
VERDICT = st.sampled_from([each for each in Verdict if each is not Verdict.UNDO])
SOURCE = st.sampled_from(["human", "human-label", "rejected"])
KIND = st.sampled_from(["decide"] * 6 + ["undo", "enrich", "restore", "insert", "insert", "delete"])


@st.composite
def steps(draw: st.DrawFn) -> list[Callable[[People], None]]:
    taxonomy = draw(st.sampled_from(list(PARENTS)))
    return [draw(step(taxonomy)) for _ in range(draw(st.integers(2, 25)))]


@st.composite
def step(draw: st.DrawFn, taxonomy: str) -> Callable[[People], None]:
    kind, key, sha256, number = draw(KIND), draw(KEY), draw(SHA), draw(NUMBER)
    labels = st.sampled_from(list(PARENTS[taxonomy]))
    match kind:
        case "decide":
            return partial(People.decide, key=key, sha256=sha256, place=(taxonomy, draw(labels)), verdict=draw(VERDICT),
                           shown=draw(labels))  # fmt: skip
        case "undo":
            return partial(People.undo, number=number)
        case "insert":
            label = draw(st.none() | labels)
            return partial(People.insert_by_hand, key=key, taxonomy=taxonomy, label=label, source=draw(SOURCE))
        case "delete":
            return partial(People.delete_by_hand, key=key, taxonomy=taxonomy, number=number)
    return partial(People.enrich if kind == "enrich" else People.restore, key=key, sha256=sha256)


EXAMPLES = 40


@pytest.fixture
def database(engine: Engine) -> Engine:
    with transaction(engine) as connection:
        catalog.taxonomies.remember(
            connection,
            [
                TaxonomyVersion(name=name, version="v1", many=name != "light", definition=definition)
                for name, definition in DEFINITIONS.items()
            ],
        )
        catalog.spaces.ensure(connection, spec())
    return engine


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=steps())
def test_what_is_in_force_follows_the_rules(database, steps):
    """After each step, people's rows in `tags` are what a plain fold of the decisions about the present bytes says."""
    people = People(database)
    for each in steps:
        each(people)
        people.check()


def test_a_person_with_psql_decides_and_the_feed_waits(database):
    """The session gets a name for which readers of the feed wait; where it is too late for that, it is told."""
    people = People(database)
    insert = (
        "INSERT INTO decisions (bucket, key, taxonomy, verdict, label) VALUES (%s, 'a', 'light', 'accept', 'night')"
    )
    people.sql(insert, BUCKET)
    with transaction(database) as connection:
        [entry] = outbox.read(connection, after=None, limit=10)
        assert ("a", "night") == (entry.key, connection.execute(text(f"{SHOWN} AND key = 'a'")).scalar())
    with pytest.raises(psycopg2.errors.RaiseException, match="SET application_name = 'enrich sql'"):
        people.sql(f"CREATE TABLE noted (what text); {insert}", BUCKET)
    people.sql("SET application_name = 'enrich sql'; CREATE TABLE noted (what text); " + insert, BUCKET)


def test_an_undo_in_sql_is_about_the_image_of_what_it_undoes(database):
    """Whatever it says, so that the right image is brought up to date; an undo of an undo is refused."""
    people = People(database)
    people.decide("a", BYTES[0], ("light", "night"), Verdict.ACCEPT, "day")
    [made] = people.made
    insert = "INSERT INTO decisions (bucket, key, taxonomy, verdict, undoes) VALUES ('x', 'b', 'things', 'undo', %s)"
    people.sql(insert, made.number)
    made.undone = True
    people.check()
    with pytest.raises(psycopg2.errors.RaiseException, match="is itself an undo"):
        people.sql(insert, made.number + 1)


def test_readers_of_the_feed_wait_for_a_person_with_psql(database):
    """From the moment in which the transaction has a number: what commits behind it is not shown before it."""
    People(database)
    url = database.url.set(drivername="postgresql").render_as_string(hide_password=False)
    connection = psycopg2.connect(url, application_name="psql")
    with connection, connection.cursor() as cursor:
        cursor.execute("DELETE FROM tags WHERE false")
        cursor.execute(
            "INSERT INTO decisions (bucket, key, taxonomy, verdict) VALUES (%s, 'a', 'light', 'none')", [BUCKET]
        )
        with transaction(database) as other:
            outbox.append(other, [outbox.NewEntry(kind="enriched", ref=ref("b"), etag="e")])
        with transaction(database) as other:
            assert [] == outbox.read(other, after=None, limit=10)
    connection.close()
    with transaction(database) as other:
        assert ["a", "b"] == [each.key for each in outbox.read(other, after=None, limit=10)]
