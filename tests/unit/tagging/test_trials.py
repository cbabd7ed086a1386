"""Trials: what they count is what the tagger decides, and the strips show what they say."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given

from tests.unit.tagging.fake_texts import FakeTexts, images
from tests.unit.tagging.languages import sets_of_taxonomies
from worker.tagging import Calibration, Label, Tagger, Taxonomy
from worker.tagging.trials import BINS, Trial, TriedImages, try_on
from worker.types import SUGGESTION, Floats

#: One axis for each prompt, so that an image's cosines can be chosen.
AXES = {name: tuple(float(axis == at) for axis in range(4)) for at, name in enumerate(("day", "night", "sun", "rain"))}


def _tagger(*taxonomies: Taxonomy) -> Tagger:
    return Tagger(taxonomies, FakeTexts(AXES), logit_scale=10.0, model="any")


def _time(threshold: float = 0.5, **more: object) -> Taxonomy:
    labels = (Label(name="day", prompts=("day",)), Label(name="night", prompts=("night",)))
    return Taxonomy(name="time", labels=labels, calibration=Calibration(threshold=threshold), **more)  # type: ignore[arg-type]


def _days(*leads: float) -> Floats:
    """``[n, 4]``: images whose cosine to day is ahead of that to night by these numbers."""
    made = np.zeros((len(leads), 4), dtype=np.float32)
    made[:, 0] = (1 + np.array(leads)) / 2
    made[:, 1] = (1 - np.array(leads)) / 2
    made[:, 3] = np.sqrt(1 - np.square(made[:, :2]).sum(axis=1))
    return made


def _of(trial: Trial, label: str) -> list[int]:
    found = next(each for each in trial.labels if each.label == label)
    assert found.strips is not None
    return [int(image) for image in found.strips.best.images]


@given(sets_of_taxonomies())
def test_a_trial_counts_what_the_tagger_decides(taxonomies: tuple[Taxonomy, ...]) -> None:
    """Label by label and in all, whatever the language allows, and whatever the condition says."""
    tagger = Tagger(taxonomies, FakeTexts(), logit_scale=5.0, model="any")
    vectors = images(80)
    tags = tagger.tag(vectors)
    for taxonomy in taxonomies:
        own = [[tag for tag in each if tag.taxonomy == taxonomy.name] for each in tags]
        applied = [{tag.label for tag in each if tag.label and tag.source != SUGGESTION} for each in own]
        counted = Counter(label for each in applied for label in each)
        trial = try_on(tagger, taxonomy.name, vectors)
        assert sum(map(bool, own)) == trial.asked
        assert sum(map(bool, applied)) == trial.tagged
        assert counted == Counter({each.label: each.tagged for each in trial.labels})
        for each in trial.labels:
            parents = counted[each.parent] if each.parent else trial.asked
            assert (parents, parents) == (each.asked, sum(each.histogram))


def test_a_histogram_has_each_image_in_its_bin() -> None:
    """A probability of 1 is in the last one, and those at or above the threshold are counted exactly."""
    trial = try_on(_tagger(_time(0.75, models={"any": Calibration(threshold=0.75)})), "time", _days(-1, 0, 0.2, 1))
    [day, _] = trial.labels
    expected = [0] * BINS
    for probability in (0.0, 0.5, 1 / (1 + np.exp(-2)), 1.0):
        expected[min(int(probability * BINS), BINS - 1)] += 1
    assert (tuple(expected), 2, 0.75) == (day.histogram, day.above, day.threshold)


def test_strips_start_at_the_ends_and_at_the_threshold() -> None:
    """Of equally likely images the first one comes first."""
    vectors = _days(0.5, -0.5, 0.1, 0.05, -0.02, 0.1)
    tagger = _tagger(_time(0.5, models={"any": Calibration(threshold=0.5)}))
    [day, night] = try_on(tagger, "time", vectors, shown=["day"], strip=2).labels
    assert day.strips is not None

    def rows(part: TriedImages) -> list[int]:
        return [int(image) for image in part.images]

    strips = day.strips
    assert [[0, 2], [3, 5], [4, 1], [1, 4]] == [
        rows(part) for part in (strips.best, strips.above, strips.below, strips.worst)
    ]
    assert [True, True] == strips.above.holds.tolist()
    assert [False, False] == strips.below.holds.tolist()
    assert [None] == [night.strips]


def test_a_label_above_its_threshold_may_still_lose() -> None:
    """It is counted above, and not as tagged; its strip says that it does not hold."""
    lenient = _time(0.3, models={"any": Calibration(threshold=0.3)})
    [day, night] = try_on(_tagger(lenient), "time", _days(0.05), shown=["night"]).labels
    assert ((1, 1), (1, 0)) == ((day.above, day.tagged), (night.above, night.tagged))
    assert night.strips is not None
    assert [False] == night.strips.best.holds.tolist()


def test_a_child_is_asked_where_its_parent_holds() -> None:
    """Other images are in none of its numbers and strips."""
    kinds = (Label(name="sun", prompts=("sun",)), Label(name="rain", prompts=("rain",)))
    day = Label(name="day", prompts=("day",), children=kinds)
    taxonomy = Taxonomy(
        name="time",
        labels=(day, Label(name="night", prompts=("night",))),
        models={"any": Calibration(threshold=0.5)},
    )
    vectors = np.eye(4, dtype=np.float32)
    trial = try_on(_tagger(taxonomy), "time", vectors, shown=["rain"])
    assert {"day": 4, "night": 4, "sun": 3, "rain": 3} == {each.label: each.asked for each in trial.labels}
    assert [3] == _of(trial, "rain")[:1]
    assert 1 not in _of(trial, "rain")


def test_suggestions_are_counted_apart() -> None:
    """Labels that are not proven are decided but not applied."""
    asked = _time(0.5, models={"any": Calibration(threshold=0.5)}, target_precision=0.9)
    trial = try_on(_tagger(asked), "time", _days(0.5, 0.4, -0.4), shown=["day"])
    assert (0, 3, 3) == (trial.tagged, trial.suggested, trial.asked)
    assert [(2, 0), (1, 0)] == [(each.suggested, each.tagged) for each in trial.labels]


@pytest.mark.parametrize("count", [0, 1, 2_048, 2_049])
def test_any_number_of_images_will_do(count: int) -> None:
    """None, too, and more than are scored at a time."""
    tagger = _tagger(_time(0.5, models={"any": Calibration(threshold=0.5)}))
    trial = try_on(tagger, "time", np.repeat(_days(0.5), count, axis=0), shown=["day"])
    assert (count, count) == (trial.images, trial.tagged)
    assert list(range(count))[:6] == _of(trial, "day")
