"""Labels of a test set from a file, in any format that decisions are imported from. Nothing is stored."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice

from worker import catalog
from worker.catalog.decisions import Chosen, Verdict
from worker.catalog.review_candidates import ReviewImage
from worker.catalog.reviewed_images import Draw, PersonAnswer, ReviewedImage
from worker.db import Connection, Engine, snapshot
from worker.errors import ChoiceError
from worker.pipeline.evaluation.evaluate import LabelFile
from worker.pipeline.evaluation.report import FileProblem, LabelFileReport
from worker.pipeline.evaluation.reviewed import MOST
from worker.pipeline.review.decide import DecisionRequest
from worker.pipeline.review.formats.reading import DecisionFile
from worker.pipeline.review.formats.rows import BadRow, FileRow, Part, ReadOptions
from worker.pipeline.review.questions import Effect, Questions
from worker.pipeline.review.resolve_rows import Defaults, ResolvedRow, resolve
from worker.types import ObjectRef

#: Problems that are named.
_NAMED = 20
_ROWS = 500
_UNKNOWN_TIME = datetime.min.replace(tzinfo=UTC)


def read_labels(engine: Engine, file: DecisionFile, options: ReadOptions) -> LabelFile:
    """Read a file of labels of images that are in the catalog.

    Raises:
        ChoiceError: it cannot be read to its end, or has too many images.
    """
    return labels_of(engine, file.parts(options), name=file.path.name)


def labels_of(engine: Engine, parts: Iterable[Part], *, name: str) -> LabelFile:
    """The same for the parts of a file, or of a request.

    Args:
        engine: of the database.
        parts: rows; what is wrong with them is reported.
        name: of the file, for people.

    Raises:
        ChoiceError: it cannot be read to its end, or has too many images.
    """
    with snapshot(engine) as connection:
        test_set = _TestSet(connection=connection, questions=Questions(connection))
        every = iter(parts)
        while some := list(islice(every, _ROWS)):
            test_set.add(some, name)
        return test_set.finished(name)


@dataclass(kw_only=True)
class _Labels:
    """What the rows so far say about one image in one taxonomy."""

    row: FileRow  # the last one
    holds: dict[str, bool] = field(default_factory=dict)
    whole: bool = False

    def apply(self, request: DecisionRequest, effect: Effect) -> None:
        """As the catalog does: the last word about a label counts, and an answer to the whole replaces what held."""
        if request.verdict in (Verdict.UNSURE, Verdict.WITHDRAW):
            self._forget(request.label if not effect.answers else None)
            return
        if effect.answers:
            self.holds = {label: held for label, held in self.holds.items() if not held}
            self.whole = True
        self.holds.update(dict.fromkeys(effect.removes, False))
        self.holds.update(dict.fromkeys(effect.adds, True))

    def answers(self, draw: Draw | None) -> tuple[PersonAnswer, ...]:
        """In the form of decisions."""
        said: list[str | None] = list(self.holds)
        if self.whole and not any(self.holds.values()):
            said.append(None)
        return tuple(self._answer(label, draw) for label in said)

    def _forget(self, label: str | None) -> None:
        if label is None:
            self.holds, self.whole = {}, False
        else:
            self.holds.pop(label, None)

    def _answer(self, label: str | None, draw: Draw | None) -> PersonAnswer:
        return PersonAnswer(
            label=label,
            holds=label is not None and self.holds[label],
            whole=self.whole and (label is None or self.holds[label]),
            decision=self.row.place.line,
            reviewer=self.row.reviewer or "",
            at=self.row.at or _UNKNOWN_TIME,
            chosen=self.row.chosen.value,
            batch="",
            draw=draw,
        )


@dataclass(kw_only=True)
class _TestSet:
    """The file so far."""

    connection: Connection
    questions: Questions
    found: dict[tuple[str, ObjectRef], _Labels] = field(default_factory=dict)
    problems: list[FileProblem] = field(default_factory=list)
    wrong: int = 0
    random: bool = True

    def add(self, parts: Sequence[Part], name: str) -> None:
        """Take the next parts of the file."""
        rows = [part for part in parts if isinstance(part, FileRow)]
        bad = [part for part in parts if isinstance(part, BadRow)]
        damaged = next((each for each in bad if each.damaged), None)
        if damaged is not None:
            raise ChoiceError(f"{name}, {damaged.place}: {damaged.message}")
        for each in bad:
            self._refuse(each.place.line, each.image, each.message)
        for resolved in resolve(self.connection, rows, Defaults(reviewer=name)):
            if isinstance(resolved, BadRow):
                self._refuse(resolved.place.line, resolved.image, resolved.message)
            else:
                self._add(resolved)
        if len(self.found) > MOST:
            raise ChoiceError(f"{name} has labels of more than {MOST:,} images: measure a part of them")

    def finished(self, name: str) -> LabelFile:
        """All images with their answers."""
        refs = list(dict.fromkeys(ref for _, ref in self.found))
        numbers = catalog.review_candidates.numbers_of(self.connection, refs)
        described = catalog.review_candidates.described(self.connection, numbers.values())
        images: dict[str, list[ReviewedImage]] = {}
        for (taxonomy, ref), labels in self.found.items():
            image = described.get(numbers[ref]) if ref in numbers else None
            if image is None or labels.row.sha256 not in (None, image.sha256):
                why = "is not in the catalog" if image is None else "has other bytes now than those that were labelled"
                self._refuse(labels.row.place.line, str(ref), f"{ref} {why}")
            elif made := labels.answers(_draw(labels.row)):
                images.setdefault(taxonomy, []).append(_image(image, made))
        counted = {image.id for some in images.values() for image in some}
        report = LabelFileReport(
            file=name,
            random=self.random and bool(counted),
            images=len(counted),
            problems=self.wrong,
            examples=tuple(self.problems),
        )
        ordered = {name: sorted(some, key=lambda each: each.id) for name, some in images.items()}
        return LabelFile(report=report, images=ordered)

    def _add(self, resolved: ResolvedRow) -> None:
        row, first = resolved.row, resolved.requests[0]
        key = first.taxonomy, first.ref
        effects = [self._effect(each) for each in resolved.requests]
        labels = self.found.setdefault(key, _Labels(row=row))
        rival = _rival(labels, effects) if row.at is None else None
        if rival is not None:
            before, now = rival
            why = f"{now} here and {before} in line {labels.row.place.line}; {first.taxonomy} has one answer"
            self._refuse(row.place.line, str(first.ref), f"{first.ref} is {why}: the first is used; correct the file")
            return
        labels.row = row
        self.random &= row.chosen is Chosen.RANDOM
        for request, effect in zip(resolved.requests, effects, strict=True):
            labels.apply(request, effect)

    def _effect(self, request: DecisionRequest) -> Effect:
        return request.effect or self.questions[request.taxonomy].effect(
            request.verdict, request.label, request.seen.label
        )

    def _refuse(self, line: int, image: str, message: str) -> None:
        self.wrong += 1
        if len(self.problems) < _NAMED:
            self.problems.append(FileProblem(line=line, image=image, message=message))


def _rival(labels: _Labels, effects: Sequence[Effect]) -> tuple[str, str] | None:
    """A label that the image has by an earlier row, and another one that cannot hold beside it."""
    before = {label for label, held in labels.holds.items() if held}
    for effect in effects:
        if effect.answers and labels.whole and before and effect.adds:
            now = set(effect.adds)
            if not (before <= now or now <= before):
                return max(before - now), max(now - before)
    return None


def _draw(row: FileRow) -> Draw | None:
    if row.chosen is not Chosen.RANDOM:
        return None
    return Draw(
        decision=row.place.line,
        batch="",
        plan=None,
        place=None,
        asked=row.shown_label,
        given=None,
        probability=row.inclusion_probability,
        alike=1,
    )


def _image(image: ReviewImage, answers: tuple[PersonAnswer, ...]) -> ReviewedImage:
    return ReviewedImage(
        id=image.id, ref=image.ref, sha256=image.sha256, etag=image.etag, phash=image.phash, answers=answers
    )
