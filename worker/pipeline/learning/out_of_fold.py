"""Every reviewed image's probabilities by a fit without it: what certificates of a new head rest on."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from worker.tagging import Calibration
from worker.tagging.head_inputs import ZeroShot
from worker.tagging.head_trials import Trial, leads
from worker.tagging.label_probabilities import LabelProbabilities


def out_of_fold(
    trial: Trial, places: npt.NDArray[np.intp], count: int, start: ZeroShot, numbers: Calibration
) -> LabelProbabilities:
    """Probabilities of the labels at the top.

    Args:
        trial: of n images.
        places: ``[n]``, where they are among all reviewed ones; the others get no label.
        count: all reviewed images.
        start: names the labels.
        numbers: margin and thresholds.
    """
    shape = (len(start.labels), count)
    probability, eligible = np.zeros(shape, dtype=np.float32), np.zeros(shape, dtype=bool)
    probability[:, places] = trial.probabilities.T
    lead = leads(trial.reviews, trial.logits).T
    eligible[:, places] = (lead > 0) & (lead >= numbers.margin)
    thresholds = np.array([numbers.threshold_of(label) for label in start.labels], dtype=np.float32)
    return LabelProbabilities(
        labels=start.labels,
        level=np.zeros(len(start.labels), dtype=np.intp),
        probability=probability,
        holds=eligible & (probability >= thresholds[:, np.newaxis]),
        eligible=eligible,
        thresholds=thresholds,
    )
