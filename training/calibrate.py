"""Choose temperature, threshold and margin of the shipped taxonomies for a set of heads, on development data.

    python -m training.calibrate HEADS.safetensors --photos DIRECTORY --data DIRECTORY

A wrong tag costs as much as three right ones are worth; "none of these" costs nothing. Besides the labelled halves of
the photos, pictures a taxonomy has no answer for take part: pages have no setting, rooms and pages no time of day, and
photos are not pages. What captions mention counts as a photo's subject.

That cost has no use for honest probabilities, and prefers temperatures that make them too sharp. So the temperature
under which the labelled pictures are likeliest is printed as well, with the best threshold and margin beside it.
"""

from __future__ import annotations

import argparse
import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from safetensors.torch import load_file

from training import corpus, evaluate, features, sources, vocabulary
from training.evaluate import Labelled, Model, Photos
from worker.encoder.starter.heads import Heads
from worker.encoder.starter.model import filled, load_parts
from worker.tagging import Calibration, LabelMatrix, Taxonomy, build_label_matrix, load_taxonomies
from worker.tagging.exact_similarity import exact_rows, similarities
from worker.tagging.scoring import decide, nearest, rule
from worker.types import Floats

_COST = 3.0
_TEMPERATURES = (0.15, 0.2, 0.3, 0.4, 0.5, 0.7, 1.0)
_THRESHOLDS = (0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)
_LIKELIEST = np.geomspace(0.1, 10.0, 400)
_MARGINS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5)
#: What captions call the subjects of the shipped taxonomy, where they differ from the words the heads are taught.
_SUBJECTS = {
    "airplane": ("aircraft",),
    "helicopter": ("aircraft",),
    "mountain": ("landscape",),
    "forest": ("landscape",),
    "beach": ("water",),
}
_ALSO_SAID = {
    re.compile(r"\b(bik(e|es|ing|er|ers)|cycl(ist|ists|ing))\b", re.IGNORECASE): ("vehicle", "bicycle", "motorcycle"),
    re.compile(r"\b(surf|ski|snowboard|skateboard|skat|bik|rid|climb|swimm|hik|danc|runn|rac)ers?\b|\bcrowd"): (
        "person",
    ),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Cases:
    """Pictures and the labels each may be given; an empty set means none of them."""

    vectors: Floats  # (n, 896)
    accepted: Sequence[frozenset[str]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What a calibration does to the cases."""

    right: int  # tags; a label and its child are two
    wrong: int
    answered: int  # pictures with a tag
    answerable: int  # pictures that could have one
    pictures: int

    @property
    def utility(self) -> float:
        return self.right - _COST * self.wrong

    def __str__(self) -> str:
        return (
            f"{self.right} right, {self.wrong} wrong, precision {self.right / max(self.right + self.wrong, 1):.3f}; "
            f"{self.answered} of {self.pictures} pictures tagged, {self.answerable} could be"
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Question:
    """A taxonomy put to cases: everything but the calibration, computed once."""

    matrix: LabelMatrix
    cosines: Floats  # (rows of the matrix, n)
    accepted: npt.NDArray[np.bool_]  # (n, labels of the matrix)
    logit_scale: float

    def judge(self, calibration: Calibration) -> Outcome:
        """Tag the cases with this calibration."""
        taxonomy = replace(self.matrix.taxonomy, models={"starter": calibration})
        by = rule(replace(self.matrix, taxonomy=taxonomy), logit_scale=self.logit_scale, model="starter")
        decided = decide(self.cosines, by)
        given = decided.label >= 0
        right = int(self.accepted[decided.images[given], decided.label[given]].sum())
        return Outcome(
            right=right,
            wrong=int(given.sum()) - right,
            answered=len(np.unique(decided.images[given])),
            answerable=int(self.accepted.any(1).sum()),
            pictures=len(self.accepted),
        )


def question(cases: Cases, matrix: LabelMatrix, logit_scale: float) -> Question:
    """Put the taxonomy of the matrix to the cases."""
    accepted = np.array([[label in labels for label in matrix.labels] for labels in cases.accepted])
    cosines = similarities(exact_rows(matrix.rows), cases.vectors)
    return Question(matrix=matrix, cosines=cosines, accepted=accepted, logit_scale=logit_scale)


def joined(one: Question, other: Question) -> Question:
    """The same taxonomy put to the cases of both."""
    return replace(
        one,
        cosines=np.concatenate([one.cosines, other.cosines], axis=1),
        accepted=np.concatenate([one.accepted, other.accepted]),
    )


def likeliest_temperature(asked: Question) -> float:
    """The temperature that makes the labels of pictures with a single answer likeliest (Guo et al., 2017)."""
    top = asked.matrix.top
    single = asked.accepted[:, top.labels].sum(axis=1) == 1
    logits = asked.logit_scale * nearest(asked.cosines[top.rows], top)[:, single].astype(np.float64)
    answers = asked.accepted[single][:, top.labels].argmax(axis=1)

    def loss(temperature: float) -> float:
        scaled = logits / temperature
        shifted = scaled - scaled.max(axis=0)
        chosen = shifted[answers, np.arange(len(answers))]
        return float((np.log(np.exp(shifted).sum(axis=0)) - chosen).mean())

    return float(min(_LIKELIEST, key=loss))


def best(asked: Question, temperatures: Sequence[float] = _TEMPERATURES) -> Calibration:
    """The middle of the best calibrations: where several are equally good, the one least at the edge."""
    grid = [
        Calibration(temperature=temperature, threshold=threshold, margin=margin)
        for temperature, threshold, margin in itertools.product(temperatures, _THRESHOLDS, _MARGINS)
    ]
    utilities = np.array([asked.judge(calibration).utility for calibration in grid])
    tied = [calibration for calibration, utility in zip(grid, utilities, strict=True) if utility == utilities.max()]
    middle = np.median([(c.temperature, c.threshold, c.margin) for c in tied], axis=0)
    return min(tied, key=lambda c: float(np.abs(np.array((c.temperature, c.threshold, c.margin)) - middle).sum()))


def photo_cases(model: Model, known: Photos, taxonomy: str, *, reporting: bool) -> Cases:
    """Half of the labelled photos, with those the taxonomy has no answer for."""
    own = {"time-of-day": known.time, "setting": known.setting, "document-page": known.pages}[taxonomy]
    other = {"time-of-day": _joined(known.pages, _only(known.setting, "indoor")), "setting": known.pages}
    files = known.stored.files
    asked = evaluate.half(own, files, reporting=reporting)
    idle = evaluate.half(other.get(taxonomy, known.setting), files, reporting=reporting)
    names = {"drawing": "illustration"}
    accepted = [frozenset((names.get(str(label), str(label)),)) for label in asked.labels]
    vectors = model.images(known.stored)
    return Cases(
        vectors=np.concatenate([vectors[asked.rows], vectors[idle.rows]]),
        accepted=[*accepted, *(frozenset[str]() for _ in idle.rows)],
    )


def _only(data: Labelled, label: str) -> Labelled:
    return replace(data, rows=data.rows[data.labels == label], labels=data.labels[data.labels == label])


def _joined(one: Labelled, other: Labelled) -> Labelled:
    return replace(one, rows=np.append(one.rows, other.rows), labels=np.append(one.labels, other.labels))


def subject_cases(model: Model, data: Path, split: str) -> Cases:
    """Flickr8k's photos with what at least two captions mention."""
    flickr, stored = corpus.flickr(data), features.read(data / "features" / "lite0_flickr.npz")
    names = [Path(file).name for file in stored.files]
    rows = [row for row, name in enumerate(names) if name in flickr.splits[split] and name in flickr.captions]
    accepted = [frozenset(_subjects(flickr.captions[names[row]])) for row in rows]
    return Cases(vectors=model.images(evaluate.take(stored, rows)), accepted=accepted)


def _subjects(captions: Sequence[str]) -> Iterator[str]:
    for tag, said in (vocabulary.NAME_RULES | vocabulary.RULES).items():
        if _at_least_twice(said, captions):
            yield from _SUBJECTS.get(tag, (tag,))
    for said, labels in _ALSO_SAID.items():
        if _at_least_twice(said, captions):
            yield from labels


def _at_least_twice(said: re.Pattern[str], captions: Sequence[str]) -> bool:
    return sum(said.search(caption) is not None for caption in captions) > 1


def _report(name: str, taxonomy: Taxonomy, model: Model, dev: Cases, test: Cases) -> None:
    matrix = build_label_matrix(taxonomy, model.texts, model="starter")
    asked = [question(cases, matrix, model.logit_scale) for cases in (dev, test)]
    for title, calibration in (
        ("as shipped", taxonomy.calibration_for("starter")),
        ("best on dev", best(asked[0])),
        ("at the likeliest temperature", best(asked[0], (likeliest_temperature(asked[0]),))),
    ):
        outcomes = [each.judge(calibration) for each in asked]
        print(f"{name}, {title}: {calibration}\n  dev: {outcomes[0]}\n  held out: {outcomes[1]}")  # noqa: T201
    temperatures = ", ".join(f"{likeliest_temperature(each):.2f}" for each in (*asked, joined(*asked)))
    print(f"{name}, likeliest temperature on dev, held out, and both: {temperatures}")  # noqa: T201


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m training.calibrate", description=__doc__.split("\n")[0])
    parser.add_argument("heads", type=Path)
    parser.add_argument("--photos", type=sources.photos, required=True, help="labelled photos")
    parser.add_argument("--data", type=sources.data, required=True, help="features, captions, class names")
    arguments = parser.parse_args()
    model = Model(load_parts(), filled(Heads, load_file(arguments.heads)))
    known = evaluate.photos(arguments.photos)
    for taxonomy in load_taxonomies():
        if taxonomy.name == "subject":
            cases = [subject_cases(model, arguments.data, split) for split in ("dev", "test")]
        else:
            cases = [photo_cases(model, known, taxonomy.name, reporting=reporting) for reporting in (False, True)]
        _report(taxonomy.name, taxonomy, model, cases[0], cases[1])


if __name__ == "__main__":
    main()
