"""Which images are meant: filters of lists, searches, counts and decisions, as values."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, fields, replace
from datetime import datetime, timedelta

from worker.errors import ChoiceError

_LONGITUDE, _LATITUDE = 180, 90  # degrees
_FARTHEST_KM = 20_100  # half of the way around the earth
_DEPTH = 8  # of filters in filters; people may write half as many, to which use cases add some
_MOST_NESTED = 16


@dataclass(frozen=True, kw_only=True, slots=True)
class TagFilter:
    """Only images to which this tag applies now.

    Raises:
        ChoiceError: no probability lies between the bounds.
    """

    taxonomy: str
    label: str
    source: str | None = None  # only if it was decided so
    min_probability: float | None = None  # a person's decision has none and passes every bound
    max_probability: float | None = None

    def __post_init__(self) -> None:
        _require_order("probability", self.min_probability, self.max_probability)

    @property
    def is_plain(self) -> bool:
        """Whether only taxonomy and label matter."""
        return self.source is None and self.min_probability is None and self.max_probability is None


@dataclass(frozen=True, kw_only=True, slots=True)
class Box:
    """A rectangle on the map, in degrees. ``west`` may be greater than ``east``: then it crosses the 180th meridian.

    Raises:
        ChoiceError: it is not on the map.
    """

    west: float
    south: float
    east: float
    north: float

    def __post_init__(self) -> None:
        is_on_map = max(abs(self.west), abs(self.east)) <= _LONGITUDE and self.south >= -_LATITUDE
        if not (is_on_map and self.south <= self.north <= _LATITUDE):
            raise ChoiceError(
                "a box is west, south, east, north in degrees, such as 11.3,48.0,11.8,48.3: longitudes from -180 to "
                "180, latitudes from -90 to 90, south not above north"
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class Near:
    """A circle on the map.

    Raises:
        ChoiceError: it is not on the map.
    """

    latitude: float  # degrees
    longitude: float
    kilometres: float

    def __post_init__(self) -> None:
        is_on_map = abs(self.latitude) <= _LATITUDE and abs(self.longitude) <= _LONGITUDE
        if not (is_on_map and 0 < self.kilometres <= _FARTHEST_KM):
            raise ChoiceError(
                "a place is a latitude from -90 to 90, a longitude from -180 to 180, and a distance above 0 and up to "
                "20100 kilometres"
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageFilter:
    """Which images: they must match all that is given; nothing given means all.

    Raises:
        ChoiceError: no image can match, a prefix comes without a bucket, or filters are nested too deeply.
    """

    bucket: str | None = None
    prefix: str | None = None  # of the key
    tags: tuple[TagFilter, ...] = ()  # that hold now: of the active model, or of people
    suggested: tuple[TagFilter, ...] = ()  # that the active model only suggests, and nobody has decided about
    undecided: tuple[str, ...] = ()  # taxonomies that apply, and none of whose labels holds
    source: str | None = None  # of these tags; without any, of at least one tag that holds
    enriched_since: datetime | timedelta | None = None  # an age is relative to the moment of the question
    enriched_until: datetime | timedelta | None = None  # exclusive, as all upper bounds of times
    taken_since: datetime | None = None  # the camera's wall clock, without an offset
    taken_until: datetime | None = None
    camera: str | None = None  # make, model, or both, in upper or lower case
    cameras: tuple[tuple[str, str], ...] = ()  # what that means: makes and models, empty where the file says none
    format: str | None = None  # JPEG, PNG …
    min_bytes: int | None = None
    max_bytes: int | None = None
    min_width: int | None = None  # pixels, as displayed
    max_width: int | None = None
    min_height: int | None = None
    max_height: int | None = None
    box: Box | None = None
    near: Near | None = None
    metadata: tuple[tuple[str, str], ...] = ()  # user metadata: name in lower case, value
    any: tuple[ImageFilter, ...] = ()  # at least one of these must match
    none: tuple[ImageFilter, ...] = ()  # none of these may match

    def __post_init__(self) -> None:
        if self.bucket is None and self.prefix is not None:
            raise ChoiceError("a prefix needs a bucket: name the bucket, too")
        for name in ("bytes", "width", "height"):
            _require_order(name, getattr(self, f"min_{name}"), getattr(self, f"max_{name}"))
        _require_span("taken", self.taken_since, self.taken_until)
        _require_span("enriched", self.enriched_since, self.enriched_until)
        for each in self.none:
            self._require_possible(each)
        if any(each.is_empty for each in self.any):
            raise ChoiceError("an empty filter in `any` matches every image: say what else may match, or leave it out")
        if self.depth > _DEPTH:
            raise ChoiceError(f"filters are nested more than {_DEPTH} deep: write them flatter")
        if max(len(self.any), len(self.none)) > _MOST_NESTED:
            raise ChoiceError(f"`any` and `none` take at most {_MOST_NESTED} filters each")

    @property
    def is_empty(self) -> bool:
        """Whether all images match."""
        return self == ImageFilter()

    def and_(self, other: ImageFilter) -> ImageFilter:
        """Images that match both."""
        if self.is_empty or other.is_empty:
            return other if self.is_empty else self
        if not self.any:
            return replace(self, any=(other,))
        return replace(self, none=(*self.none, ImageFilter(none=(other,))))  # not one that does not match it

    @property
    def has_ages(self) -> bool:
        """Whether it asks for an age, which means another time with every question."""
        own = isinstance(self.enriched_since, timedelta) or isinstance(self.enriched_until, timedelta)
        return own or any(each.has_ages for each in (*self.any, *self.none))

    @property
    def fingerprint(self) -> str:
        """Differs between filters that ask for something else; the same in every process."""
        return hashlib.sha256(repr(self).encode(errors="replace")).hexdigest()[:12]

    @property
    def size(self) -> int:
        """How many tags and other conditions it has, in all its filters together."""
        lists = (self.tags, self.suggested, self.undecided, self.metadata, self.cameras)
        others = sum(getattr(self, each.name) is not None for each in fields(self)) - len(_LISTS)
        return sum(map(len, lists)) + others + sum(each.size for each in (*self.any, *self.none))

    @property
    def depth(self) -> int:
        """How deeply filters are nested; 1: not at all."""
        return 1 + max((each.depth for each in (*self.any, *self.none)), default=0)

    def _require_possible(self, excluded: ImageFilter) -> None:
        if excluded.is_empty:
            raise ChoiceError("an empty filter in `none` excludes every image: say what to exclude, or leave it out")
        for tag in self.tags:
            if excluded == ImageFilter(tags=(tag,)):
                raise ChoiceError(
                    f"the filter contradicts itself: {tag.taxonomy}={tag.label} is both asked for and excluded"
                )


# -- what cannot be ----------------------------------------------------------------------------------------------------
def _require_order(name: str, low: float | None, high: float | None) -> None:
    if low is not None and high is not None and low > high:
        raise ChoiceError(f"the filter contradicts itself: min_{name} {low:g} is above max_{name} {high:g}")


def _require_span(name: str, since: datetime | timedelta | None, until: datetime | timedelta | None) -> None:
    """Times in the wrong order, or ages in the wrong order; a time and an age are compared once there is a moment."""
    if since is None or until is None or isinstance(since, datetime) is not isinstance(until, datetime):
        return
    is_empty = since <= until if isinstance(since, timedelta) else since >= until  # type: ignore[operator]
    if is_empty:
        raise ChoiceError(f"the filter contradicts itself: {name}_since is not before {name}_until")


#: Members that are lists: empty where nothing is asked for.
_LISTS = ("tags", "suggested", "undecided", "cameras", "metadata", "any", "none")
#: Nothing is asked for.
EVERY_IMAGE = ImageFilter()
