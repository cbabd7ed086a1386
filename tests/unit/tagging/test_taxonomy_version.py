"""A version changes with everything that affects scores, and with nothing else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from worker.tagging import Calibration, Label, Taxonomy, load_taxonomy

BASE = Taxonomy(
    name="mood",
    labels=(Label(name="happy", prompts=("a smile", "a laugh")), Label(name="sad", prompts=("a tear",))),
    templates=("{}", "a photo of {}"),
    background=("a wall", "a floor"),
    calibration=Calibration(threshold=0.5, margin=0.1, temperature=1.0),
    models={"starter": Calibration(threshold=0.3)},
)

FILE = """\
name: mood
title: Mood
templates: ["{}", "a photo of {}"]
threshold: 1
background: [a wall, a floor]
labels:
  happy: {aliases: [glad], prompts: [a smile, a laugh]}
  sad: [a tear]
models:
  starter: {threshold: 0.3}
"""

SAME_FILE = """\
# Another order, another style, other words for people.
models: {starter: {margin: 0, threshold: 0.30}}
background:
  - a   floor
  - "a wall"
labels:
  'sad':
    title: Melancholy
    description: Blue.
    prompts:
      - >
        a
        tear
  "happy": ["a laugh", a smile, a smile]
description: Feelings.
threshold: 1.0
temperature: 1
aggregate: mean
templates:
  - 'a photo of {}'
  - '{}'
name: mood
"""

CHANGES: dict[str, dict[str, Any]] = {
    "a label": {"labels": BASE.labels[:1]},
    "a label's name": {"labels": (replace(BASE.labels[0], name="glad"), BASE.labels[1])},
    "a prompt": {"labels": (replace(BASE.labels[0], prompts=("a smile", "a grin")), BASE.labels[1])},
    "which label a prompt is of": {
        "labels": (
            replace(BASE.labels[0], prompts=("a smile",)),
            replace(BASE.labels[1], prompts=("a tear", "a laugh")),
        )
    },
    "a template": {"templates": ("{}",)},
    "the aggregate": {"aggregate": "max"},
    "the background": {"background": ("a wall",)},
    "the threshold": {"calibration": replace(BASE.calibration, threshold=0.6)},
    "the margin": {"calibration": replace(BASE.calibration, margin=0.2)},
    "the temperature": {"calibration": replace(BASE.calibration, temperature=2.0)},
    "a model's threshold": {"models": {"starter": Calibration(threshold=0.4)}},
    "a model's margin": {"models": {"starter": Calibration(threshold=0.3, margin=0.1)}},
    "a model's temperature": {"models": {"starter": Calibration(threshold=0.3, temperature=2.0)}},
    "the model": {"models": {"other/model": Calibration(threshold=0.3)}},
    "models": {"models": {}},
}


def _version(tmp_path: Path, content: str) -> str:
    file = tmp_path / "taxonomy.yaml"
    file.write_text(content, "utf-8")
    return load_taxonomy(file).version


def test_formatting_order_and_words_for_people_leave_the_version(tmp_path: Path) -> None:
    """The same scores have the same version, however the file is written."""
    assert _version(tmp_path, FILE) == _version(tmp_path, SAME_FILE)


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_whatever_affects_scores_changes_the_version(change: dict[str, Any]) -> None:
    """Each field by itself makes another version."""
    assert replace(BASE, **change).version != BASE.version


def test_all_changes_make_different_versions() -> None:
    """No two of them collide, as they would if a field were hashed under another's name."""
    versions = {replace(BASE, **change).version for change in CHANGES.values()}

    assert len(versions) == len(CHANGES)


@pytest.mark.parametrize("words", [{"name": "other"}, {"title": "Other"}, {"description": "Other."}], ids=str)
def test_words_for_people_leave_the_version(words: dict[str, Any]) -> None:
    """Renaming for display does not retag an archive."""
    assert replace(BASE, **words).version == BASE.version


def test_an_override_that_repeats_the_general_calibration_leaves_the_version() -> None:
    """It decides nothing differently."""
    repeated = replace(BASE, models={**BASE.models, "other/model": BASE.calibration})

    assert repeated.version == BASE.version


def test_a_version_is_the_same_on_every_machine_and_release() -> None:
    """Stored tags carry it: if this test fails, every catalog would be told that all its tags are out of date."""
    assert "7b415401ed7b710c" == BASE.version
