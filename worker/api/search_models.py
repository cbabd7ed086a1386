"""Requests to search, and what searches find."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, Field, StringConstraints, model_validator

from worker.api.example_models import Example, LabelName
from worker.api.filter_models import Filter
from worker.api.image_models import DecidedTag
from worker.api.links import Linked
from worker.api.models import Asked, TagFilter, Values, storable
from worker.catalog import image_filter
from worker.catalog.image_filter import ImageFilter
from worker.pipeline.reading import examples
from worker.pipeline.reading.search_values import MOST_EXAMPLES, SearchQuery
from worker.pipeline.reading.similarity import MOST_COMPARED

_Query = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=2_000), AfterValidator(storable)
]


def require_query_name(text: str) -> str:
    """Refuse what is not the name of a saved query."""
    if not _NAME.fullmatch(text):
        raise ValueError(
            "write letters, digits, spaces, dots, hyphens and underscores, the first a letter or digit, at most 100"
        )
    return text


_NAME = re.compile(r"\w[\w .-]{0,99}")
#: Name of a saved query.
QueryName = Annotated[str, AfterValidator(require_query_name), Field(examples=["beaches without people"])]
_CURSOR = 4_000  # characters
#: Members that requests had before there were examples. Who gives no other gets what was always answered.
_EARLIER = frozenset({"text", "label", "limit", "tags", "min_similarity", "exact"})


class SearchRequest(Asked):
    """What to search for. It needs one of `text`, `label`, `like`, `unlike` and `saved`."""

    saved: QueryName | None = Field(
        None, description="Name of a saved query: the other members given here take the place of its own."
    )
    text: _Query | None = Field(None, description="What to look for, in words: short for one text in `like`.")
    label: LabelName | None = Field(None, description="Short for one label in `like`.")
    like: list[Example] = Field([], max_length=MOST_EXAMPLES, description="Examples of what is wanted.")
    unlike: list[Example] = Field(
        [],
        max_length=MOST_EXAMPLES,
        description="Examples of what is not wanted. Without `like`, the images least like them are found.",
    )
    strategy: Literal["average", "best"] = Field(
        "average",
        description="With several examples: `average` finds images that are like all in `like` together, `best` images "
        "that are like any one of them.",
    )
    tags: list[TagFilter] = Field([], max_length=16, description="Only images to which all of these tags apply.")
    filter: Filter | None = Field(None, description="Only images that match this as well.")
    limit: int = Field(10, ge=1, le=1_000, description="Most hits to return.")
    after: str | None = Field(
        None, min_length=1, max_length=_CURSOR, description="`next` of the previous page, with the same request."
    )
    min_similarity: float | None = Field(
        None,
        ge=-1,
        le=1,
        allow_inf_nan=False,
        description="Leave out hits below this. Typical values differ by model.",
    )
    min_relevance: float | None = Field(
        None,
        ge=0,
        le=1,
        allow_inf_nan=False,
        description="Leave out hits with a lower relevance; 0.5 leaves out what is more likely wrong than right.",
    )
    words: bool = Field(
        False,
        description="Images whose keys or labels have words of the texts in `like` count as well: both orders are "
        "fused by rank. There is one page then: raise `limit` for more.",
    )
    exact: bool = Field(
        False,
        description="Compare every image that passes the filter, without an index, however long that takes.",
    )
    collapse: bool | None = Field(
        None,
        description="Whether copies of a picture (the same bytes, or nearly the same perceptual hash) are one hit, "
        "which says how many there are. If omitted: yes, unless the request has no other members than `text` or "
        "`label`, `limit`, `tags`, `min_similarity` and `exact`.",
    )
    include_examples: bool = Field(
        False, description="Whether images that are examples, and files with the same bytes, may be hits."
    )

    @model_validator(mode="after")
    def _one_of_both(self) -> SearchRequest:
        if self.text is not None and self.label is not None:
            raise ValueError("needs either 'text' or 'label'; to search by both, put both into 'like'")
        if self.saved is None and self.text is None and self.label is None and not self.like and not self.unlike:
            raise ValueError("needs either 'text' or 'label', or examples in 'like' or 'unlike'")
        return self

    @property
    def is_of_old(self) -> bool:
        """Whether it has only members that requests had before there were examples."""
        return self.model_fields_set <= _EARLIER

    @property
    def uploads(self) -> int:
        """Images that have to be encoded for it."""
        return sum(each.is_upload for each in (*self.like, *self.unlike))

    def to_value(self) -> SearchQuery:
        """What the use case takes. Decodes base64, so call it in a thread.

        Raises:
            ChoiceError: the request contradicts itself, or the base64 of a file or vector is invalid.
        """
        wanted: list[examples.Example] = []
        if self.text is not None:
            wanted.append(examples.Words(text=self.text))
        if self.label is not None:
            wanted.append(examples.OfLabel(taxonomy=self.label.taxonomy, label=self.label.label))
        wanted += [each.value(f"like[{number}]") for number, each in enumerate(self.like)]
        return SearchQuery(
            like=tuple(wanted),
            unlike=tuple(each.value(f"unlike[{number}]") for number, each in enumerate(self.unlike)),
            strategy=self.strategy,
            filter=self._filter(),
            limit=self.limit,
            after=self.after,
            min_similarity=self.min_similarity,
            min_relevance=self.min_relevance,
            judged=not self.is_of_old,
            words=self.words,
            exact=self.exact,
            thorough=not self.is_of_old,
            collapse=not self.is_of_old if self.collapse is None else self.collapse,
            include_examples=self.include_examples,
        )

    def _filter(self) -> ImageFilter:
        tags = tuple(image_filter.TagFilter(**each.model_dump()) for each in self.tags)
        own = ImageFilter(tags=tags)
        return own if self.filter is None else own.and_(self.filter.to_value())


class ExampleMatch(Values):
    """The example that is nearest to a hit."""

    example: int = Field(
        description="Its place in `like` or `unlike`, from 0. A `text` or `label` comes before those in `like`."
    )
    similarity: float = Field(
        description="Its cosine with the image, -1 to 1. Those of texts are lower than of images."
    )


class MatchedWord(Values):
    """A word of the query that an image has."""

    word: str = Field(description="As it was looked for; several words for a label whose name has several.")
    key: bool = Field(description="Whether the image's key has it.")
    tag: LabelName | None = Field(description="The label in force that is called so; null: none.")


class Hit(Linked, Values):
    """One result."""

    sha256: str | None = Field(None, description="Of the file's bytes, in hex.")
    similarity: float = Field(
        description="Cosine of the image and the nearest example in `like` (without any, in `unlike`), -1 to 1; "
        "comparable within one model only."
    )
    score: float | None = Field(
        None,
        description="What hits are ordered by. With one example, its similarity; with several, it is comparable within "
        "one search only.",
    )
    relevance: float | None = Field(
        None,
        description="From 0 to 1, comparable between queries: relative to what this query and random ones get from the "
        "whole catalog. null for requests as `collapse` describes, with fewer than 100 images, and without `like`.",
    )
    copies: int = Field(0, description="Further images found that are copies of this one; 0 without `collapse`.")
    like: ExampleMatch | None = Field(None, description="The nearest example in `like`.")
    unlike: ExampleMatch | None = Field(None, description="The nearest example in `unlike`.")
    words: list[MatchedWord] = Field([], description="With `words`: those of the query that the image has.")
    tags: dict[str, str | list[str]] = Field(
        description="Taxonomy → label; a sorted list if the taxonomy allows several, even if there is only one."
    )
    decided: list[DecidedTag] = Field(description="What people accepted and rejected, and who they are.")


class SearchResponse(BaseModel):
    """Results, best first, and how reliable they are."""

    hits: list[Hit]
    exact: bool = Field(
        description="Whether every image that passes the filter was compared. If not, an index was used, which finds "
        "nearly all of the nearest."
    )
    complete: bool = Field(
        description="False: the search stopped at a limit, so images may be missing. Repeat it with `exact`. "
        "The pages of a search end after 10,000 images, which `exact` does not change. With `words`, false also where "
        "more images match than there are hits: raise `limit`."
    )
    next: str | None = Field(
        None, description="Pass it as `after`, with the same request, for the next page; null on the last page."
    )
    left_out: int = Field(
        0, description="Images that ranked up to the end of this page and were left out because they are examples."
    )


class SavedQuery(Values):
    """A search that was saved under a name."""

    name: str
    query: dict[str, Any] = Field(
        description="A request as `POST /v1/search` takes it. Files in it were replaced by their vectors."
    )
    space: int | None = Field(
        description="The embedding space of the vectors in it: once another one is active, the query must be saved "
        "again. null: it has no vectors."
    )
    created_at: datetime
    updated_at: datetime


class SavedQueryList(BaseModel):
    """All saved queries, by name."""

    queries: list[SavedQuery]


class SimilarityRequest(Asked):
    """What to compare."""

    examples: list[Example] = Field(min_length=2, max_length=MOST_COMPARED, description="Each is compared with all.")


class SimilarityTable(BaseModel):
    """Cosines of all pairs, -1 to 1.

    Those of a text and an image are lower by nature than those of two images or two texts: compare like with like.
    """

    space: int
    model: str
    modalities: list[Literal["text", "image"]] = Field(description="Of the examples, in their order.")
    similarities: list[list[float]] = Field(description="A row and a column for each example, in their order.")
