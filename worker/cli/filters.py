"""Options that say which images are meant, for all commands that take them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

if TYPE_CHECKING:
    from worker.catalog.image_filter import ImageFilter, TagFilter

Place = Annotated[
    str | None, typer.Argument(metavar="[BUCKET[/PREFIX]]", help="Only in this place.", show_default=False)
]
Tags = Annotated[list[str] | None, typer.Option("--tag", metavar="TAXONOMY=LABEL", help="Only images with this tag.")]
AnyTags = Annotated[
    list[str] | None,
    typer.Option("--any-tag", metavar="TAXONOMY=LABEL", help="Only images with at least one of these tags."),
]
NoTags = Annotated[
    list[str] | None, typer.Option("--not-tag", metavar="TAXONOMY=LABEL", help="Only images without this tag.")
]
Conditions = Annotated[
    list[str] | None,
    typer.Option(
        "--where",
        metavar="NAME=VALUE",
        help="Only images for which this holds; may be repeated: taken=2024-06..2024-08, enriched=2d, "
        "camera='Canon EOS R5', format=jpeg, width=4000.., height=..1000, bytes=..100000, undecided=TAXONOMY, "
        "source=human, box=WEST,SOUTH,EAST,NORTH, near=LATITUDE,LONGITUDE,KILOMETRES, meta.NAME=VALUE.",
    ),
]
FilterJson = Annotated[
    str | None,
    typer.Option("--filter", metavar="JSON", help="Any other combination, as the API's `Filter`: any, none, …"),
]


def image_filter(
    *,
    place: str | None = None,
    tags: Sequence[str] | None = None,
    any_tags: Sequence[str] | None = None,
    no_tags: Sequence[str] | None = None,
    conditions: Sequence[str] | None = None,
    json: str | None = None,
    **more: Any,
) -> ImageFilter:
    """The filter that a command's options describe; ``more`` are further members of it.

    Raises:
        BadParameter: an option cannot be parsed, or no image can match.
    """
    from worker.catalog.image_filter import ImageFilter
    from worker.errors import ChoiceError

    bucket, _, prefix = (place or "").partition("/")
    members: dict[str, Any] = {"bucket": bucket or None, "prefix": prefix or None, **more}
    members["tags"] = tuple(tag_filter(each) for each in tags or ())
    members["any"] = tuple(ImageFilter(tags=(tag_filter(each),)) for each in any_tags or ())
    members["none"] = tuple(ImageFilter(tags=(tag_filter(each),)) for each in no_tags or ())
    for each in conditions or ():
        _add(members, each)
    try:
        found = ImageFilter(**members)
        if json is not None:
            from worker.api import filter_models

            found = found.and_(filter_models.from_text(json))
    except ChoiceError as error:
        raise typer.BadParameter(str(error)) from error
    return found


def tag_filter(text: str) -> TagFilter:
    """TAXONOMY=LABEL."""
    from worker.catalog.image_filter import TagFilter

    taxonomy, equals, label = text.partition("=")
    if not (taxonomy and equals and label):
        raise typer.BadParameter(f"--tag {text!r}: write TAXONOMY=LABEL, for example --tag time-of-day=night")
    return TagFilter(taxonomy=taxonomy, label=label)


def _add(members: dict[str, Any], text: str) -> None:
    """Add one condition of ``--where``."""
    from worker.suggestions import shown, suggested

    name, equals, value = text.partition("=")
    if not equals or not value:
        raise typer.BadParameter(f"--where {text!r}: write NAME=VALUE, for example --where taken=2024-06")
    if name.startswith("meta."):
        pair = (name.removeprefix("meta.").lower(), value)
        members["metadata"] = (*members.get("metadata", ()), pair)
        return
    if name == "undecided":
        members["undecided"] = (*members.get("undecided", ()), value)
        return
    parse = _PARSERS.get(name)
    if parse is None:
        names = [*_PARSERS, "undecided", "meta.NAME"]
        otherwise = f"there are {', '.join(names)}"
        raise typer.BadParameter(f"--where {shown(name)} is unknown; {suggested(name, names, otherwise=otherwise)}")
    try:
        parsed = parse(value)
    except ValueError as error:
        raise typer.BadParameter(f"--where {text!r}: {error}") from error
    twice = [each for each, known in parsed.items() if known is not None and members.get(each) is not None]
    if twice:
        raise typer.BadParameter(f"--where {name} is given twice: say both ends at once, such as {name}=A..B")
    members.update(parsed)


def _taken(value: str) -> Mapping[str, Any]:
    from worker.pipeline.common import periods

    since, until = periods.parse(value)
    return {"taken_since": since, "taken_until": until}


def _enriched(value: str) -> Mapping[str, Any]:
    from worker.pipeline.common import time_filters

    since, dots, until = value.partition("..")
    return {
        "enriched_since": time_filters.parse(since) if since else None,
        "enriched_until": time_filters.parse(until) if dots and until else None,
    }


def _range(name: str) -> Callable[[str], Mapping[str, Any]]:
    def parse(value: str) -> Mapping[str, Any]:
        low, dots, high = value.partition("..")
        if not dots:
            low = high = value
        return {f"min_{name}": _number(low), f"max_{name}": _number(high)}

    return parse


def _number(text: str) -> int | None:
    text = text.replace("_", "").strip()
    if text and not text.isdecimal():
        raise ValueError(f"{text!r} is no whole number: write 4000, 4000.. or 1000..4000")
    return int(text) if text else None


def _named(name: str) -> Callable[[str], Mapping[str, Any]]:
    return lambda value: {name: value}


def _source(value: str) -> Mapping[str, Any]:
    from worker.cli.read import require_source

    require_source(value)
    return {"source": value}


def _box(value: str) -> Mapping[str, Any]:
    from worker.catalog.image_filter import Box

    west, south, east, north = _degrees(value, "WEST,SOUTH,EAST,NORTH", 4)
    return {"box": _on_map(lambda: Box(west=west, south=south, east=east, north=north))}


def _near(value: str) -> Mapping[str, Any]:
    from worker.catalog.image_filter import Near

    latitude, longitude, kilometres = _degrees(value.removesuffix("km"), "LATITUDE,LONGITUDE,KILOMETRES", 3)
    return {"near": _on_map(lambda: Near(latitude=latitude, longitude=longitude, kilometres=kilometres))}


def _on_map(make: Callable[[], Any]) -> Any:
    from worker.errors import ChoiceError

    try:
        return make()
    except ChoiceError as error:
        raise ValueError(str(error)) from error


def _degrees(value: str, what: str, count: int) -> list[float]:
    import math

    def refuse() -> NoReturn:
        raise ValueError(f"write {what}, {count} numbers")

    try:
        numbers = [float(each) for each in value.split(",")]
    except ValueError:
        refuse()
    if len(numbers) != count or not all(map(math.isfinite, numbers)):
        refuse()
    return numbers


_PARSERS: Mapping[str, Callable[[str], Mapping[str, Any]]] = {
    "taken": _taken,
    "enriched": _enriched,
    "camera": _named("camera"),
    "format": _named("format"),
    "bytes": _range("bytes"),
    "width": _range("width"),
    "height": _range("height"),
    "source": _source,
    "box": _box,
    "near": _near,
}
