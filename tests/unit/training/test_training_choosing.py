"""How figures are reported and calibrations chosen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from training import evaluate
from training.calibrate import Cases, best, joined, likeliest_temperature, question
from worker.tagging import Calibration, Label, LabelMatrix, Taxonomy, build_label_matrix
from worker.types import Floats

SCALE = 10.0


def encode(texts: Sequence[str]) -> Floats:
    """Day and night at right angles, anything else between them."""
    known = {"day": (1.0, 0.0), "night": (0.0, 1.0)}
    rows = np.array([known.get(text, (0.7, 0.7)) for text in texts], dtype=np.float32)
    unit: Floats = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return unit


@pytest.fixture
def matrix() -> LabelMatrix:
    labels = tuple(Label(name=name, prompts=(name,)) for name in ("day", "night"))
    return build_label_matrix(Taxonomy(name="light", labels=labels, background=("dusk",)), encode)


def cases(*pictures: tuple[float, str]) -> Cases:
    """Pictures at an angle from day (0) to night (90 degrees), and what each may be called; "" is nothing."""
    angles = np.radians([angle for angle, _ in pictures])
    return Cases(
        vectors=np.stack([np.cos(angles), np.sin(angles)], 1).astype(np.float32),
        accepted=[frozenset({label} - {""}) for _, label in pictures],
    )


def test_a_calibration_is_judged_by_right_and_wrong(matrix: LabelMatrix):
    """Untagged pictures are neither; a wrong tag costs as much as three right ones are worth."""
    asked = question(cases((5, "day"), (85, "day"), (44, "")), matrix, SCALE)
    outcome = asked.judge(Calibration(threshold=0.6))

    assert (1, 1, 2) == (outcome.right, outcome.wrong, outcome.answerable)
    assert -2 == outcome.utility


def test_the_best_calibration_leaves_the_doubtful_untagged(matrix: LabelMatrix):
    """Everything plain is tagged, and what is none of the labels is not."""
    plain = cases((2, "day"), (6, "day"), (10, "day"), (26, ""), (30, ""), (88, "night"), (84, "night"))
    asked = question(plain, matrix, SCALE)
    outcome = asked.judge(best(asked))

    assert (5, 0, 5) == (outcome.right, outcome.wrong, outcome.answerable)


def test_the_likeliest_temperature_makes_probabilities_those_that_are_met(matrix: LabelMatrix):
    """Of pictures that look equally like day, three in four are by day: log 3 / (10 × the difference of cosines)."""
    angle, difference = 40, np.cos(np.radians(40)) - np.sin(np.radians(40))
    pictures = cases(*[(angle, "day")] * 3, (angle, "night"))
    alone = replace(matrix, taxonomy=replace(matrix.taxonomy, background=()))
    top = replace(alone.top, background=False, starts=alone.top.starts[:2], rows=slice(0, 2))
    asked = question(pictures, replace(alone, rows=matrix.rows[:2], choices=(top,)), SCALE)

    assert SCALE * difference / np.log(3) == pytest.approx(likeliest_temperature(asked), rel=0.02)
    assert likeliest_temperature(asked) == likeliest_temperature(joined(asked, asked))


def test_one_seed_has_no_interval():
    """And several have Student's."""
    assert "0.500" == evaluate.interval([0.5])
    assert "0.700 ± 0.248" == evaluate.interval([0.6, 0.7, 0.8])


def test_a_photo_stays_in_its_half():
    """Whatever folder it lies in, and about half are held out."""
    assert evaluate.held_out("day/1.jpg") == evaluate.held_out("elsewhere/1.jpg")
    assert 0.4 < np.mean([evaluate.held_out(f"{number}.jpg") for number in range(1000)]) < 0.6
