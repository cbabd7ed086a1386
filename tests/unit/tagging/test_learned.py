"""What reviews taught: part of a version, kept while scoring stays the same, and used in its space alone."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.unit.tagging.fake_texts import DIMENSION, FakeTexts, images, vector
from tests.unit.tagging.test_taxonomy_version import BASE
from worker.tagging import (
    Calibration,
    Label,
    Requirement,
    Tagger,
    Taxonomy,
    build_label_matrices,
    definition,
    edits,
    load_taxonomies,
    restore,
)
from worker.tagging.learned import NONE_OF_THESE, Head, Learned, Proof, packed, unpacked
from worker.tagging.taxonomy import LabelTranslation, Translation, Wording
from worker.types import Floats

MODEL, SPACE = "starter", 3
#: Computed by the release before anything could be learned; of files that have stayed as they were.
BEFORE = {
    "mood": "7b415401ed7b710c",
    "setting": "4a8c7e42ab9ccb7a",
    "subject": "5f0d24eda0a34759",
}
PLAIN = Taxonomy(
    name="light",
    labels=(Label(name="day", prompts=("a day",)), Label(name="night", prompts=("a night", "stars"))),
    calibration=Calibration(threshold=0.1),
    models={MODEL: Calibration(threshold=0.1)},
)
#: One label has no prompts, and is only compared where a head knows it.
WITH_DUSK = replace(PLAIN, labels=(*PLAIN.labels, Label(name="dusk")))


def move(text: str, length: float = 0.25) -> str:
    return packed(np.float32(length) * vector(text))


HEAD = Head(number=7, moves={"day": move("to day"), "night": move("to night")})
LEARNED = Learned(
    model=MODEL,
    thresholds={"day": 0.4},
    proofs={"day": Proof(certificate=5, precision=0.95), "night": Proof(certificate=6, precision=0.9)},
    head=HEAD,
)


def taught(taxonomy: Taxonomy = PLAIN, learned: Learned = LEARNED, **more: Any) -> Taxonomy:
    return replace(taxonomy, learned={str(SPACE): learned}, **more)


def tagger(*taxonomies: Taxonomy, space: int | None = SPACE) -> Tagger:
    return Tagger(taxonomies, FakeTexts(), logit_scale=10.0, model=MODEL, space=space)


# -- versions and scorings ---------------------------------------------------------------------------------------------


def test_versions_of_files_without_learned_parts_are_those_of_earlier_releases() -> None:
    """Tags in a catalog stay current over the upgrade."""
    assert {each.name: each.version for each in (BASE, *load_taxonomies()) if each.name in BEFORE} == BEFORE


@pytest.mark.parametrize(
    "other",
    [
        taught(learned=replace(LEARNED, thresholds={"day": 0.5})),
        taught(learned=replace(LEARNED, head=replace(HEAD, moves={"day": move("to day")}))),
        taught(learned=replace(LEARNED, head=None)),
        taught(target_precision=0.95),
        replace(PLAIN, learned={"4": LEARNED}),
    ],
)
def test_versions_cover_what_decides(other: Taxonomy) -> None:
    """Thresholds, the head, the precision asked for, and the space."""
    assert taught().version != other.version


def test_versions_do_not_cover_what_decides_nothing() -> None:
    """Another certificate for the same labels, the number of the head, and proofs where no precision is asked for."""
    renewed = replace(LEARNED, proofs={"day": Proof(certificate=9, precision=0.97)}, head=replace(HEAD, number=8))
    assert taught().version == taught(learned=renewed).version
    asked = taught(target_precision=0.95)
    again = replace(LEARNED, proofs={"day": Proof(certificate=9, precision=0.97)}, head=replace(HEAD, number=8))
    assert asked.version == taught(learned=again, target_precision=0.95).version
    fewer = replace(LEARNED, proofs={})
    assert asked.version != taught(learned=fewer, target_precision=0.95).version


SAME_SCORING = {
    "threshold": replace(PLAIN, models={MODEL: Calibration(threshold=0.9)}),
    "a label's threshold": replace(PLAIN, models={MODEL: Calibration(threshold=0.1, thresholds={"day": 0.3})}),
    "target": replace(PLAIN, target_precision=0.95),
    "another model's numbers": replace(PLAIN, models={**PLAIN.models, "other": Calibration(temperature=3.0)}),
    "another model's templates": replace(PLAIN, wordings={"other": Wording(templates=("photo of {}",))}),
    "titles": replace(PLAIN, title="Light", labels=(replace(PLAIN.labels[0], title="Day"), PLAIN.labels[1])),
    "learned thresholds": taught(learned=Learned(model=MODEL, thresholds={"day": 0.7})),
    "a head elsewhere": replace(PLAIN, learned={"4": LEARNED}),
}
OTHER_SCORING = {
    "a prompt": replace(PLAIN, labels=(Label(name="day", prompts=("noon",)), PLAIN.labels[1])),
    "a label": WITH_DUSK,
    "temperature": replace(PLAIN, models={MODEL: Calibration(threshold=0.1, temperature=2.0)}),
    "margin": replace(PLAIN, models={MODEL: Calibration(threshold=0.1, margin=0.2)}),
    "templates": replace(PLAIN, templates=("a photo of {}",)),
    "own templates": replace(PLAIN, wordings={MODEL: Wording(templates=("a photo of {}",))}),
    "background": replace(PLAIN, background=("a wall",)),
    "no numbers": replace(PLAIN, models={}, neutral="1"),
    "head": taught(),
}


SPOKEN = replace(
    PLAIN,
    wordings={MODEL: Wording(languages=("fr",))},
    labels=(
        replace(
            PLAIN.labels[0],
            translations={"de": LabelTranslation(prompts=("Tag",)), "fr": LabelTranslation(prompts=("jour",))},
        ),
        PLAIN.labels[1],
    ),
    translations={"de": Translation(background=("eine Wand",)), "fr": Translation(background=("un mur",))},
)


def test_a_scoring_depends_on_the_languages_of_its_model_only() -> None:
    """Another model may learn a language, and templates that its own replace may change."""
    more = replace(SPOKEN, wordings={**SPOKEN.wordings, "other": Wording(languages=("de",))})
    assert SPOKEN.version != more.version
    assert SPOKEN.scoring(MODEL, SPACE) == more.scoring(MODEL, SPACE)
    assert SPOKEN.scoring("other", SPACE) != more.scoring("other", SPACE)
    known = replace(SPOKEN, wordings={MODEL: Wording(languages=("fr", "de"))})
    assert SPOKEN.scoring(MODEL, SPACE) != known.scoring(MODEL, SPACE)
    own = replace(PLAIN, wordings={MODEL: Wording(templates=("a photo of {}",))})
    assert own.scoring(MODEL, SPACE) == replace(own, templates=("seen: {}",)).scoring(MODEL, SPACE)
    assert own.scoring("other", SPACE) != replace(own, templates=("seen: {}",)).scoring("other", SPACE)
    assert PLAIN.scoring(MODEL, SPACE) == replace(PLAIN, neutral="1").scoring(MODEL, SPACE)  # it has numbers


@pytest.mark.parametrize("other", SAME_SCORING.values(), ids=SAME_SCORING)
def test_a_scoring_does_not_depend_on_thresholds_or_other_models(other: Taxonomy) -> None:
    """Proofs about probabilities hold for any threshold."""
    assert PLAIN.scoring(MODEL, SPACE) == other.scoring(MODEL, SPACE)


@pytest.mark.parametrize("other", OTHER_SCORING.values(), ids=OTHER_SCORING)
def test_a_scoring_depends_on_all_that_makes_probabilities(other: Taxonomy) -> None:
    """Proofs about other probabilities say nothing."""
    assert PLAIN.scoring(MODEL, SPACE) != other.scoring(MODEL, SPACE)


@pytest.mark.parametrize("after", [each for name, each in SAME_SCORING.items() if not each.learned])
def test_what_was_taught_is_kept_with_the_scoring(after: Taxonomy) -> None:
    """A new file may change thresholds and words."""
    assert {str(SPACE): LEARNED} == after.carrying(taught()).learned


@pytest.mark.parametrize("after", [each for name, each in OTHER_SCORING.items() if name != "head"])
def test_what_was_taught_about_another_scoring_is_dropped(after: Taxonomy) -> None:
    """Heads are fitted to prompts."""
    assert after == after.carrying(taught())


def test_each_space_keeps_its_own() -> None:
    """What was taught with one model is kept when another one's numbers change."""
    other = replace(LEARNED, model="other")
    before = replace(PLAIN, models={**PLAIN.models, "other": Calibration()}, learned={"3": LEARNED, "4": other})
    after = replace(PLAIN, models={**PLAIN.models, "other": Calibration(temperature=2.0)})
    assert {"3": LEARNED} == after.carrying(before).learned


def test_what_was_taught_is_stored_with_a_taxonomy() -> None:
    """Also by a database, which sorts keys."""
    taxonomy = taught(WITH_DUSK, replace(LEARNED, head=replace(HEAD, rows={"dusk": move("dusk", 1.0)})))
    stored = json.loads(json.dumps(definition(taxonomy), sort_keys=True))
    assert taxonomy == restore(stored, version=taxonomy.version)


def test_vectors_survive_as_text() -> None:
    """To the last bit; anything else is refused."""
    row = images(1)[0]
    assert row.tobytes() == unpacked(packed(row)).tobytes()
    with pytest.raises(ValueError, match=r"."):
        unpacked("no vector!")


def test_differences_are_told_without_vectors() -> None:
    """Thresholds, proofs as precisions, and the number of the head."""
    other = Learned(
        model=MODEL,
        thresholds={"day": 0.5, "night": 0.25},
        proofs={"day": Proof(certificate=8, precision=0.95), "night": Proof(certificate=9, precision=0.95)},
        head=replace(HEAD, number=8),
    )
    assert [
        "learned in space 3, thresholds.day: 0.4 → 0.5",
        "learned in space 3, thresholds.night: + 0.25",
        "learned in space 3, proven.night: 0.9 → 0.95",
        "learned in space 3, head: 7 → 8",
    ] == edits(definition(taught()), definition(taught(learned=other)))
    assert ["target_precision: + 0.95"] == edits(definition(PLAIN), definition(replace(PLAIN, target_precision=0.95)))


# -- heads -------------------------------------------------------------------------------------------------------------


def moved(*texts: str, by: str) -> Floats:
    """The row of a label of these texts, moved."""
    mean = np.mean([vector(text) for text in texts], axis=0)
    row: Floats = (mean / np.linalg.norm(mean.astype(np.float64))).astype(np.float32) + unpacked(move(by))
    return row


def test_rows_of_labels_are_moved_in_their_space_alone() -> None:
    """Nothing else of the matrix changes."""
    [here] = build_label_matrices([taught()], FakeTexts(), model=MODEL, space=SPACE)
    [elsewhere] = build_label_matrices([taught()], FakeTexts(), model=MODEL, space=4)
    [plain] = build_label_matrices([PLAIN], FakeTexts(), model=MODEL, space=SPACE)
    np.testing.assert_array_equal(plain.rows, elsewhere.rows)
    expected = [moved("a day", by="to day"), moved("a night", "stars", by="to night")]
    np.testing.assert_allclose(np.stack(expected), here.rows, atol=1e-6)
    assert plain.labels == here.labels


def test_moved_rows_decide_each_image_by_itself() -> None:
    """To the last bit the same alone and in batches, although rows are not of unit length."""
    by, vectors = tagger(taught()), images(5_000, seed=1)
    together = by.tag(vectors)
    some = [0, 1, 2_047, 2_048, 4_999]
    assert [together[place] for place in some] == [by.tag(vectors[place : place + 1])[0] for place in some]
    assert together[100:117] == by.tag(vectors[100:117])
    assert {"few-shot"} == {tag.source for tags in together for tag in tags}
    assert together != tagger(PLAIN).tag(vectors)


def test_rows_that_exact_products_cannot_hold_are_refused() -> None:
    """A head that moves a row so far is broken."""
    [plain] = build_label_matrices([PLAIN], FakeTexts(), model=MODEL)
    far = Head(number=1, moves={"day": packed(np.float32(0.96) * plain.rows[0])})
    with pytest.raises(ValueError, match=r"moves a row further than 1.95"):
        tagger(taught(learned=Learned(model=MODEL, head=far)))


def test_a_label_without_prompts_is_compared_where_a_head_knows_it() -> None:
    """Elsewhere the taxonomy works without it."""
    head = Head(number=1, rows={"dusk": packed(vector("dusk"))})
    taxonomy = taught(WITH_DUSK, Learned(model=MODEL, head=head))
    dusk = vector("dusk")[np.newaxis]
    assert [["dusk"], ["day", "dusk", "night"]] == [
        [tag.label for tag in tagger(taxonomy).tag(dusk)[0]],
        list(tagger(taxonomy).rules[0].matrix.labels),
    ]
    without = tagger(taxonomy, space=4)
    assert ("day", "night") == without.rules[0].matrix.labels
    assert tagger(PLAIN).tag(images(50)) == [
        tuple(replace(tag, version=PLAIN.version) for tag in tags) for tags in without.tag(images(50))
    ]


def test_a_head_can_know_what_is_none_of_the_labels() -> None:
    """As one more candidate, where the taxonomy has no background of its own."""
    head = Head(number=1, rows={NONE_OF_THESE: packed(vector("neither"))})
    by = tagger(taught(learned=Learned(model=MODEL, head=head)))
    [(decided,)] = [by.decide(vector("neither")[np.newaxis])]
    assert by.rules[0].matrix.top.background
    assert {"background-nearer": [0]} == {str(why): rows.tolist() for why, rows in decided.abstentions().items()}
    own = tagger(taught(replace(PLAIN, background=("a wall",)), Learned(model=MODEL, head=head)))
    [plain] = build_label_matrices([replace(PLAIN, background=("a wall",))], FakeTexts(), model=MODEL)
    np.testing.assert_array_equal(plain.rows, own.rules[0].matrix.rows)


def test_learned_thresholds_replace_those_of_the_file() -> None:
    """In their space alone."""
    assert [0.4, 0.1] == [taught().calibration_for(MODEL, space).threshold_of("day") for space in (SPACE, 4)]
    assert 0.1 == taught().calibration_for(MODEL, SPACE).threshold_of("night")


# -- suggestions -------------------------------------------------------------------------------------------------------

AXES = {word: row.tolist() for word, row in zip(("cat", "dog", "wolf", "car", "wall"), np.eye(DIMENSION), strict=False)}
ONE = Taxonomy(
    name="one",
    labels=(
        Label(name="animal", children=(Label(name="cat", prompts=("cat",)), Label(name="dog", prompts=("dog",)))),
        Label(name="car", prompts=("car",)),
    ),
    background=("wall",),
    target_precision=0.95,
)
MANY = replace(
    ONE,
    name="many",
    mode="multi-label",
    labels=tuple(Label(name=name, prompts=(name,)) for name in ("cat", "dog", "car")),
)
ON_CAT = Taxonomy(
    name="about-cats",
    labels=(Label(name="wolf", prompts=("wolf",)), Label(name="wall", prompts=("wall",))),
    calibration=Calibration(threshold=0.0),
    when=((Requirement(taxonomy="many", labels=("cat",)),),),
)


def proving(taxonomy: Taxonomy, *labels: str, precision: float = 0.95) -> Taxonomy:
    proofs = {label: Proof(certificate=1, precision=precision) for label in labels}
    return replace(taxonomy, learned={str(SPACE): Learned(model=MODEL, proofs=proofs)})


def said(*taxonomies: Taxonomy, **cosines: float) -> dict[str, list[tuple[str | None, str]]]:
    row = np.zeros(DIMENSION, dtype=np.float32)
    for word, cosine in cosines.items():
        row[list(AXES).index(word)] = cosine
    row[-1] = np.sqrt(1 - np.square(row).sum())
    by = Tagger(taxonomies, FakeTexts(AXES), logit_scale=20.0, model=MODEL, space=SPACE)
    found: dict[str, list[tuple[str | None, str]]] = {}
    for tag in by.tag(row[np.newaxis])[0]:
        found.setdefault(tag.taxonomy, []).append((tag.label, tag.source))
    return found


def test_an_unproven_label_is_suggested() -> None:
    """The answer is none of these, for every reader."""
    assert {"one": [(None, "zero-shot"), ("car", "suggestion")]} == said(ONE, car=0.5)
    assert {"one": [("car", "zero-shot")]} == said(proving(ONE, "car"), car=0.5)
    assert {"one": [(None, "zero-shot"), ("car", "suggestion")]} == said(proving(ONE, "car", precision=0.9), car=0.5)
    assert {"one": [("car", "zero-shot")]} == said(replace(ONE, target_precision=None), car=0.5)


def test_labels_below_a_suggestion_are_suggestions() -> None:
    """Whatever is proven about them; a proven parent stands without its children."""
    assert [(None, "zero-shot"), ("animal", "suggestion"), ("cat", "suggestion")] == said(ONE, cat=0.5)["one"]
    assert said(ONE, cat=0.5) == said(proving(ONE, "cat"), cat=0.5)
    assert [("animal", "zero-shot"), ("cat", "suggestion")] == said(proving(ONE, "animal"), cat=0.5)["one"]
    assert [("animal", "zero-shot"), ("cat", "zero-shot")] == said(proving(ONE, "animal", "cat"), cat=0.5)["one"]


def test_labels_decided_one_by_one_are_suggested_one_by_one() -> None:
    """An image with a proven label does not abstain."""
    cats = proving(MANY, "cat")
    assert [("cat", "zero-shot"), ("dog", "suggestion")] == said(cats, cat=0.5, dog=0.5)["many"]
    none = [(None, "zero-shot"), ("car", "suggestion"), ("dog", "suggestion")]
    assert none == said(cats, dog=0.5, car=0.5)["many"]


def test_conditions_do_not_see_suggestions() -> None:
    """Another taxonomy applies once the label is proven."""
    assert {"many"} == said(MANY, ON_CAT, cat=0.5).keys()
    assert {"many", "about-cats"} == said(proving(MANY, "cat"), ON_CAT, cat=0.5).keys()


def test_an_abstention_says_that_the_label_is_unproven() -> None:
    """With the numbers of the most probable suggestion, also where another label is more probable and does not hold."""
    strict = replace(MANY, calibration=Calibration(thresholds={"cat": 1.0}))
    row = np.zeros((1, DIMENSION), dtype=np.float32)
    row[0, :2], row[0, -1] = (0.7, 0.5), np.sqrt(1 - 0.49 - 0.25)
    by = Tagger([strict], FakeTexts(AXES), logit_scale=20.0, model=MODEL, space=SPACE)
    [decided] = by.decide(row)
    assert [-1, decided.labels.index("dog")] == decided.label.tolist()
    assert ["unproven"] == [str(why) for why in decided.abstentions()]
    assert decided.labels.index("dog") == decided.nearest[0]
    assert decided.probability[0] == decided.probability[1]
    assert [[0], []] == [decided.holding([None]).tolist(), decided.holding(["dog"]).tolist()]
    assert [False, True] == decided.suggested.tolist()
