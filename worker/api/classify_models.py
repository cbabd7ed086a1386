"""Requests to classify images, and the answers."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, StringConstraints, model_validator

from worker.api.example_models import Base64, ImageName, SpaceOfVector, VectorGiven, decoded, reference, vector_of
from worker.api.filter_models import Filter
from worker.api.models import Asked, Name, storable
from worker.api.taxonomy_models import TaxonomyYaml
from worker.pipeline.reading.classify import MOST_IMAGES, MOST_UPLOADS, Picture
from worker.pipeline.reading.examples import Given, Stored, Uploaded
from worker.pipeline.reading.image_lookup import State
from worker.tagging import given_labels
from worker.tagging.given_labels import GivenLabels

_Prompt = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=2_000), AfterValidator(storable)
]
_Probability = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
_KINDS = ("image", "data", "vector")
#: Members that only labels of the request have.
_OF_LABELS = ("templates", "background", "many", "threshold", "margin")


class PictureToClassify(Asked):
    """An image. Exactly one of `image`, `data` and `vector` is given."""

    image: ImageName | None = Field(
        None,
        description="An image of the catalog, as `BUCKET/KEY`: its stored vector is used.",
        examples=["photos/red.jpg"],
    )
    data: Base64 | None = Field(
        None, description="An image file in base64. It is checked and decoded like an upload, and not stored."
    )
    vector: VectorGiven | None = Field(
        None, description="A vector of the active space: numbers, or little-endian float32 in base64."
    )
    space: SpaceOfVector | None = Field(
        None,
        description="Only with `vector`: the number of its space, as `POST /v1/embeddings` says it. Vectors of another "
        "space than the active one are refused; if omitted, only the length is checked.",
    )

    @model_validator(mode="after")
    def _one(self) -> PictureToClassify:
        given = [name for name in _KINDS if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(
                f"needs exactly one of {', '.join(_KINDS)}; it has {' and '.join(given) or 'none of them'}"
            )
        if self.space is not None and self.vector is None:
            raise ValueError(f"'space' is for 'vector' only; leave it out with {given[0]!r}")
        return self

    def value(self, where: str) -> Picture:
        """What the use case takes. Decodes base64, so call it in a thread; raises ``ChoiceError``."""
        if self.image is not None:
            return Stored(ref=reference(self.image))
        if self.data is not None:
            return Uploaded(data=decoded(self.data, f"{where}.data"), name=where)
        return Given(vector=vector_of(self.vector or "", f"{where}.vector"), space=self.space)


class LabelToChoose(Asked):
    """A label and the texts that stand for it."""

    name: Name = Field(examples=["hen"])
    prompts: list[_Prompt] = Field([], max_length=100, description="If there are none, the name is the only one.")


def _named(given: object) -> object:
    return [{"name": each} if isinstance(each, str) else each for each in given] if isinstance(given, list) else given


class PostClassification(Asked):
    """Which images to classify, and by what: `labels`, `taxonomies` or `definitions`."""

    images: list[PictureToClassify] | None = Field(
        None,
        min_length=1,
        max_length=MOST_IMAGES,
        description=f"At most {MOST_IMAGES} images, {MOST_UPLOADS} of them files.",
    )
    filter: Filter | None = Field(
        None, description="Instead of `images`: those of the catalog that match, page by page."
    )
    limit: int = Field(100, ge=1, le=MOST_IMAGES, description="With `filter`: most images of a page.")
    after: str | None = Field(None, max_length=10_000, description="With `filter`: `next` of the previous page.")
    labels: (
        Annotated[list[LabelToChoose], BeforeValidator(_named, json_schema_input_type=list[Name | LabelToChoose])]
        | None
    ) = Field(None, min_length=1, max_length=1_000, description="Names, or names with prompts.")
    templates: list[_Prompt] = Field(
        [],
        max_length=100,
        description="With `labels`: sentences with `{}` for each prompt; the mean of them all is compared.",
    )
    background: list[_Prompt] = Field(
        [], max_length=100, description="With `labels`: prompts of images that none of the labels fits."
    )
    many: bool = Field(
        False,
        description="With `labels`: an image may have any number of them. Each is judged by itself, relative to "
        "neutral prompts. If not, they exclude each other, and their probabilities, with the background's, "
        "add up to 1.",
    )
    threshold: _Probability | None = Field(
        None,
        description="With `labels`: least probability of a label that is decided. If omitted: 0 for labels that "
        "exclude each other, 0.5 with `many`.",
    )
    margin: _Probability = Field(0.0, description="With `labels`: least lead over the runner-up, in probability.")
    taxonomies: list[Name] | None = Field(
        None, min_length=1, max_length=64, description="Instead of `labels`: names of taxonomies in force."
    )
    definitions: list[TaxonomyYaml] | None = Field(
        None,
        min_length=1,
        max_length=16,
        description="Instead of `labels`: taxonomies as files have them, each as YAML; at most 2,000 texts together, "
        "counted in all templates.",
    )
    top: int = Field(100, ge=1, le=1_000, description="Most labels of a taxonomy to return, the likeliest first.")

    @model_validator(mode="after")
    def _unambiguous(self) -> PostClassification:
        if (self.images is None) == (self.filter is None):
            raise ValueError("needs either 'images' or 'filter'")
        if sum(each is not None for each in (self.labels, self.taxonomies, self.definitions)) != 1:
            raise ValueError("needs exactly one of 'labels', 'taxonomies' and 'definitions'")
        for name in sorted(self.model_fields_set & {*_OF_LABELS}) if self.labels is None else ():
            raise ValueError(f"{name!r} is for 'labels' only; taxonomies have their own")
        for name in sorted(self.model_fields_set & {"limit", "after"}) if self.filter is None else ():
            raise ValueError(f"{name!r} is for 'filter' only; all of 'images' are answered at once")
        return self

    @property
    def uploads(self) -> int:
        """Images that have to be encoded."""
        return sum(each.data is not None for each in self.images or ())

    def given_labels(self) -> GivenLabels | None:
        """The labels to choose from, if the request has them."""
        if self.labels is None:
            return None
        return GivenLabels(
            labels=tuple(given_labels.GivenLabel(name=each.name, prompts=tuple(each.prompts)) for each in self.labels),
            templates=tuple(self.templates),
            background=tuple(self.background),
            many=self.many,
            threshold=self.threshold,
            margin=self.margin,
        )


class LabelScore(BaseModel):
    """A label and how well it fits."""

    label: str
    similarity: float = Field(description="Cosine of the label's nearest text and the image.")
    probability: float = Field(
        description="Among the labels that compete with it; of a child: given that its parent holds."
    )
    holds: bool = Field(description="Whether it is decided; of a child: given that its parent is.")


class NearestMiss(BaseModel):
    """Why an image has no label."""

    reason: str = Field(description="As in explanations.")
    nearest: str = Field(description="The label that came nearest.")
    probability: float


class TaxonomyClassification(BaseModel):
    """What one taxonomy says about an image."""

    taxonomy: str = Field(description="`labels` for those of the request.")
    applies: bool = Field(description="Whether its condition is met.")
    decided: list[str] = Field(description="Its labels, parents before children; none: it abstains.")
    abstention: NearestMiss | None = Field(description="Why there are none, if it applies.")
    labels: list[LabelScore] = Field(description="The likeliest first, whether they are decided or not.")


class PictureProblem(BaseModel):
    """Why one image has no answer."""

    detail: str = Field(description="What is wrong and what to do next.")
    reason: str | None = Field(None, description="Why a file cannot be decoded; the codes are those of quarantine.")
    state: State | None = Field(None, description="What is known about an object that is not in the catalog.")


class ClassifiedPicture(BaseModel):
    """The answers about one image, or its problem."""

    index: int = Field(description="Place in `images`, or in the page.")
    image: str | None = Field(description="`BUCKET/KEY` of an image of the catalog.")
    taxonomies: list[TaxonomyClassification]
    problem: PictureProblem | None = Field(description="null: there are answers.")


class Classification(BaseModel):
    """Images in the order of the request, or a page of those that match the filter."""

    space: int = Field(description="The active space.")
    model: str = Field(description="Its model.")
    images: list[ClassifiedPicture]
    next: str | None = Field(description="With `filter`: pass it as `after` for the next page; null on the last page.")


def classification(found: Any, *, first: int = 0) -> Classification:
    """The answer for a ``Classified``; ``first`` is the index of its first image."""
    return Classification(
        space=found.space.id,
        model=found.space.model,
        images=[_picture(first + number, each) for number, each in enumerate(found.images)],
        next=found.next,
    )


def _picture(index: int, found: Any) -> ClassifiedPicture:
    ref = found.picture.ref if isinstance(found.picture, Stored) else None
    return ClassifiedPicture(
        index=index,
        image=None if ref is None else str(ref),
        taxonomies=[_answer(each) for each in found.answers],
        problem=None if found.problem is None else _problem(found.problem),
    )


def _answer(found: Any) -> TaxonomyClassification:
    missed = found.abstention
    return TaxonomyClassification(
        taxonomy=found.taxonomy,
        applies=found.applies,
        decided=list(found.decided),
        abstention=None
        if missed is None
        else NearestMiss(reason=missed.reason, nearest=missed.nearest, probability=missed.probability),
        labels=[
            LabelScore(label=each.label, similarity=each.similarity, probability=each.probability, holds=each.holds)
            for each in found.labels
        ],
    )


def _problem(error: Exception) -> PictureProblem:
    return PictureProblem(detail=str(error), reason=getattr(error, "reason", None), state=getattr(error, "state", None))
