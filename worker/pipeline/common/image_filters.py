"""Image filters: resolves what people name in them, and refuses what the catalog has never heard of."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime

from worker import catalog, ledger
from worker.catalog.image_filter import ImageFilter
from worker.db import Connection
from worker.errors import ChoiceError
from worker.pipeline.common import time_filters
from worker.pipeline.common.bucket_filters import require_bucket
from worker.pipeline.common.tag_filters import UnknownNameError, require_taxonomies, resolve_label
from worker.suggestions import shown, suggested


def resolved(connection: Connection, filter_: ImageFilter, *, now: datetime | None = None) -> ImageFilter:
    """The filter with names as the catalog has them, and times instead of ages.

    Args:
        connection: an open one.
        filter_: labels by name, title or alias; a camera by its make, its model or both; ages or times.
        now: what ages are relative to; by default the database's time.

    Raises:
        UnknownNameError: a bucket, taxonomy, label, camera, format or name of user metadata is unknown. The message
            names the nearest that is known.
        ChoiceError: no image can match.
    """
    if filter_.is_empty:
        return filter_
    moment = now or ledger.heartbeats.now(connection)
    require_bucket(connection, filter_.bucket)
    require_taxonomies(connection, filter_.undecided)
    for name, _ in filter_.metadata:
        _require_metadata(connection, name)
    found = replace(
        filter_,
        tags=tuple(resolve_label(connection, filter_.tags)),
        suggested=tuple(resolve_label(connection, filter_.suggested)),
        enriched_since=time_filters.at(filter_.enriched_since, now=moment),
        enriched_until=time_filters.at(filter_.enriched_until, now=moment),
        camera=None,
        cameras=filter_.cameras if filter_.camera is None else _cameras(connection, filter_.camera),
        format=None if filter_.format is None else _format(filter_.format),
        any=tuple(resolved(connection, each, now=moment) for each in filter_.any),
        none=tuple(resolved(connection, each, now=moment) for each in filter_.none),
    )
    _require_possible(connection, found)
    return found


def _require_possible(connection: Connection, filter_: ImageFilter) -> None:
    """Refuse two labels of a taxonomy that gives one."""
    by_taxonomy: dict[str, set[str]] = {}
    for tag in filter_.tags:
        by_taxonomy.setdefault(tag.taxonomy, set()).add(tag.label)
    several = {name: labels for name, labels in by_taxonomy.items() if len(labels) > 1}
    if not several:
        return
    for name, labels in several.items():
        if not catalog.taxonomies.gives_several(connection, name):
            raise ChoiceError(
                f"the filter contradicts itself: {name} gives an image one label, and no image has "
                f"{' and '.join(sorted(labels))}; to find either, put each into a filter of its own in `any`"
            )


def _cameras(connection: Connection, name: str) -> tuple[tuple[str, str], ...]:
    """Makes and models that are meant: exactly these; else those with all of the words, such as "EOS R5"."""
    wanted = " ".join(name.casefold().split())
    known = catalog.cameras.known(connection)
    found = tuple(pair for pair in known if wanted in {" ".join(each.casefold().split()) for each in _names(*pair)})
    words = set(wanted.split())
    found = found or tuple(pair for pair in known if words <= set(" ".join(pair).casefold().split()))
    if found and words:
        return found
    names = {each for pair in known for each in _names(*pair)}
    otherwise = f"there are {_some(sorted(names))}" if names else "no image says with which camera it was taken"
    raise UnknownNameError(f"no image was taken with {shown(name)}; {_nearest(name, names, otherwise)}")


def _names(make: str, model: str) -> Iterable[str]:
    return [name for name in (make, model, camera_name(make, model)) if name]


def camera_name(make: str, model: str) -> str:
    """How people call a camera: the make only once if the model begins with it."""
    return model if model.casefold().startswith(make.casefold()) else f"{make} {model}".strip()


def _nearest(name: str, names: Iterable[str], otherwise: str) -> str:
    """Suggestions compare lower case: give the name as it is written."""
    by_lower = {each.lower(): each for each in names}
    found = suggested(name, by_lower, otherwise="")
    named = (found.replace(repr(low), repr(each)) for low, each in by_lower.items() if repr(low) in found)
    return next(named, otherwise)


def _format(name: str) -> str:
    from worker import images  # loads Pillow

    wanted = {"JPG": "JPEG", "TIF": "TIFF", "HEIC": "HEIF", "JP2": "JPEG2000"}.get(name.upper(), name.upper())
    known = images.readable_formats()
    if wanted not in known:
        there = f"there are {', '.join(sorted(known))}"
        raise UnknownNameError(f"no image has the format {shown(name)}; {_nearest(name, known, there)}")
    return wanted


def _require_metadata(connection: Connection, name: str) -> None:
    if catalog.user_metadata.has_name(connection, name):
        return
    known = catalog.user_metadata.some_names(connection)
    there = f"there are {_some(known)}" if known else "none is stored: ENRICH_USER_METADATA names what workers store"
    raise UnknownNameError(f"no image has user metadata called {shown(name)}; {_nearest(name, known, there)}")


def _some(names: Sequence[str], most: int = 10) -> str:
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
