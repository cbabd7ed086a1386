"""Request and response models of 2-D maps."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import BaseModel, Field

from worker.api.links import Linked
from worker.api.models import Asked
from worker.pipeline.maps.colours import ColourKind
from worker.pipeline.maps.points import MOST_IMAGES
from worker.pipeline.maps.projection import AskedMethod
from worker.pipeline.maps.requests import LEAST_SAMPLE, MOST_SAMPLE, USUAL_SAMPLE

if TYPE_CHECKING:
    from worker.pipeline.maps.requests import MapView


class PostMap(Asked):
    """What to draw."""

    update: bool = Field(
        False,
        description="Do not draw a map, but place images on the current one that were added since it was drawn. The "
        "other members do not matter then.",
    )
    method: AskedMethod = Field(
        "auto", description="`auto`: UMAP if the scheduler's installation has the extra `map`, else PCA."
    )
    sample: int = Field(
        USUAL_SAMPLE,
        ge=LEAST_SAMPLE,
        le=MOST_SAMPLE,
        description="Images that the map is fitted to; others are placed by their neighbours among these.",
    )
    seed: int = Field(0, ge=0, lt=1 << 31, description="Of the sample and of UMAP.")


class Drawing(BaseModel):
    """How far a drawing is."""

    stage: Literal["waiting", "sampling", "fitting", "placing", "storing"] = Field(
        description="`waiting`: the scheduler begins it within seconds, or once what it draws now is ready."
    )
    done: float = Field(description="0 to 1: how far the stage is.")


class Map(BaseModel):
    """A version of the map of a space. It has points once it is `ready`."""

    id: int
    space: int = Field(description="Number of the embedding space.")
    state: Literal["requested", "drawing", "ready", "failed"]
    current: bool = Field(description="Whether it is the one to show: the newest of the active space that is ready.")
    method: AskedMethod = Field(description="That was used; before it is ready, that was asked for.")
    sample: int = Field(description="Most images that it is fitted to.")
    seed: int
    requested_at: datetime
    finished_at: datetime | None = Field(description="When it was ready, or failed.")
    drawing: Drawing | None = Field(description="null: it is ready, or failed.")
    error: str | None = Field(description="Why it failed.")
    images: int = Field(description="Points. They never change; images that are added come behind them.")
    fitted: int = Field(description="The first points are of the images that the map is fitted to.")
    poor_share: float = Field(
        description="Share of the other images that are placed poorly: farther away from their neighbours than 99 % of "
        "the fitted ones. Above 0.05 the map is drawn anew at night."
    )
    aligned_to: int | None = Field(description="The map that it was turned onto; null: none.")
    alignment: float | None = Field(
        description="0 to 1: share of the variance of the places on that map that common images follow on this one."
    )
    added: int | None = Field(
        description="Images with a vector that are not on it yet; null: not counted, as there are more than a million, "
        "or it is not the current one."
    )
    updating: bool = Field(description="Whether images that were added are about to be placed on it.")
    updated_at: datetime | None

    @classmethod
    def of(cls, view: MapView) -> Self:
        """A map as the API returns it."""
        each = view.map
        under_way = each.state in ("requested", "drawing")
        return cls.model_validate({
            **{name: getattr(each, name) for name in _SAME},
            "current": view.current,
            "drawing": {"stage": each.stage or "waiting", "done": each.done or 0.0} if under_way else None,
            "aligned_to": each.previous,
            "alignment": each.explained,
            "added": view.added,
            "updating": each.update_wanted_at is not None,
        })  # fmt: skip


_SAME = (
    "id", "space", "state", "method", "sample", "seed", "requested_at", "finished_at", "error", "images", "fitted",
    "poor_share", "updated_at",
)  # fmt: skip


class MapList(BaseModel):
    """All maps, newest first. Of each space, two that are ready are kept."""

    maps: list[Map]

    @classmethod
    def of(cls, views: Iterable[MapView]) -> Self:
        """Maps as the API returns them."""
        return cls(maps=[Map.of(each) for each in views])


class MapColour(BaseModel):
    """A colour, by its number."""

    value: int = Field(description="In the column.")
    kind: ColourKind = Field(
        description="`value` and `time` have numbers from 0; `time`: in order. `without` (252): none of the labels. "
        "`other` (253): what has no number of its own. `unknown` (254): there is nothing to colour by. `gone` (255): "
        "the image is no longer in the catalog."
    )
    name: str
    title: str = Field(description="For people.")
    images: int = Field(description="Points of this colour.")


class MapColours(BaseModel):
    """A colour for each point."""

    map: int
    by: str
    count: int = Field(description="Points.")
    column: str = Field(description="Base64 of one byte for each point: a `value` of the legend.")
    legend: list[MapColour] = Field(
        description="What points have. Most images first, times in order; then what has no number of its own."
    )


class PostMapImages(Asked):
    """Some points of a map."""

    points: list[Annotated[int, Field(ge=0, lt=1 << 31)]] = Field(
        min_length=1, max_length=MOST_IMAGES, description="Their numbers, from 0, in the order of the points."
    )


class MapImage(Linked):
    """The image of a point."""

    point: int
    sha256: str
    taken_at: datetime | None = Field(description="EXIF: the camera's clock.")
    tags: dict[str, list[str]] = Field(description="Taxonomy → labels in force; taxonomies without any are left out.")


class MapImages(BaseModel):
    """Images of points, in the order asked for."""

    images: list[MapImage]
    gone: list[int] = Field(description="Points whose images are no longer in the catalog.")
