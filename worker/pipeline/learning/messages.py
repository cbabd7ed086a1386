"""Heads in words, for the command line and the API."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any

from worker.pipeline.evaluation.messages import message as of_label
from worker.pipeline.learning.learn import Learning


def message(learning: Learning) -> str:
    """The verdict."""
    test = learning.trial.test
    if learning.promoted_by and learning.is_in_force:
        return f"the head in force is the one that these decisions give: {test}"
    if learning.promoted_by == "test":
        return f"the head is better than zero-shot: {test}"
    if learning.promoted_by == "person":
        return f"the head is promoted by a person, and not proven to be better: {test}"
    stays = "The head in force stays" if learning.in_force else "Zero-shot stays"
    if test.promotable:
        stays += "; --promote puts the new head into force, and marks it so"
    return f"head not promoted: {test}. {stays}. {_more(learning)}"


def notes(learning: Learning) -> list[str]:
    """What the numbers rest on."""
    found, trial = [], learning.trial
    judges = int(trial.reviews.judges.sum())
    picked = learning.decisions - judges
    if trial.judged < judges:
        found.append(
            f"the {judges:,} images that judge are {trial.judged:,} different scenes; {trial.judged:,} counted"
        )
    if picked:
        found.append(f"{picked:,} images were not drawn at random: used for training, not for these numbers")
    if learning.total > learning.decisions:
        found.append(
            f"{learning.total - learning.decisions:,} reviewed images teach nothing: they have no vector in space "
            f"{learning.space.id} or no answer about a label at the top, or only the newest were read"
        )
    known = set(learning.start.labels)
    found.extend(
        f"{each.label} is left out: {each.has} decisions, and it has no prompts"
        for each in learning.labels
        if each.label not in known
    )
    return found


def certificates(learning: Learning) -> list[tuple[str, str]]:
    """What the same reviews prove about each label of the new head, or what is missing."""
    if learning.calibration is None:
        return []
    return [(own.label or "", of_label(own)) for own in learning.calibration.labels]


def report(learning: Learning) -> dict[str, Any]:
    """All that is known about a head, as plain values."""
    trial, test = learning.trial, learning.trial.test
    return {
        "taxonomy": learning.taxonomy.name,
        "space": learning.space.id,
        "revision": learning.revision,
        "scoring": learning.scoring,
        "head": learning.head.number or None,
        "in_force": learning.in_force.number if learning.in_force else None,
        "decisions": learning.decisions,
        "judged": trial.judged,
        "won": test.won,
        "lost": test.lost,
        "p": test.p,
        "promoted_by": learning.promoted_by,
        "penalty": learning.penalty,
        "labels": [asdict(each) for each in learning.labels],
        "curve": [
            {"reviews": each.reviews, "zero_shot": _number(each.zero_shot), "head": _number(each.head)}
            for each in trial.curve
        ],
        "would_do": [{"won": won, "lost": lost} for won, lost in test.would_do],
        "more": trial.more,
        "message": message(learning),
        "notes": notes(learning),
        "certificates": [{"label": label, "message": said} for label, said in certificates(learning)],
    }


def _number(share: float) -> float | None:
    return None if math.isnan(share) else share


def _more(learning: Learning) -> str:
    trial = learning.trial
    if not trial.judged:
        return (
            "No image that was drawn at random is decided, and only those judge: "
            f"`enrich review {learning.taxonomy.name} LABEL` draws them"
        )
    if trial.more is None:
        if trial.test.won <= trial.test.lost:
            return "How many more reviews would do cannot be said: the head is not ahead"
        return "How many more reviews would do cannot be said: many times those that there are"
    return f"About {trial.more:,} more random reviews would do at this rate"
