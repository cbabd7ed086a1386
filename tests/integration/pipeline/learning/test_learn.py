"""Learning a head from decisions, and putting it into force."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sqlalchemy import text

from tests.integration.pipeline.learning.lessons import COLOUR, COLOURS, SEVERAL, WITH_WET, lessons, truths
from worker import catalog
from worker.catalog.decisions import Chosen, Verdict
from worker.db import Engine, transaction
from worker.errors import ChoiceError
from worker.pipeline.evaluation import calibrate
from worker.pipeline.learning import learn, messages
from worker.pipeline.learning.learn import LearningRequest
from worker.pipeline.review.queues import Queue, QueueRequest
from worker.pipeline.spaces import lifecycle as spaces
from worker.pipeline.taxonomies import lifecycle
from worker.tagging import neutral
from worker.tagging.learned import Learned, Proof


def right(shown: dict[str, set[tuple[str, str]]], truth: dict[str, str]) -> float:
    """Share of the pictures that have the right label and no other."""
    return float(np.mean([{("colour", label)} == shown.get(key, set()) for key, label in truth.items()]))


def test_what_was_taught_is_applied_to_the_rest(engine: Engine):
    """Labels of pictures that nobody looked at follow, as the plan says, and become few-shot."""
    made = lessons(engine)
    pictures = made.fill(300)
    known = truths(pictures)
    made.teach({key: known[key] for key in list(pictures)[:80]})
    unseen = {key: known[key] for key in list(pictures)[80:]}
    before = right(made.seen(), unseen)

    found = made.learn()
    planned = made.plan_change(learn.change(found), sample=None)
    made.promote(found)

    assert "test" == found.promoted_by
    assert before < 0.75 < right(made.seen(), unseen)
    assert made.expected(made.in_force()) == made.tags()
    assert planned.changed.seen > 30
    assert {"few-shot"} == made.sources()


def test_rolling_back_brings_back_zero_shot(engine: Engine):
    """Every number, bit for bit; and forgetting the head does the same."""
    made = lessons(engine)
    pictures = made.fill(120)
    made.teach(truths(pictures, keys=list(pictures)[:60]))
    before = made.tags()
    made.promote(made.learn())
    with_head = made.tags()

    _, back = lifecycle.content(engine, None)
    made.change(back, action="rollback")
    rolled_back = made.tags()
    made.change(lifecycle.content(engine, None)[1])
    space, _, forget = learn.forgotten(engine, LearningRequest(taxonomy="colour"))
    made.change(forget)

    assert with_head != before
    assert before == rolled_back == made.tags()
    assert {"zero-shot"} == made.sources()
    with pytest.raises(ChoiceError, match=f"has no head in space {space.id}"):
        learn.forgotten(engine, LearningRequest(taxonomy="colour"))


def test_a_head_that_is_not_proven_better_changes_nothing(engine: Engine):
    """It is stored with its numbers, and says what would do."""
    made = lessons(engine)
    pictures = made.fill(60)
    dry = {key: label for key, label in truths(pictures, wet="dry").items() if label != "dry"}
    made.teach(dry)
    before = made.tags()

    found = made.learn()

    assert found.promoted_by is None
    assert "head not promoted: won" in messages.message(found)
    assert "Zero-shot stays" in messages.message(found)
    assert before == made.tags()
    with transaction(engine) as connection:
        [stored] = catalog.heads.newest(connection, limit=5)
    assert (None, len(dry), "eve@here") == (stored.promoted_by, stored.decisions, stored.made_by)


def test_a_person_may_promote_a_head_that_is_ahead(engine: Engine):
    """By two images or more; it is marked so."""
    made = lessons(engine)
    pictures = made.fill(300)
    known = truths(pictures)
    for count in range(14, 40):
        fresh = list(pictures)[:count]
        decided = {row.key for row in made.sql("SELECT key FROM decisions")}
        made.teach({key: known[key] for key in fresh if key not in decided})
        found = learn.examine(engine, made.build, LearningRequest(taxonomy="colour"))
        if found.trial.test.promotable or found.promoted_by:
            break

    assert found.promoted_by is None, "the test data should pass through the state in which only a person may promote"
    assert "--promote puts the new head into force" in messages.message(found)
    promoted = made.learn(promote=True)
    made.promote(promoted)
    assert "person" == promoted.promoted_by
    own = made.in_force().head(made.space.id)
    assert own is not None
    assert own.digest == promoted.head.digest
    with transaction(engine) as connection:
        assert "person" == catalog.heads.newest(connection, limit=1)[0].promoted_by


def test_too_few_decisions_are_refused_with_what_is_missing(engine: Engine):
    """Two labels need four decisions each."""
    made = lessons(engine)
    pictures = made.fill(30)
    known = truths(pictures)
    reds = [key for key, label in known.items() if label == "red"][:6]
    made.teach(dict.fromkeys(reds, "red"))

    with pytest.raises(ChoiceError, match="needs 2 labels with 4 decisions each; there are red 6, green 0, blue 0"):
        made.learn()


def test_picked_images_teach_but_do_not_judge(engine: Engine):
    """Nothing is promoted on their word."""
    made = lessons(engine)
    pictures = made.fill(100)
    made.teach(truths(pictures), chosen=Chosen.UNCERTAIN)

    found = made.learn()

    assert (0, 0, 0) == (found.trial.judged, found.trial.test.won, found.trial.test.lost)
    assert found.promoted_by is None
    assert "only those judge" in messages.message(found)
    assert any("used for training" in note for note in messages.notes(found))


def test_a_label_without_prompts_is_learned_from_decisions_alone(engine: Engine):
    """Nobody has to describe it."""
    made = lessons(engine, WITH_WET)
    pictures = made.fill(240)
    known = truths(pictures, wet="wet")
    made.teach({key: known[key] for key in list(pictures)[:100]})
    unseen = {key: known[key] for key in list(pictures)[100:]}

    found = made.learn()
    made.promote(found)

    assert {"wet"} == set(found.head.rows)
    shown = made.seen()
    wet = [key for key, label in unseen.items() if label == "wet"]
    assert np.mean([("colour", "wet") in shown.get(key, set()) for key in wet]) > 0.75
    assert right(shown, unseen) > 0.75


def test_labels_that_do_not_compete_are_learned_one_by_one(engine: Engine):
    """Against the background, with what people rejected."""
    made = lessons(engine, SEVERAL)
    pictures = made.fill(200)
    known = truths(pictures, keys=list(pictures)[:120])
    made.teach(known, verdict=Verdict.ACCEPT)
    for wrong in COLOURS:
        made.teach({key: wrong for key, label in known.items() if label != wrong}, verdict=Verdict.REJECT)

    found = made.learn()
    made.promote(found)

    assert found.start.independent
    assert "test" == found.promoted_by
    assert made.expected(made.in_force()) == made.tags()


def test_several_prompts_and_templates_move_together(engine: Engine):
    """All rows of a label, and those of labels below it; the nearest stays the nearest."""
    wordy = replace(
        COLOUR,
        aggregate="max",
        templates=("{}", "a {} thing"),
        labels=tuple(replace(label, prompts=(label.name, f"very {label.name}")) for label in COLOUR.labels),
    )
    made = lessons(engine, wordy)
    pictures = made.fill(200)
    made.teach(truths(pictures, keys=list(pictures)[:150]))

    found = made.learn()
    made.promote(found)

    tagger = made.build(made.space, [made.in_force()])
    [(cosines, _)] = tagger.compare(found.trial.reviews.vectors)
    assert 12 == len(cosines)
    assert found.trial.test.passed, found.trial.test
    assert made.expected(made.in_force()) == made.tags()


def test_labels_judged_by_neutral_prompts_are_learned_too(engine: Engine):
    """Each image has a factor of its own there."""
    relative = replace(COLOUR, calibration=replace(COLOUR.calibration, threshold=0.1), neutral=neutral.EDITION)
    assert relative.is_relative_for("tiny")
    made = lessons(engine, relative)
    pictures = made.fill(200)
    made.teach(truths(pictures, keys=list(pictures)[:120]))

    found = made.learn(promote=True)

    assert found.start.relative
    assert len(set(found.start.factor.tolist())) > 1
    assert found.trial.accuracy[1] > found.trial.accuracy[0]
    if found.promoted_by:
        made.promote(found)
        assert made.expected(made.in_force()) == made.tags()


def test_a_head_survives_a_kill_half_way(engine: Engine):
    """The same command goes on: the same decisions give the same head, which is in force already."""
    made = lessons(engine)
    pictures = made.fill(200)
    made.teach(truths(pictures, keys=list(pictures)[:80]))
    found = made.learn()

    class KilledError(Exception):
        pass

    def die(_: object) -> None:
        raise KilledError

    with pytest.raises(KilledError):
        made.change(learn.change(found), planned=found.revision, in_force=die)
    again = made.learn()
    done = made.change(learn.change(again), planned=again.revision)

    assert again.is_in_force
    assert not done.is_new
    assert made.expected(made.in_force()) == made.tags()


def test_proofs_of_other_rows_are_dropped(engine: Engine):
    """What was proven was about the probabilities before; other spaces keep theirs."""
    made = lessons(engine)
    pictures = made.fill(120)
    made.teach(truths(pictures, keys=list(pictures)[:60]))
    own = Learned(model="tiny", thresholds={"red": 0.5}, proofs={"red": Proof(certificate=1, precision=0.9)})
    found = learn.examine(engine, made.build, LearningRequest(taxonomy="colour"))

    with_head = learn.learned_again(replace(COLOUR, learned={"1": own, "9": own}), made.space, found.learned)

    assert own.proofs != with_head.learned[str(made.space.id)].proofs
    assert own == with_head.learned["9"]


def test_what_is_proven_about_the_head_comes_with_it(engine: Engine):
    """By the same reviews, out of fold; certificates name the head, and later reviews may refute them."""
    made = lessons(engine)
    pictures = made.fill(1500)
    made.teach(truths(pictures, keys=list(pictures)[:1000]))

    found = made.learn()
    made.promote(found)

    own = made.in_force().learned_in(made.space.id)
    assert own is not None
    assert own.thresholds.keys() == own.proofs.keys() == {"red", "green", "blue"}
    with transaction(engine) as connection:
        stored = catalog.certificates.newest(connection, made.space.id)
    assert {found.head.number} == {each.head for each in stored}
    assert {made.in_force().scoring("tiny", made.space.id)} == {each.scoring for each in stored}
    later = calibrate.examine(engine, made.build, calibrate.CalibrationRequest(taxonomies=("colour",)))
    assert {1} == {each.look for each in later.taxonomies[0].labels}  # the first was spent out of fold
    known = truths(pictures, keys=list(pictures)[1000:])
    shown = {key: label for key, tags in made.seen().items() for _, label in tags if key in known}
    assert np.mean([known[key] == label for key, label in shown.items()]) >= 0.9
    assert made.expected(made.in_force()) == made.tags()


def test_a_change_meanwhile_is_refused(engine: Engine):
    """A head of other prompts is not put into force."""
    made = lessons(engine)
    pictures = made.fill(120)
    made.teach(truths(pictures, keys=list(pictures)[:60]))
    found = made.learn()
    made.apply(replace(COLOUR, labels=tuple(replace(each, prompts=(f"a {each.name}",)) for each in COLOUR.labels)))

    with pytest.raises(ChoiceError, match="scores images differently now"):
        made.change(learn.change(found))


def test_everything_is_undone_with_the_decisions(engine: Engine):
    """Without a decision there is nothing to learn."""
    made = lessons(engine)
    made.fill(20)
    with transaction(engine) as connection:
        assert 0 == connection.execute(text("SELECT count(*) FROM decisions")).scalar_one()

    with pytest.raises(ChoiceError, match="there are red 0, green 0, blue 0"):
        made.learn()


def test_a_head_is_learned_for_another_space_before_it_is_activated(engine: Engine):
    """From the same decisions; until then the command says that it is missing there."""
    made = lessons(engine)
    pictures = made.fill(200)
    made.teach(truths(pictures, keys=list(pictures)[:80]))
    made.promote(made.learn())
    other = made.another_space()

    before = spaces.unlearned(engine, other.id)
    found = made.learn(space=other.id)
    made.promote(found)

    assert ("colour",) == before
    assert () == spaces.unlearned(engine, other.id)
    assert {str(made.space.id), str(other.id)} == made.in_force().learned.keys()
    assert made.expected(made.in_force()) == made.tags()
    done = spaces.activate(engine, other.id, force=True)
    assert () == done.unlearned


def test_activating_a_space_without_a_head_names_the_taxonomies(engine: Engine):
    """Their tags are zero-shot there."""
    made = lessons(engine)
    pictures = made.fill(200)
    made.teach(truths(pictures, keys=list(pictures)[:80]))
    made.promote(made.learn())

    done = spaces.activate(engine, made.another_space().id, force=True)

    assert ("colour",) == done.unlearned


@pytest.mark.parametrize("label", [None, "blue"])
def test_images_about_which_head_and_prompts_differ_come_for_review(engine: Engine, label: str | None):
    """Undecided ones, with both answers."""
    made = lessons(engine)
    pictures = made.fill(200)
    made.teach(truths(pictures, keys=list(pictures)[:80]))
    with pytest.raises(ChoiceError, match="nothing can disagree"):
        made.queues.page(QueueRequest(queue=Queue.DISAGREEMENT, taxonomy="colour", label=label))
    before = made.seen()
    made.promote(made.learn())
    after = made.seen()

    found = made.queues.page(QueueRequest(queue=Queue.DISAGREEMENT, taxonomy="colour", label=label, limit=300)).items

    changed = {key for key in list(pictures)[80:] if before.get(key) and after.get(key) and before[key] != after[key]}
    assert changed
    if label is None:
        assert changed <= {each.ref.key for each in found}
    assert not {each.ref.key for each in found} & set(list(pictures)[:80])
    assert all(label in (None, each.label) for each in found)
    assert "the head says" in found[0].why
    assert "the prompts alone" in found[0].why


def test_labels_that_do_not_compete_are_compared_one_by_one(engine: Engine):
    """By whether each gives the label."""
    made = lessons(engine, SEVERAL)
    pictures = made.fill(120)
    known = truths(pictures, keys=list(pictures)[:60])
    made.teach(known, verdict=Verdict.ACCEPT)
    for wrong in COLOURS:
        made.teach({key: wrong for key, label in known.items() if label != wrong}, verdict=Verdict.REJECT)
    made.promote(made.learn(promote=True))

    found = made.queues.page(QueueRequest(queue=Queue.DISAGREEMENT, taxonomy="colour", label="blue", limit=300)).items

    assert {"blue"} == {each.label for each in found}
    assert {True} <= {each.given for each in found}
