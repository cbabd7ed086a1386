"""Why a label holds or not, as codes: for one label in an explanation, and for many images in a summary."""

from __future__ import annotations

import enum
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from worker.types import Floats

#: Indices into ``REASONS``.
ReasonCodes: TypeAlias = npt.NDArray[np.int8]


class LabelReason(enum.StrEnum):
    """Why a label holds or not. The codes are an interface."""

    DECIDED = "decided"
    BACKGROUND_NEARER = "background-nearer"  # what is none of the labels, or what this label is not, is nearer
    BELOW_NEUTRAL = "below-neutral-level"  # not far enough above prompts that ask nothing
    LABEL_NEARER = "another-label-nearer"
    TIE = "tie"  # exactly as near as another candidate
    BELOW_THRESHOLD = "below-threshold"
    MARGIN_TOO_SMALL = "margin-too-small"
    UNPROVEN = "unproven"  # it would hold, but its precision is not proven: it is only suggested
    PARENT_NOT_DECIDED = "parent-not-decided"
    CONDITION_NOT_MET = "condition-not-met"


#: Every reason, in an order that arrays of codes rely on within one process; codes are not stored.
REASONS = tuple(LabelReason)


def code(reason: LabelReason) -> int:
    """The place of a reason in ``REASONS``."""
    return REASONS.index(reason)


def reason_codes(
    *,
    holds: npt.NDArray[np.bool_],
    suggested: npt.NDArray[np.bool_],
    lead: Floats,
    probability: Floats,
    thresholds: Floats,
    winner: ReasonCodes,
) -> ReasonCodes:
    """Why labels hold or not, for k pairs of a label and an image, ``[k]`` each.

    Args:
        holds: whether it does.
        suggested: whether the label is not applied where it holds.
        lead: over the strongest other candidate, in probability.
        probability: of the label.
        thresholds: least probability.
        winner: the reason if it is behind the strongest candidate, which depends on what that is.
    """
    likely = np.int8(code(LabelReason.MARGIN_TOO_SMALL))
    codes = np.where(probability < thresholds, np.int8(code(LabelReason.BELOW_THRESHOLD)), likely)
    codes = np.where(lead < 0, winner, codes).astype(np.int8)
    codes[lead == 0] = code(LabelReason.TIE)
    codes[holds] = np.where(suggested[holds], np.int8(code(LabelReason.UNPROVEN)), np.int8(code(LabelReason.DECIDED)))
    return codes
