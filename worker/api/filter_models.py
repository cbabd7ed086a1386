"""Filters of lists, searches, counts and decisions, as JSON."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Annotated

from fastapi import Query
from pydantic import AfterValidator, Field, StringConstraints, ValidationError

from worker.api import problems, strict_json
from worker.api.models import Asked, MomentText, Name, TagFilter, TagSource, Text
from worker.catalog import image_filter
from worker.catalog.image_filter import ImageFilter
from worker.errors import ChoiceError
from worker.pipeline.common import periods, time_filters

#: How deeply filters may be nested, and how many tags and other conditions they may have together.
_DEPTH, _MOST = 4, 200

_Degrees = Annotated[float, Field(allow_inf_nan=False)]
_Count = Annotated[int, Field(ge=0, lt=1 << 31)]


def _is_date(of: Callable[[str], datetime]) -> Callable[[str], str]:
    def check(text: str) -> str:
        of(text)
        return text

    return check


_From = Annotated[str, StringConstraints(max_length=64), AfterValidator(_is_date(periods.begin))]
_To = Annotated[str, StringConstraints(max_length=64), AfterValidator(_is_date(periods.end))]


class Box(Asked):
    """A rectangle on the map, in degrees. If `west` is greater than `east`, it crosses the 180th meridian."""

    west: _Degrees = Field(examples=[11.3])
    south: _Degrees = Field(examples=[48.0])
    east: _Degrees = Field(examples=[11.8])
    north: _Degrees = Field(examples=[48.3])


class Near(Asked):
    """A circle on the map."""

    latitude: _Degrees = Field(examples=[48.14])
    longitude: _Degrees = Field(examples=[11.58])
    kilometres: _Degrees = Field(examples=[20])


class Filter(Asked):
    """Which images: they must match every member that is given. Without any member, all images match.

    What is unknown is refused: a bucket, taxonomy, label, camera, format, or name of user metadata. So is a filter that
    no image can match.
    """

    bucket: Text | None = Field(None, min_length=1, max_length=200)
    prefix: Text | None = Field(None, max_length=1_024, description="Of the key; requires `bucket`.")
    tags: list[TagFilter] = Field([], max_length=16, description="Tags in force; all must apply.")
    suggested: list[TagFilter] = Field(
        [], max_length=16, description="Labels that the active model suggests, and about which nobody has decided."
    )
    undecided: list[Name] = Field(
        [], max_length=16, description="Taxonomies that apply to the image, but none of whose labels holds."
    )
    source: TagSource | None = Field(None, description="Of these tags; without any, of at least one tag.")
    enriched_since: MomentText | None = Field(
        None, description="Not enriched earlier: `2d`, `12h`, or a time with its offset."
    )
    enriched_until: MomentText | None = Field(None, description="Enriched earlier than this.")
    taken_since: _From | None = Field(
        None,
        description="Not taken earlier, by the camera's clock: `2024`, `2024-06`, `2024-06-01` or `2024-06-01T12:30`.",
    )
    taken_until: _To | None = Field(
        None, description="Not taken later: `2024-06` is until the end of June.", examples=["2024-06"]
    )
    camera: Text | None = Field(
        None, min_length=1, max_length=200, description="Make, model, both, or words of them, in upper or lower case."
    )
    format: Text | None = Field(None, min_length=1, max_length=40, examples=["JPEG"])
    min_bytes: Annotated[int, Field(ge=0, lt=1 << 62)] | None = Field(None, description="Of the file.")
    max_bytes: Annotated[int, Field(ge=0, lt=1 << 62)] | None = None
    min_width: _Count | None = Field(None, description="Pixels, as displayed.")
    max_width: _Count | None = None
    min_height: _Count | None = None
    max_height: _Count | None = None
    box: Box | None = Field(None, description="Where it was taken.")
    near: Near | None = Field(None, description="Where it was taken.")
    metadata: dict[Name, Text] = Field(
        {},
        max_length=16,
        description="User metadata (`x-amz-meta-…`) by name, without the prefix. Workers store what "
        "`ENRICH_USER_METADATA` names.",
    )
    any: list[Filter] = Field([], max_length=16, description="At least one of these must match.")
    none: list[Filter] = Field([], max_length=16, description="None of these may match.")

    def to_value(self) -> ImageFilter:
        """What the catalog understands.

        Raises:
            ChoiceError: no image can match, or the filter is too large.
        """
        made = self.unchecked()
        if made.depth > _DEPTH:
            raise ChoiceError(f"filters are nested more than {_DEPTH} deep: write them flatter")
        if made.size > _MOST:
            raise ChoiceError(f"the filter has {made.size:,} conditions; at most {_MOST} are allowed: ask in parts")
        return made

    def unchecked(self) -> ImageFilter:
        """The same, however large it is."""
        return ImageFilter(
            bucket=self.bucket,
            prefix=self.prefix,
            tags=_tags(self.tags),
            suggested=_tags(self.suggested),
            undecided=tuple(self.undecided),
            source=self.source,
            enriched_since=None if self.enriched_since is None else time_filters.parse(self.enriched_since),
            enriched_until=None if self.enriched_until is None else time_filters.parse(self.enriched_until),
            taken_since=None if self.taken_since is None else periods.begin(self.taken_since),
            taken_until=None if self.taken_until is None else periods.end(self.taken_until),
            camera=self.camera,
            format=self.format,
            min_bytes=self.min_bytes,
            max_bytes=self.max_bytes,
            min_width=self.min_width,
            max_width=self.max_width,
            min_height=self.min_height,
            max_height=self.max_height,
            box=None if self.box is None else image_filter.Box(**self.box.model_dump()),
            near=None if self.near is None else image_filter.Near(**self.near.model_dump()),
            metadata=tuple((name.lower(), value) for name, value in sorted(self.metadata.items())),
            any=tuple(each.unchecked() for each in self.any),
            none=tuple(each.unchecked() for each in self.none),
        )


def _tags(given: Sequence[TagFilter]) -> tuple[image_filter.TagFilter, ...]:
    return tuple(image_filter.TagFilter(**each.model_dump()) for each in given)


def from_text(text: str) -> ImageFilter:
    """The filter in an address or on a command line.

    Raises:
        ChoiceError: it is not JSON, or not a filter; or no image can match.
    """
    try:
        return Filter.model_validate_json(strict_json.checked(text)).to_value()
    except ValidationError as error:
        raise ChoiceError(problems.complaints(error.errors(), of="filter")) from error


FilterText = Annotated[
    str | None,
    Query(
        alias="filter",
        max_length=8_000,
        description="More conditions, as JSON: the object `Filter`, URL-encoded. They hold in addition to the others.",
        examples=['{"min_width": 1, "none": [{"format": "GIF"}]}'],
    ),
]
