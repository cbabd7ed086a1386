"""Request and response models of evaluations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, Strict

from worker.api.links import Linked
from worker.api.models import Asked, Name, Text
from worker.catalog.decisions import Chosen, Verdict
from worker.pipeline.evaluation.evaluate import MOST_SPACES, MOST_TAXONOMIES
from worker.pipeline.evaluation.sample import Design

#: Most labels in one request.
MOST_LABELS = 10_000


class _Response(BaseModel):
    model_config = ConfigDict(from_attributes=True)


class TestLabel(Asked):
    """What a person says about one image of a test set."""

    __test__ = False  # for pytest

    bucket: Name
    key: Annotated[Text, Field(min_length=1, max_length=1_024)]
    verdict: Annotated[Verdict, Strict(strict=False)] = Field(
        Verdict.ACCEPT, description="`accept`, `reject` or `none` (of the taxonomy's labels)."
    )
    label: Annotated[Text, Field(min_length=1, max_length=200)] | None = Field(
        None, description="Its name, title or an alias. Left out with `none`."
    )
    chosen: Annotated[Chosen, Strict(strict=False)] = Field(
        Chosen.IMPORT, description="How the image was chosen: `random` and `import`, which is unknown, are counted."
    )


class TestSet(Asked):
    """Labels of images that are in the catalog. They are measured by, and not stored."""

    __test__ = False

    taxonomy: Name
    labels: list[TestLabel] = Field(min_length=1, max_length=MOST_LABELS)


class PostEvaluation(Asked):
    """What to measure."""

    taxonomies: list[Name] = Field(
        [], max_length=MOST_TAXONOMIES, description="None: all in force that people have decided about."
    )
    spaces: list[Annotated[int, Field(ge=1, lt=1 << 31)]] = Field(
        [], max_length=MOST_SPACES, description="To compare; none: the active one. Labels are measured in the first."
    )
    test_set: TestSet | None = Field(None, description="Instead of what people decided.")


class Share(_Response):
    """A share of images, with a 95 % interval (Wilson)."""

    seen: int
    of: int
    share: float | None = Field(description="null: of no image.")
    low: float
    high: float
    weighted: bool = Field(
        description="Whether images stand for different numbers of others, so that `share` is not `seen / of`."
    )


class EvaluatedLabel(_Response):
    """How right the tags with one label are."""

    label: str
    precision: Share = Field(description="Of the counted images with the tag, how many are right.")
    silence: Share = Field(description="Of the counted images that have the label according to people: without a tag.")
    recall: Share | None = Field(description="null: not known; it needs a plan about the whole taxonomy.")
    threshold: float | None = Field(description="null: only people give the label.")
    suggested: bool = Field(description="Whether it is not applied, because its precision is not proven.")


class ReliabilityBin(_Response):
    """The most probable labels whose probability is in a range."""

    low: float
    high: float
    mean: float = Field(description="Of their probabilities.")
    right: Share


class EvaluatedPicture(Linked, _Response):
    """An image."""

    sha256: str = Field(description="Of the bytes that people saw.")
    chosen: str = Field(description="How it came to be decided about.")


class ConfusionCell(_Response):
    """Images with this true label and this tag."""

    true: str | None = Field(description="null: none of the labels.")
    given: str | None = Field(description="null: no tag.")
    images: int
    examples: Sequence[EvaluatedPicture]


class WorstTag(_Response):
    """A tag that is wrong although the model was sure. Of all decided images, however they were chosen."""

    picture: EvaluatedPicture
    given: str
    probability: float
    true: str | None = Field(description="null: none of the labels, or it is not known.")
    margin: float = Field(description="Its probability, less that of the true label or of none of these.")


class SignTest(_Response):
    """Which of two methods is right more often, by the exact sign test."""

    won: int = Field(description="Images that only this method has right.")
    lost: int = Field(description="Images that only the first method has right.")
    better: float = Field(description="p that this one is better only by chance (one-sided).")
    differ: float = Field(description="p that they differ only by chance (two-sided).")


class EvaluatedMethod(_Response):
    """One way to tag the same images."""

    space: int
    model: str
    method: str
    note: str = Field(description="What speaks against its numbers; empty: nothing.")
    images: int = Field(description="On which it is compared.")
    coverage: Share | None
    accuracy: Share | None
    error: Share | None = Field(description="Of all images, how many have a wrong tag.")
    against_first: SignTest | None = Field(description="null: it is the first.")


class AllImages(_Response):
    """Counts with near-duplicates."""

    images: int
    tagged: int
    right: int = Field(description="Of the tagged.")


class EvaluatedTaxonomy(_Response):
    """How right the tags of one taxonomy are."""

    taxonomy: str
    version: str
    space: int
    model: str
    method: str = Field(description="What is in force: `zero-shot`, or with what reviews taught.")
    note: str = Field(description="What speaks against its numbers; empty: nothing.")
    design: Design = Field(
        description="How counted images were drawn. `everything`: from all. `by-label`: within labels, and weighted "
        "across them. `declared`: at random, say those who recorded the decisions. `file`: a test set. `one-by-one`: "
        "each label is a question of its own. `unknown`, `none`: there are no numbers across labels."
    )
    decided: int = Field(description="Images that people decided about.")
    measured: int = Field(description="Of these, with a vector in the space.")
    drawn: int = Field(description="Of these, drawn at random or in the test set.")
    scenes: int = Field(description="Of these, counted: one of near-duplicates.")
    left_out: Mapping[str, int] = Field(description="How they were chosen → images that are not counted.")
    asked: Sequence[str] = Field(description="Labels that images were drawn for.")
    coverage: Share | None = Field(description="How many counted images have a tag.")
    accuracy: Share | None = Field(description="How many of these are right.")
    all_images: AllImages | None
    labels: Sequence[EvaluatedLabel]
    reliability: Sequence[ReliabilityBin]
    calibration_error: float | None = Field(description="Mean difference of probabilities and the share that is right.")
    confusion: Sequence[ConfusionCell]
    worst: Sequence[WorstTag]
    methods: Sequence[EvaluatedMethod] = Field(description="On images with a vector in every space.")


class TestSetProblem(_Response):
    """A label of the test set that is not counted."""

    __test__ = False

    line: int = Field(description="Which label, from 1.")
    image: str
    message: str


class EvaluatedTestSet(_Response):
    """The test set."""

    file: str = Field(description="Its name, for people.")
    random: bool = Field(description="Whether all its images were drawn at random.")
    images: int
    problems: int = Field(description="Labels that are not counted.")
    examples: Sequence[TestSetProblem] = Field(description="The first of them.")


class Evaluation(_Response):
    """What was measured in one moment."""

    made_at: datetime
    last_decision: int | None = Field(description="Number of the newest decision; null: there are none.")
    spaces: Sequence[int]
    file: EvaluatedTestSet | None = Field(description="null: measured by people's decisions.")
    taxonomies: Sequence[EvaluatedTaxonomy]
