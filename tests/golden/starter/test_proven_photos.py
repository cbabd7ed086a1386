"""What labelled development photos prove about the shipped taxonomies with the starter, where the machine has them."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from tests.labelled_photos import PHOTOS, answers
from tests.own_taxonomies import load
from worker.pipeline.evaluation.certify import ThresholdTest, certify
from worker.pipeline.evaluation.shortfall import Shortfall, shortfall
from worker.tagging import Tagger, load_taxonomies
from worker.tagging.label_probabilities import label_probabilities
from worker.types import Floats

_ROOT = Path(__file__).resolve().parents[3]
pytestmark = [
    pytest.mark.skipif(not PHOTOS.is_dir(), reason=f"no labelled photos beside the checkout ({PHOTOS.name})"),
    pytest.mark.slow,
]
_DELTA = 0.05


@lru_cache(maxsize=3)
def judged(taxonomy: str) -> tuple[tuple[str, ...], Floats, npt.NDArray[np.bool_]]:
    """Of each photo the likeliest label, its probability, and whether it is right."""
    known, model = answers(taxonomy), load()
    pixels = []
    for photo in known:
        with Image.open(photo) as image:
            pixels.append(model.preprocess(image))
    vectors = np.concatenate([model.encode_images(pixels[start : start + 16]) for start in range(0, len(pixels), 16)])
    file = _ROOT / "schemas" / "taxonomies" / f"{taxonomy}.yaml"
    tagger = Tagger(load_taxonomies([str(file)]), model.encode_texts, logit_scale=model.logit_scale, model="starter")
    [part] = label_probabilities(tagger, vectors)
    best = part.probability.argmax(axis=0)
    labels = tuple(part.labels[each] for each in best)
    right = np.array([given == label for given, label in zip(labels, known.values(), strict=True)])
    return labels, part.probability.max(axis=0), right


def of_label(taxonomy: str, label: str | None, target: float) -> tuple[ThresholdTest, Shortfall]:
    """As calibration does it: the images whose likeliest label it is."""
    labels, chances, right = judged(taxonomy)
    own = np.array([label is None or each == label for each in labels])
    return (
        certify(chances[own], right[own], target=target, delta=_DELTA),
        shortfall(chances[own], right[own], target=target, delta=_DELTA),
    )


def test_the_setting_is_proven_at_nine_in_ten():
    """Both labels together, without a mistake among forty or so."""
    found, _ = of_label("setting", None, 0.9)
    assert (True, 0) == (found.is_proven, found.errors)
    assert found.accepted >= 36


@pytest.mark.parametrize(
    ("taxonomy", "label", "target"),
    [("time-of-day", "night", 0.9), ("document-page", None, 0.9), ("document-page", "illustration", 0.9)]
    + [(taxonomy, None, 0.95) for taxonomy in ("time-of-day", "setting", "document-page")],
)
def test_what_the_photos_do_not_prove_is_refused(taxonomy, label, target):
    """And the number that is missing is given."""
    found, missing = of_label(taxonomy, label, target)
    assert not found.is_proven
    assert missing.least == {0.9: 29, 0.95: 59}[target]
    assert missing.is_hopeless or (missing.more or 0) > 0


def test_a_poor_label_is_beyond_any_threshold():
    """Illustrations among pages: four in ten are wrong."""
    _, missing = of_label("document-page", "illustration", 0.9)
    assert missing.is_hopeless
