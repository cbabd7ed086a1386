"""Modes, levels, conditions, wording and translations: from files to values, texts and versions."""

from __future__ import annotations

from pathlib import Path

import pytest

from worker.tagging import (
    Calibration,
    Label,
    LabelTranslation,
    Requirement,
    Taxonomy,
    Translation,
    Wording,
    load_taxonomy,
    neutral,
)

EVERYTHING = """\
name: fauna
title: Fauna
mode: multi-label
when:
  - {subject: [animal, plant], setting: outdoor}
  - {subject: none of these}
threshold: 0.6
templates: ["{}", "a photo of {}"]
background: [an empty meadow]
translations:
  de: {title: Tierwelt, description: Was da lebt., templates: ["ein Foto von {}"], background: [eine leere Wiese]}
labels:
  bird:
    prompts: [a bird]
    not: [an aeroplane]
    threshold: 0.7
    translations:
      de: {title: Vogel, aliases: [Vögel], prompts: [ein Vogel], not: [ein Flugzeug]}
    children:
      owl: {prompts: [an owl], threshold: 0.8}
      duck: [a duck]
    background: [a bird of another kind]
  fish: [a fish]
models:
  starter: {thresholds: {owl: 0.5}}
  some/multilingual: {threshold: 0.4, languages: [de], templates: ["{}."]}
"""


@pytest.fixture
def fauna(tmp_path: Path) -> Taxonomy:
    """A taxonomy that uses all of the language."""
    return _load(tmp_path, EVERYTHING)


def _load(tmp_path: Path, content: str) -> Taxonomy:
    file = tmp_path / "taxonomy.yaml"
    file.write_text(content, "utf-8")
    return load_taxonomy(file)


def test_every_field_arrives(fauna: Taxonomy) -> None:
    """A file that uses all of the language is read completely."""
    own = {"bird": 0.7, "owl": 0.8}
    expected = Taxonomy(
        neutral=neutral.EDITION,
        name="fauna",
        title="Fauna",
        mode="multi-label",
        when=(
            (
                Requirement(taxonomy="subject", labels=("animal", "plant")),
                Requirement(taxonomy="setting", labels=("outdoor",)),
            ),
            (Requirement(taxonomy="subject", labels=(None,)),),
        ),
        labels=(
            Label(
                name="bird",
                title="bird",
                prompts=("a bird",),
                negatives=("an aeroplane",),
                children=(
                    Label(name="owl", title="owl", prompts=("an owl",)),
                    Label(name="duck", title="duck", prompts=("a duck",)),
                ),
                background=("a bird of another kind",),
                translations={
                    "de": LabelTranslation(
                        title="Vogel", aliases=("Vögel",), prompts=("ein Vogel",), negatives=("ein Flugzeug",)
                    )
                },
            ),
            Label(name="fish", title="fish", prompts=("a fish",)),
        ),
        templates=("{}", "a photo of {}"),
        background=("an empty meadow",),
        calibration=Calibration(threshold=0.6, thresholds=own),
        models={
            "starter": Calibration(threshold=0.6, thresholds=own | {"owl": 0.5}),
            "some/multilingual": Calibration(threshold=0.4, thresholds=own),
        },
        wordings={"some/multilingual": Wording(templates=("{}.",), languages=("de",))},
        translations={
            "de": Translation(
                title="Tierwelt",
                description="Was da lebt.",
                templates=("ein Foto von {}",),
                background=("eine leere Wiese",),
            )
        },
    )

    assert expected == fauna


def test_the_nearest_threshold_counts(fauna: Taxonomy) -> None:
    """The model's for the label, else the label's, else the model's, else the taxonomy's."""
    starter, multilingual = fauna.calibration_for("starter"), fauna.calibration_for("some/multilingual")

    assert [0.5, 0.7, 0.6] == [starter.threshold_of(label) for label in ("owl", "bird", "fish")]
    assert [0.8, 0.7, 0.4] == [multilingual.threshold_of(label) for label in ("owl", "bird", "fish")]


def test_a_model_s_templates_replace_the_taxonomy_s_for_it_alone(fauna: Taxonomy) -> None:
    """Some models want a full stop; no other model hears of it."""
    fish = fauna.labels[1]

    assert ("a fish.",) == fauna.label_texts(fish, "some/multilingual")
    assert fauna.label_texts(fish, "starter") == fauna.label_texts(fish) == ("a fish", "a photo of a fish")


def test_a_model_that_knows_a_language_is_asked_in_it_as_well(fauna: Taxonomy) -> None:
    """Translated prompts, in that language's templates; negatives and background alike."""
    bird = fauna.labels[0]

    assert ("a bird.", "ein Foto von ein Vogel") == fauna.label_texts(bird, "some/multilingual")
    assert (("an aeroplane.",), ("ein Foto von ein Flugzeug",)) == fauna.negative_texts(bird, "some/multilingual")
    assert (
        ("an empty meadow.",),
        ("ein Foto von eine leere Wiese",),
    ) == fauna.background_texts(None, "some/multilingual")
    assert ("a bird", "a photo of a bird") == fauna.label_texts(bird, "starter")


def test_wording_alone_is_no_calibration(tmp_path: Path) -> None:
    """Templates for a model say nothing about when its answers are good enough."""
    base = "name: a\nlabels: {b: [c], d: [e]}\nmodels: "
    worded, measured = _load(tmp_path, base + "{m: {templates: ['{}!']}}"), _load(tmp_path, base + "{m: {margin: 0}}")

    assert not worded.is_calibrated_for("m")
    assert measured.is_calibrated_for("m")


def test_only_what_can_give_several_labels_says_so(fauna: Taxonomy, tmp_path: Path) -> None:
    """Other services read a list then, and a text otherwise; a file decides which, not an image."""
    nested = _load(tmp_path, "name: a\nlabels: {b: {background: [x], children: {c: [d]}}, e: [f]}\n")
    flat = _load(tmp_path, "name: a\nlabels: {b: [c], d: [e]}\n")

    assert (True, True, False) == (fauna.many, nested.many, flat.many)


# Each is written into EVERYTHING in place of the first.
CHANGES = {
    "mode": ("mode: multi-label", "mode: exclusive"),
    "when": ("[animal, plant]", "[animal]"),
    "when abstains": ("none of these", "person"),
    "alternatives": ("  - {subject: none of these}\n", ""),
    "threshold of a label": ("threshold: 0.7", "threshold: 0.71"),
    "threshold of a child": ("threshold: 0.8", "threshold: 0.81"),
    "a model's threshold of a label": ("{owl: 0.5}", "{owl: 0.51}"),
    "not": ("[an aeroplane]", "[an airship]"),
    "a child's prompt": ("[an owl]", "[a barn owl]"),
    "a child's name": ("duck:", "goose:"),
    "a label's background": ("[a bird of another kind]", "[another bird]"),
    "a model's templates": ('["{}."]', '["{}!"]'),
    "a model's languages": (", languages: [de]", ""),
    "a spoken prompt": ("[ein Vogel]", "[ein Vöglein]"),
    "a spoken not": ("[ein Flugzeug]", "[ein Luftschiff]"),
    "a spoken template": ("ein Foto von {}", "ein Bild von {}"),
    "a spoken background": ("[eine leere Wiese]", "[eine Wiese]"),
}


def test_whatever_affects_scores_changes_the_version(tmp_path: Path) -> None:
    """Each field by itself, and no two alike."""
    contents = [EVERYTHING.replace("    not: [an aeroplane]\n", "").replace(", not: [ein Flugzeug]", "")]
    contents += [EVERYTHING.replace(old, new) for old, new in CHANGES.values() if new != "mode: exclusive"]
    changed = contents[0].replace(*CHANGES["mode"])
    versions = {_load(tmp_path, content).version for content in [EVERYTHING, changed, *contents]}

    assert EVERYTHING not in contents
    assert len(versions) == len(CHANGES) + 2


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("title: Tierwelt", "title: Fauna"),
        ("description: Was da lebt.", "description: Tiere."),
        ("title: Vogel, aliases: [Vögel]", "title: Vogel, aliases: [Gefieder]"),
        ("[animal, plant]", "[plant, animal]"),
        ("      owl: {prompts: [an owl], threshold: 0.8}\n      duck: [a duck]\n",
         "      duck: [a duck]\n      owl: {threshold: 0.8, prompts: [an owl]}\n"),
        ("  - {subject: [animal, plant], setting: outdoor}\n  - {subject: none of these}\n",
         "  - {subject: none of these}\n  - {setting: outdoor, subject: [animal, plant]}\n"),
    ],
)  # fmt: skip
def test_words_for_people_and_order_leave_the_version(tmp_path: Path, old: str, new: str) -> None:
    """Translated titles and aliases are for display and search only."""
    changed = EVERYTHING.replace(old, new)

    assert changed != EVERYTHING
    assert _load(tmp_path, changed).version == _load(tmp_path, EVERYTHING).version


def test_translations_no_model_is_said_to_know_leave_the_version(tmp_path: Path) -> None:
    """A prompt that nobody is asked changes no score."""
    silent = EVERYTHING.replace(", languages: [de]", "")

    assert _load(tmp_path, silent).version == _load(tmp_path, silent.replace("[ein Vogel]", "[ein Spatz]")).version
