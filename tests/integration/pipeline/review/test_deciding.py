"""What people decide is recorded once, put into force, and refused or told where it does not fit."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import text

from tests.factories import enriched_image, spec, unit
from tests.ledger import BUCKET, ref
from worker import catalog
from worker.catalog.decisions import Chosen, Verdict
from worker.catalog.taxonomies import TaxonomyVersion
from worker.db import Engine, transaction
from worker.errors import ChoiceError
from worker.pipeline.common.tag_filters import UnknownNameError
from worker.pipeline.review import history, undo
from worker.pipeline.review.decide import MOST, DecisionOutcome, DecisionRequest, Seen, decide
from worker.types import Tag

LIGHT = {"labels": [{"name": "day", "title": "Daylight", "aliases": ["daytime"]}, {"name": "night"}]}
THINGS = {"mode": "multi-label", "labels": [{"name": "cat"}, {"name": "sofa"}, {"name": "lamp"}]}
KINDS = {
    "labels": [
        {"name": "animal", "children": [{"name": "dog", "children": [{"name": "poodle"}]}, {"name": "cat"}]},
        {"name": "vehicle"},
    ]
}
WORDS = {"mode": "vocabulary", "labels": [{"name": "word"}]}
SAVED, UNCHANGED, OTHER_BYTES, CONFLICT, REFUSED = DecisionOutcome


@pytest.fixture
def space(engine: Engine):
    """Three images; the model says `day`, `cat` and `sofa`, and `animal`, `dog` of each."""
    definitions: dict[str, dict[str, Any]] = {"light": LIGHT, "things": THINGS, "kinds": KINDS, "words": WORDS}
    with transaction(engine) as connection:
        catalog.taxonomies.remember(
            connection,
            [
                TaxonomyVersion(name=name, version="v1", many=name != "light", definition=definition)
                for name, definition in definitions.items()
            ],
        )
        space = catalog.spaces.ensure(connection, spec())
    write(engine, "a", "b", "c")
    return space


def write(engine: Engine, *keys: str, sha256: str | None = None) -> None:
    labels = [("light", "day"), ("things", "cat"), ("things", "sofa"), ("kinds", "animal"), ("kinds", "dog")]
    tags = tuple(Tag(taxonomy=name, version="v1", label=each, score=0.5, probability=0.75) for name, each in labels)
    images = [replace(enriched_image(key), tags=tags) for key in keys]
    if sha256 is not None:
        images = [replace(each, metadata=replace(each.metadata, sha256=sha256)) for each in images]
    with transaction(engine) as connection:
        space = catalog.spaces.ensure(connection, spec())
        catalog.write.save_images(connection, space_id=space.id, images=images)


def ask(key: str, taxonomy: str, verdict: Verdict, label: str | None = None, **more) -> DecisionRequest:
    return DecisionRequest(ref=ref(key), taxonomy=taxonomy, verdict=verdict, label=label, **more)


def say(engine: Engine, *requests: DecisionRequest, reviewer: str = "ada", **more):
    return decide(engine, requests, reviewer=reviewer, **more)


def outcomes(engine: Engine, *requests: DecisionRequest, **more) -> list[DecisionOutcome]:
    return [each.outcome for each in say(engine, *requests, **more).results]


def tags(engine: Engine, taxonomy: str, key: str = "a") -> list[str]:
    query = "SELECT label FROM image_tags WHERE taxonomy = :taxonomy AND key = :key ORDER BY label"
    with transaction(engine) as connection:
        return list(connection.execute(text(query), {"taxonomy": taxonomy, "key": key}).scalars())


def rejected(engine: Engine, taxonomy: str, key: str = "a") -> list[str]:
    query = "SELECT label FROM tags JOIN images i ON i.id = image_id WHERE taxonomy = :taxonomy AND key = :key"
    with transaction(engine) as connection:
        found = connection.execute(text(f"{query} AND source = 'rejected'"), {"taxonomy": taxonomy, "key": key})
        return list(found.scalars())


def test_a_correction_holds_whatever_the_model_says_later(engine, space):
    """Also when the same bytes are enriched again, with the tags that the model had given before."""
    assert [SAVED] == outcomes(engine, ask("a", "light", Verdict.REPLACE, "night"))
    assert ["night"] == tags(engine, "light")
    write(engine, "a")
    assert ["night"] == tags(engine, "light")
    write(engine, "a", sha256="cd" * 32)
    assert ["day"] == tags(engine, "light")
    write(engine, "a", sha256="ab" * 32)
    assert ["night"] == tags(engine, "light")


def test_one_label_of_several_holds_whatever_the_model_says_later(engine, space):
    """Accepted or rejected beside the model's labels: another run of the model changes neither, and decides nothing."""
    say(engine, ask("a", "things", Verdict.REJECT, "cat"), ask("a", "things", Verdict.ACCEPT, "lamp"))
    write(engine, "a")
    assert ["lamp", "sofa"] == tags(engine, "things")
    assert 2 == len(listed(engine))


def test_what_was_forgotten_does_not_come_back(engine, space):
    """Neither with the next answer to the taxonomy; unless "unsure" itself is undone."""
    say(engine, ask("a", "light", Verdict.REJECT, "day"))
    unsure = say(engine, ask("a", "light", Verdict.UNSURE))
    say(engine, ask("a", "light", Verdict.ACCEPT, "night"))
    assert [] == rejected(engine, "light")
    undo.undo_batch(engine, unsure.batch, reviewer="ada")
    assert ["day"] == rejected(engine, "light")


def test_decisions_hold_when_another_model_takes_over(engine, space):
    """Its answers take the place of the old model's, and of nothing that a person said; also on the way back."""
    say(
        engine,
        ask("a", "light", Verdict.ACCEPT, "night"),
        ask("b", "light", Verdict.REJECT, "night"),
        ask("a", "things", Verdict.REJECT, "cat"),
    )
    says = [("light", "night"), ("things", "cat"), ("things", "lamp")]
    answers = tuple(Tag(taxonomy=name, version="v1", label=each, score=0.5, probability=0.9) for name, each in says)
    with transaction(engine) as connection:
        new = catalog.spaces.ensure(connection, spec("other"))
        ids = list(connection.execute(text("SELECT id FROM images ORDER BY key")).scalars())
        images = [catalog.write.EmbeddedImage(image_id=each, vector=unit(0), tags=answers) for each in ids]
        catalog.write.save_vectors(connection, new.id, images)
        assert catalog.spaces.activate(connection, new.id)
    assert [["night"], [], ["night"]] == [tags(engine, "light", key) for key in "abc"]
    assert [["lamp"], ["cat", "lamp"]] == [tags(engine, "things", key) for key in "ab"]
    with transaction(engine) as connection:
        catalog.spaces.activate(connection, space.id)
    assert [["night"], ["day"], ["day"]] == [tags(engine, "light", key) for key in "abc"]
    assert ["sofa"] == tags(engine, "things")


def test_labels_are_given_by_name_title_or_alias(engine, space):
    """As in filters."""
    for word in ("day", "Daylight", "DAYTIME"):
        say(engine, ask("a", "light", Verdict.ACCEPT, word))
    assert ["day"] == tags(engine, "light")


def test_of_several_labels_one_is_decided_and_the_others_stay(engine, space):
    """With `mode: multi-label`; none of these is about all of them."""
    say(engine, ask("a", "things", Verdict.REJECT, "cat"), ask("a", "things", Verdict.ACCEPT, "lamp"))
    assert ["lamp", "sofa"] == tags(engine, "things")
    say(engine, ask("a", "things", Verdict.REPLACE, "cat", seen=Seen(label="sofa")))
    assert ["cat", "lamp"] == tags(engine, "things")
    say(engine, ask("a", "things", Verdict.NONE))
    assert [] == tags(engine, "things")


def test_a_kind_holds_with_what_is_above_it_and_falls_with_it(engine, space):
    """A poodle is a dog is an animal; what is no animal is no dog."""
    say(engine, ask("a", "kinds", Verdict.ACCEPT, "poodle"))
    assert ["animal", "dog", "poodle"] == tags(engine, "kinds")
    say(engine, ask("b", "kinds", Verdict.REJECT, "animal"))
    assert [] == tags(engine, "kinds", "b")
    say(engine, ask("c", "kinds", Verdict.REJECT, "dog"))
    assert ["animal"] == tags(engine, "kinds", "c")
    say(engine, ask("a", "kinds", Verdict.REPLACE, "cat", seen=Seen(label="dog")))
    assert ["animal", "cat"] == tags(engine, "kinds")


def test_unsure_and_withdraw_leave_it_to_the_model(engine, space):
    """They are recorded, and what was decided before stands no longer."""
    for verdict in (Verdict.UNSURE, Verdict.WITHDRAW):
        say(engine, ask("a", "light", Verdict.ACCEPT, "night"))
        assert ["night"] == tags(engine, "light")
        assert [SAVED] == outcomes(engine, ask("a", "light", verdict))
        assert ["day"] == tags(engine, "light")


@pytest.mark.parametrize(
    ("request_", "told"),
    [
        (ask("a", "light", Verdict.ACCEPT, "nihgt"), "taxonomy light has no label 'nihgt'; did you mean 'night'?"),
        (ask("a", "ligt", Verdict.ACCEPT, "day"), "there is no taxonomy 'ligt'; did you mean 'light'?"),
        (ask("a", "light", Verdict.ACCEPT), "accept needs a label"),
        (ask("a", "light", Verdict.NONE, "day"), "none means none of the labels of light"),
        (ask("a", "light", Verdict.UNDO, "day"), "undo by batch or by number"),
        (ask("a", "words", Verdict.ACCEPT, "word"), "words is a vocabulary"),
        (ask("a", "things", Verdict.REPLACE, "lamp"), "say which one is replaced"),
        (ask("x", "light", Verdict.ACCEPT, "day"), f"{BUCKET}/x is not in the catalog"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_does_not_exist_is_refused_and_keeps_nothing_else_back(engine, space, request_, told):
    """Each with what to do; the request behind it is saved all the same."""
    [refused, saved] = say(engine, request_, ask("b", "light", Verdict.ACCEPT, "night")).results
    assert (REFUSED, SAVED) == (refused.outcome, saved.outcome)
    assert told in refused.message
    assert ["night"] == tags(engine, "light", "b")


@pytest.mark.parametrize("odd", ["nul\0", "half \ud800", "x" * 3_000], ids=["nul", "surrogate", "long"])
def test_what_the_database_cannot_keep_is_refused(engine, space, odd):
    """Wherever it stands; the request behind it is saved all the same."""
    good = ask("a", "light", Verdict.ACCEPT, "day")
    bad = [
        replace(good, ref=ref(odd)), replace(good, taxonomy=odd), replace(good, label=odd), replace(good, reason=odd),
        replace(good, reviewer=odd), replace(good, seen=Seen(sha256=odd)), replace(good, seen=Seen(label=odd)),
        replace(good, seen=Seen(version=odd)),
    ]  # fmt: skip
    assert [REFUSED] * len(bad) + [SAVED] == outcomes(engine, *bad, good, new_labels=True)
    for who in (lambda: say(engine, good, reviewer=odd), lambda: undo.undo_some(engine, [1], reviewer=odd)):
        with pytest.raises(ChoiceError, match=r"shorten it|remove that character"):
            who()


def test_new_labels_only_where_they_are_asked_for(engine, space):
    """Once a person has used one, it is a label like others."""
    fog = ask("a", "light", Verdict.ACCEPT, "fog")
    assert [REFUSED] == outcomes(engine, fog)
    assert [SAVED] == outcomes(engine, fog, ask("a", "mood", Verdict.ACCEPT, "calm"), new_labels=True)[:1]
    assert (["fog"], ["calm"]) == (tags(engine, "light"), tags(engine, "mood"))
    assert [SAVED] == outcomes(engine, replace(fog, ref=ref("b")))


@pytest.mark.parametrize(
    ("seen", "told"),
    [
        (Seen(labels=("night",)), "its labels are day now, not night"),
        (Seen(labels=()), "its labels are day now, not none"),
        (Seen(decision=77), "has been undone"),
    ],
)
def test_a_tag_that_changed_meanwhile_is_told_and_not_overwritten(engine, space, seen, told):
    """With what holds now; nothing is recorded."""
    [result] = say(engine, ask("a", "light", Verdict.ACCEPT, "night", seen=seen)).results
    assert CONFLICT == result.outcome
    assert told in result.message
    assert result.now is not None
    assert ("day",) == result.now.labels
    assert ["day"] == tags(engine, "light")


def test_somebody_else_decided_meanwhile(engine, space):
    """The second of two who saw the same page is told who was first."""
    seen = Seen(decision=0, labels=("day",))
    assert [SAVED] == outcomes(engine, ask("a", "light", Verdict.ACCEPT, "day", seen=seen), reviewer="bob")
    [result] = say(engine, ask("a", "light", Verdict.ACCEPT, "night", seen=seen)).results
    assert (CONFLICT, "bob decided about it meanwhile; look again") == (result.outcome, result.message)


def test_a_decision_about_other_bytes_is_kept_for_these(engine, space):
    """It is about the picture that was seen: in force when it comes back, and never for another."""
    [result] = say(engine, ask("a", "light", Verdict.ACCEPT, "night", seen=Seen(sha256="CD" * 32))).results
    assert OTHER_BYTES == result.outcome
    assert ["day"] == tags(engine, "light")
    write(engine, "a", sha256="cd" * 32)
    assert ["night"] == tags(engine, "light")


def test_a_decision_before_the_image_is_enriched_waits_for_it(engine, space):
    """An import of labels may come before the backfill, if it says which bytes it is about."""
    seen = Seen(sha256=enriched_image("new").metadata.sha256)
    assert [OTHER_BYTES] == outcomes(engine, ask("new", "light", Verdict.ACCEPT, "night", seen=seen))
    write(engine, "new")
    assert ["night"] == tags(engine, "light", "new")


def test_saying_the_same_again_records_nothing(engine, space):
    """Another person, or a review that drew the image, confirms it."""
    request = ask("a", "light", Verdict.ACCEPT, "day")
    assert [[SAVED], [UNCHANGED]] == [outcomes(engine, request), outcomes(engine, request)]
    assert [SAVED] == outcomes(engine, request, reviewer="bob")
    assert [SAVED] == outcomes(engine, replace(request, chosen=Chosen.RANDOM), reviewer="bob")
    assert ["bob", "bob", "ada"] == [each.reviewer for each in listed(engine)]


def test_the_same_label_instead_of_another_is_another_decision(engine, space):
    """Alone and in one batch: each replaces what was shown."""
    requests = [ask("a", "things", Verdict.REPLACE, "lamp", seen=Seen(label=shown)) for shown in ("cat", "sofa")]
    assert [[SAVED], [SAVED]] == [outcomes(engine, each) for each in requests]
    assert ["lamp"] == tags(engine, "things")
    again = [replace(each, ref=ref("b")) for each in requests]
    batch = uuid4()
    assert [SAVED, SAVED] == outcomes(engine, *again, batch=batch)
    assert ["lamp"] == tags(engine, "things", "b")
    assert [UNCHANGED, UNCHANGED] == outcomes(engine, *again, batch=batch)


def test_a_batch_that_is_sent_again_is_recorded_once(engine, space):
    """As after a timeout; what was decided behind it stays."""
    batch, requests = uuid4(), [ask(key, "light", Verdict.ACCEPT, "night") for key in "ab"]
    assert [SAVED, SAVED] == outcomes(engine, *requests, batch=batch)
    say(engine, ask("a", "light", Verdict.ACCEPT, "day"))
    third = ask("c", "light", Verdict.ACCEPT, "night")
    assert [UNCHANGED, UNCHANGED, SAVED] == outcomes(engine, *requests, third, batch=batch)
    assert ["day"] == tags(engine, "light")
    write(engine, "b", sha256="cd" * 32)
    assert [UNCHANGED, UNCHANGED] == outcomes(engine, *requests, batch=batch)
    assert ["day"] == tags(engine, "light", "b")


def test_a_later_decision_of_a_batch_replaces_an_earlier_one(engine, space):
    """In the order in which they were sent."""
    words = ["night", "day", "night"]
    say(engine, *(ask("a", "light", Verdict.ACCEPT, word) for word in words))
    assert ["night"] == tags(engine, "light")


def test_two_who_decide_at_once_come_one_after_the_other(engine, space):
    """Neither leaves half of what it says in force."""

    def many(word: str) -> None:
        for _ in range(10):
            say(engine, *(ask(key, "light", Verdict.ACCEPT, word) for key in ("a", "b", "c")), reviewer=word)

    both = [threading.Thread(target=many, args=(word,)) for word in ("day", "night")]
    for each in both:
        each.start()
    for each in both:
        each.join()
    newest = {key: next(d.label for d in listed(engine) if d.key == key) for key in "abc"}
    assert {key: [label] for key, label in newest.items()} == {key: tags(engine, "light", key) for key in "abc"}


def test_too_many_and_nobody_are_refused(engine, space):
    """Before anything is recorded."""
    with pytest.raises(ChoiceError, match="1,001 decisions at once; at most 1,000"):
        say(engine, *[ask("a", "light", Verdict.NONE)] * (MOST + 1))
    with pytest.raises(ChoiceError, match="reviewer is empty"):
        say(engine, ask("a", "light", Verdict.NONE), reviewer=" ")


def test_numbers_that_do_not_fit_are_refused(engine, space):
    """Each by itself, instead of an error of the database about all."""
    good = ask("a", "light", Verdict.ACCEPT, "day")
    bad = [
        replace(good, plan=1 << 63),
        replace(good, inclusion_probability=1e-50),
        replace(good, seen=Seen(space=1 << 31)),
    ]
    assert [REFUSED] * 3 + [SAVED] == outcomes(engine, *bad, good)


def test_a_history_of_what_does_not_exist_is_refused(engine, space):
    """A misspelt name is told apart from a name about which nothing was decided."""
    for wanted in ({"bucket": BUCKET}, {"taxonomies": ("light",)}, {"reviewer": "ada"}):
        assert () == history.decisions(engine, catalog.decisions.DecisionFilter(**wanted), limit=1).decisions
    for wrong in ({"bucket": "nowhere"}, {"taxonomies": ("ligt",)}):
        with pytest.raises(UnknownNameError):
            history.decisions(engine, catalog.decisions.DecisionFilter(**wrong), limit=1)


def test_what_was_shown_and_how_it_was_chosen_is_kept(engine, space):
    """From the first day: only random draws may judge a model."""
    seen = Seen(label="day", version="v1", space=space.id)
    how = {"chosen": Chosen.RANDOM, "inclusion_probability": 0.25, "reason": "dusk"}
    say(engine, ask("a", "light", Verdict.REJECT, "day", seen=seen, **how))
    [kept] = listed(engine)
    assert ("day", "v1", space.id) == (kept.shown_label, kept.shown_version, kept.shown_space)
    assert ("random", 0.25, "dusk", "ada") == (kept.chosen, kept.inclusion_probability, kept.reason, kept.reviewer)
    assert enriched_image("a").metadata.sha256 == kept.sha256


def listed(engine: Engine) -> Sequence[catalog.decisions.Decision]:
    return history.decisions(engine, catalog.decisions.DecisionFilter(), limit=1_000).decisions
