"""Labels whose precision must be proven first: from plan to tags, with certificates on a real database."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sqlalchemy import text

from tests.integration.pipeline.taxonomies.archive import COLOUR, Archive, colours
from tests.ledger import ref
from worker import catalog
from worker.catalog.certificates import NewCertificate
from worker.catalog.decisions import Verdict
from worker.catalog.image_filter import ImageFilter, TagFilter
from worker.catalog.read import ImageRecord
from worker.db import transaction
from worker.pipeline.reading import image_list
from worker.pipeline.review import decide
from worker.pipeline.review.decide import DecisionRequest
from worker.tagging import Requirement, Taxonomy
from worker.tagging.learned import Head, Learned, Proof

ASKED = replace(COLOUR, target_precision=0.95)
#: Applies where something is red.
ON_RED = replace(colours("other"), when=((Requirement(taxonomy="colour", labels=("red",)),),))


def certificate(archive: Archive, label: str) -> int:
    """Stored, as `enrich calibrate` does."""
    new = NewCertificate(
        space=archive.space.id, taxonomy="colour", label=label, scoring=COLOUR.scoring(archive.space.model), head=None,
        target=0.95, delta=0.05, look=0, spent=0.025, threshold=0.5, reviewed=120, accepted=100, errors=1,
        lower_bound=0.951, coverage=0.83, plans=(1,), last_decision=120, made_by="ada@here",
    )  # fmt: skip
    with transaction(archive.engine) as connection:
        return catalog.certificates.add(connection, new)


def proven(archive: Archive, *labels: str, head: Head | None = None) -> Taxonomy:
    proofs = {label: Proof(certificate=certificate(archive, label), precision=0.95) for label in labels}
    learned = Learned(model=archive.space.model, proofs=proofs, head=head)
    return replace(ASKED, learned={str(archive.space.id): learned})


def sources(archive: Archive) -> dict[str | None, set[str]]:
    found: dict[str | None, set[str]] = {}
    for label, source in archive.sql(
        "SELECT label, source FROM tags WHERE taxonomy = 'colour' AND space_id IS NOT NULL"
    ):
        found.setdefault(label, set()).add(source)
    return found


def images(archive: Archive, label: str) -> set[str]:
    return {key for key, tags in archive.seen().items() if ("colour", label) in tags}


def shown(archive: Archive, key: str) -> ImageRecord:
    with transaction(archive.engine) as connection:
        found = catalog.read.image(connection, ref(key))
    assert found is not None
    return found


def suggested(archive: Archive, label: str) -> set[str]:
    query = ImageFilter(suggested=(TagFilter(taxonomy="colour", label=label),))
    return {image.key for image in image_list.images(archive.engine, query, limit=1_000).images}


def test_nothing_is_tagged_until_it_is_proven(archive):
    """Readers lose the labels, and hear of it; the plan says so, and how many images would get suggestions."""
    before = {label: images(archive, label) for label in ("red", "green", "blue")}
    planned = archive.plan(ASKED).taxonomies[0]
    announced = len(archive.feed())
    done = archive.apply(ASKED)
    assert {} == archive.seen()
    assert before == {label: suggested(archive, label) for label in before}
    assert {"red": {"suggestion"}, "green": {"suggestion"}, "blue": {"suggestion"}, None: {"zero-shot"}} == sources(
        archive
    )
    changed = set().union(*before.values())
    assert changed == set(archive.feed()[announced:])
    assert (
        len(changed)
        == done.changed
        == planned.changes[0].images.seen + sum(each.images.seen for each in planned.changes[1:])
    )
    assert ("red", "green", "blue") == planned.edit.unproven
    assert {label: len(keys) for label, keys in before.items()} == {
        each.label: each.suggested.seen for each in planned.labels
    }
    assert {0} == {each.after.seen for each in planned.labels}
    assert {"abstained"} == {each.kind for each in planned.changes}
    assert planned.abstentions is not None
    assert "unproven" in {str(each.reason) for each in planned.abstentions.reasons}
    assert archive.plan(ASKED, sample=None).is_empty


def test_a_proven_label_becomes_a_tag_again(archive):
    """Its rows stay, and their images are announced; every other label stays a suggestion."""
    red = images(archive, "red")
    archive.apply(ASKED)
    rows = archive.sql("SELECT id FROM tags WHERE label = 'red' ORDER BY id")
    announced = len(archive.feed())
    after = proven(archive, "red")
    planned = archive.plan(after).taxonomies[0]
    done = archive.apply(after)
    assert red == images(archive, "red")
    assert (set(), True) == (suggested(archive, "red"), bool(suggested(archive, "green")))
    assert rows == archive.sql("SELECT id FROM tags WHERE label = 'red' ORDER BY id")
    assert (sorted(red), len(red)) == (sorted(archive.feed()[announced:]), done.changed)
    assert [("added", "red", len(red))] == [(each.kind, each.after, each.images.seen) for each in planned.changes]
    assert archive.expected(after) == archive.tags()


def test_what_reviews_prove_is_shown_until_it_expires(archive):
    """With tags in force, in the view, and nowhere else."""
    archive.apply(proven(archive, "red"))
    key = min(images(archive, "red"))
    [red] = [tag for tag in shown(archive, key).tags if tag.label == "red"]
    assert red.proven is not None
    assert (0.95, 100) == (round(red.proven.precision, 6), red.proven.n)
    columns = "label, round(proven_precision::numeric, 2)::float8, proven_n, proven_at IS NOT NULL"
    view = f"SELECT DISTINCT {columns} FROM image_tags"
    assert [("red", 0.95, 100, True)] == [tuple(row) for row in archive.sql(view)]
    with transaction(archive.engine) as connection:
        assert [("colour", 1, 0)] == [(e.taxonomy, e.proven, e.expired) for e in catalog.proofs.counts(connection)]
        [(number,)] = connection.execute(text("SELECT id FROM certificates"))
        assert catalog.certificates.expire(connection, number, because="a window of decisions")
        assert [("colour", 0, 1)] == [(e.taxonomy, e.proven, e.expired) for e in catalog.proofs.counts(connection)]
    assert [("red", None, None, False)] == [tuple(row) for row in archive.sql(view)]
    assert {None} == {tag.proven for tag in shown(archive, key).tags}


def test_columns_that_are_not_read_cost_nothing(archive):
    """A query that does not ask what is proven does not look it up."""
    archive.apply(proven(archive, "red"))
    plans = [
        str(archive.sql(f"EXPLAIN SELECT {columns} FROM image_tags WHERE taxonomy = 'colour' AND label = 'red'"))
        for columns in ("key", "key, proven_n")
    ]
    assert [False, True] == ["cert" in plan for plan in plans]


def test_a_worker_writes_suggestions(archive):
    """As a retagging would: nothing is left to do, and an image that is written again is current."""
    archive.apply(proven(archive, "red"))
    archive.labels.follow()
    keys = archive.add(60, seed=5)
    assert 0 == archive.plan(proven(archive, "red"), sample=None).touched.seen
    with transaction(archive.engine) as connection:
        known = catalog.read.known_images(connection, space_id=archive.space.id, refs=[ref(key) for key in keys])
    assert {True} == {archive.labels.now.tagger.is_current(each.tags) for each in known.values()}
    assert {"red": {"zero-shot"}, "green": {"suggestion"}, "blue": {"suggestion"}, None: {"zero-shot"}} == sources(
        archive
    )


def test_another_taxonomy_waits_for_a_proof(archive):
    """A condition does not hold where its label is only suggested."""
    archive.apply(ASKED, ON_RED)
    assert not archive.sql("SELECT FROM tags WHERE taxonomy = 'other'")
    archive.apply(proven(archive, "red"), ON_RED)
    asked = {row.key for row in archive.sql("SELECT i.key FROM tags t JOIN images i ON i.id = t.image_id "
                                            "WHERE t.taxonomy = 'other'")}  # fmt: skip
    assert images(archive, "red") == asked


def test_a_head_changes_the_source_of_tags(archive):
    """In place, and without news for readers where labels stay."""
    before, announced = archive.seen(), archive.feed()
    head = Head(number=1, moves={})
    learned = Learned(model=archive.space.model, head=head)
    archive.apply(replace(COLOUR, learned={str(archive.space.id): learned}))
    assert {"few-shot"} == set().union(*sources(archive).values())
    assert (before, announced) == (archive.seen(), archive.feed())


@pytest.mark.parametrize(
    ("verdict", "label", "labels"),
    [(Verdict.ACCEPT, "red", {"red"}), (Verdict.REJECT, "red", set()), (Verdict.REPLACE, "blue", {"blue"})],
)
def test_people_decide_about_suggestions(archive, verdict, label, labels):
    """What they accept is a tag, and what they reject is gone; so it stays when the label is proven."""
    archive.apply(ASKED)
    key = min(suggested(archive, "red"))
    request = DecisionRequest(ref=ref(key), taxonomy="colour", verdict=verdict, label=label)
    assert {"saved"} == {each.outcome for each in decide.decide(archive.engine, [request], reviewer="ada").results}
    for _ in range(2):
        found = shown(archive, key)
        assert (labels, ()) == ({tag.label for tag in found.tags if tag.in_force and tag.label}, found.suggestions)
        assert key not in suggested(archive, "red")
        archive.apply(proven(archive, "red"))


def test_rolling_back_brings_the_labels_back(archive):
    """Suggestions become the tags that they were."""
    before = archive.seen()
    archive.apply(ASKED)
    archive.apply(COLOUR)
    assert before == archive.seen()
    assert archive.expected(COLOUR) == archive.tags()
