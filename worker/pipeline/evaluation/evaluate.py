"""The use case: measure tags by what people decided."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from worker import catalog
from worker.catalog.reviewed_images import ReviewedImage
from worker.catalog.spaces import Space
from worker.db import Connection, Engine, snapshot
from worker.errors import ChoiceError
from worker.pipeline.evaluation import metrics, report
from worker.pipeline.evaluation.judgements import Answers, Mask, Places, Truth, answers_of, truth_of
from worker.pipeline.evaluation.methods import CrossValidate, Method, Scored, methods, scored
from worker.pipeline.evaluation.report import Evaluation, LabelFileReport, MethodReport, TaxonomyReport
from worker.pipeline.evaluation.reviewed import MOST, Reviewed, drawn_by, draws_alike, reviewed, with_vectors
from worker.pipeline.evaluation.sample import Sample, may_count, sample
from worker.pipeline.review.sampling import clusters
from worker.pipeline.review.subject import Build, subject
from worker.tagging import Taxonomy

#: Most spaces, and most taxonomies, of one evaluation.
MOST_SPACES, MOST_TAXONOMIES = 8, 64


@dataclass(frozen=True, kw_only=True, slots=True)
class LabelFile:
    """Labels of a test set."""

    report: LabelFileReport
    images: Mapping[str, Sequence[ReviewedImage]]  # taxonomy → those with an answer, by id


@dataclass(frozen=True, kw_only=True, slots=True)
class EvaluationRequest:
    """What to measure."""

    taxonomies: tuple[str, ...] = ()  # empty: all in force that people have decided about
    spaces: tuple[int, ...] = ()  # empty: the active one; the labels are those of the first
    file: LabelFile | None = None  # instead of what people decided
    cross_validate: CrossValidate | None = None  # measures heads by images that they were not learned from


def evaluate(engine: Engine, build: Build, request: EvaluationRequest) -> Evaluation:
    """Measure what is in force in one snapshot of the catalog. Nothing is written.

    Args:
        engine: of the database.
        build: gives a tagger for the model of a space.
        request: what to measure.

    Raises:
        ChoiceError: nobody has decided anything, or a space or taxonomy cannot be measured.
        UnknownNameError: there is no such taxonomy.
        NotFoundError: nothing was embedded yet.
    """
    if len(request.spaces) > MOST_SPACES or len(request.taxonomies) > MOST_TAXONOMIES:
        raise ChoiceError(f"at most {MOST_SPACES} spaces and {MOST_TAXONOMIES} taxonomies are measured at once")
    with snapshot(engine) as connection:
        made_at, last = catalog.reviewed_images.moment(connection)
        names = _names(connection, request)
        subjects = [subject(connection, name, None) for name in names]
        spaces = _spaces(connection, request.spaces) or [subjects[0].space]
        read = [[_read(connection, space, each.taxonomy, request.file) for space in spaces] for each in subjects]
        versions = [drawn_by(connection, each.taxonomy, own[0]) for each, own in zip(subjects, read, strict=True)]
    found = [
        _taxonomy(each.taxonomy, own, build, request, before)
        for each, own, before in zip(subjects, read, versions, strict=True)
    ]
    return Evaluation(
        made_at=made_at,
        last_decision=last,
        spaces=tuple(each.id for each in spaces),
        file=None if request.file is None else request.file.report,
        taxonomies=tuple(found),
    )


# -- reading -----------------------------------------------------------------------------------------------------------
def _names(connection: Connection, request: EvaluationRequest) -> list[str]:
    decided = catalog.reviewed_images.taxonomies(connection) if request.file is None else sorted(request.file.images)
    if request.taxonomies:
        for name in request.taxonomies:
            subject(connection, name, None)
        missing = [each for each in request.taxonomies if each not in decided]
        if missing:
            raise ChoiceError(_nothing(missing[0], request))
        return list(dict.fromkeys(request.taxonomies))
    used = {each.name for each in catalog.taxonomies.kept(connection, decided) if each.in_force} if decided else set()
    names = [each for each in decided if each in used]
    if not names:
        raise ChoiceError(_nothing(None, request))
    return names[:MOST_TAXONOMIES]


def _nothing(taxonomy: str | None, request: EvaluationRequest) -> str:
    about = f" about {taxonomy}" if taxonomy else ""
    if request.file is not None:
        first = request.file.report.examples[0].message if request.file.report.examples else "it has no rows"
        return f"{request.file.report.file} has no labels{about} that can be used: {first}"
    how = f"`enrich review {taxonomy or 'TAXONOMY LABEL'}` draws images at random and asks about them"
    own = "or give labels that you have (--labels FILE, or test_set in the API)"
    return f"nobody has decided{about or ' anything'} yet: {how}; {own}"


def _spaces(connection: Connection, numbers: Sequence[int]) -> list[Space]:
    there = {each.id: each for each in catalog.spaces.all_spaces(connection)}
    for number in numbers:
        if number not in there:
            raise ChoiceError(f"there is no space {number}; there are {', '.join(map(str, there)) or 'none'}")
    return [there[each] for each in dict.fromkeys(numbers)]


def _read(connection: Connection, space: Space, taxonomy: Taxonomy, file: LabelFile | None) -> Reviewed:
    if file is None:
        return reviewed(connection, space, taxonomy.name)
    images = file.images.get(taxonomy.name, ())[:MOST]
    return with_vectors(connection, space, taxonomy.name, images, total=len(images))


# -- measuring ---------------------------------------------------------------------------------------------------------
@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _Data:
    """Images with what people decided about them."""

    found: Reviewed
    truth: Truth
    scenes: Places
    test_set: bool
    versions: Mapping[str, Taxonomy]  # by which images were drawn

    def sample(self, method: Method, taxonomy: Taxonomy) -> Sample:
        """Which images may judge a method; of a file, it is not known by what they were drawn."""
        if self.test_set:
            return sample(self.found.images, self.truth, self.scenes, test_set=True)
        alike = draws_alike(replace(method.taxonomy, when=taxonomy.when), method.space, self.versions)
        return sample(self.found.images, self.truth, self.scenes, alike=alike)


def _taxonomy(
    taxonomy: Taxonomy,
    read: Sequence[Reviewed],
    build: Build,
    request: EvaluationRequest,
    versions: Mapping[str, Taxonomy],
) -> TaxonomyReport:
    test_set = request.file is not None
    parts = {each.space.id: each for each in read}
    ways = [
        scored(each, parts[each.space.id], build, None if test_set else request.cross_validate)
        for each in methods(taxonomy, [each.space for each in read])
    ]
    data = _data(read[0], taxonomy, versions, test_set=test_set)
    in_force = [each for each in ways if each.method.space.id == read[0].space.id][-1]
    own, answers = in_force.method, answers_of(in_force.by, data.truth)
    counted = data.sample(own, taxonomy)
    measured = report.across(answers, data.truth, counted)
    calibration = own.taxonomy.calibration_for(own.space.model, own.space.id)
    thresholds = {label.name: calibration.threshold_of(label.name) for label, _ in taxonomy.walk()}
    bins = metrics.reliability(answers, data.truth, counted)
    return TaxonomyReport(
        taxonomy=taxonomy.name,
        version=taxonomy.version,
        space=own.space.id,
        model=own.space.model,
        method=own.name,
        note=_note(own, counted),
        design=counted.design,
        decided=data.found.total,
        measured=len(data.found.images),
        drawn=int(counted.candidates.sum()),
        scenes=counted.scenes,
        left_out=counted.left_out,
        asked=counted.labels,
        coverage=measured.coverage,
        accuracy=measured.accuracy,
        all_images=report.all_images(answers, data.truth, counted),
        labels=report.labels(
            answers, data.truth, counted, thresholds=thresholds, suggested=taxonomy.suggested(own.space.id)
        ),
        reliability=bins,
        calibration_error=metrics.calibration_error(bins),
        confusion=report.confusion(answers, data.truth, counted, data.found.images),
        worst=report.worst(answers, data.truth, data.found.images),
        methods=_compared(ways, parts, data, taxonomy),
    )


def _data(found: Reviewed, taxonomy: Taxonomy, versions: Mapping[str, Taxonomy], *, test_set: bool) -> _Data:
    truth = truth_of(taxonomy, found.images)
    scenes = _scenes(found, may_count(found.images, test_set=test_set))
    return _Data(found=found, truth=truth, scenes=scenes, test_set=test_set, versions=versions)


def _note(method: Method, counted: Sample) -> str:
    outdated = int(counted.outdated.any(axis=0).sum())
    if not outdated:
        return method.note
    note = (
        f"images drawn label by label by other prompts, another head or another model ({outdated:,}) say nothing about "
        "precision here; draw new ones with `enrich review`"
    )
    return f"{method.note}; {note}" if method.note else note


def _scenes(found: Reviewed, counting: Mask) -> Places:
    """``[n]``: near-duplicates among the images that count; others are not compared, which takes time."""
    if counting.all():
        return found.scenes
    places = np.flatnonzero(counting)
    phashes = np.array([found.images[place].phash for place in places], dtype=np.int64).view(np.uint64)
    scenes = np.arange(len(found.images)) + len(found.images)
    scenes[places] = clusters(phashes, found.vectors[places], np.random.default_rng(0))
    return scenes


def _compared(
    ways: Sequence[Scored], read: Mapping[int, Reviewed], data: _Data, taxonomy: Taxonomy
) -> tuple[MethodReport, ...]:
    """All ways, on the images that have a vector in every space."""
    common = set.intersection(*({each.id for each in found.images} for found in read.values()))
    places = {number: found.some(lambda each: each.id in common) for number, found in read.items()}
    if len(common) < len(data.found.images):
        found = _only(data.found, places[data.found.space.id])
        data = _data(found, taxonomy, data.versions, test_set=data.test_set)
    first: Answers | None = None
    compared = []
    for way in ways:
        method = way.method
        answers = answers_of(way.only(places[method.space.id]).by, data.truth)
        counted = data.sample(method, taxonomy)
        measured = report.across(answers, data.truth, counted)
        test, images = report.against(first or answers, answers, data.truth, counted)
        compared.append(MethodReport(
            space=method.space.id, model=method.space.model, method=method.name, images=images,
            note=_note(method, counted),
            coverage=measured.coverage, accuracy=measured.accuracy, error=measured.error,
            against_first=None if first is None else test,
        ))  # fmt: skip
        first = first or answers
    return tuple(compared)


def _only(found: Reviewed, places: npt.NDArray[np.intp]) -> Reviewed:
    images = tuple(found.images[place] for place in places)
    return replace(found, images=images, vectors=found.vectors[places])
