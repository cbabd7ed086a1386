"""Filters: lists and searches find exactly the images that match, and what cannot match is refused."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.factories import DIMENSION, enriched_image, spec
from tests.servers import RunningServers
from worker import catalog, db
from worker.api import filter_models
from worker.catalog import listing
from worker.catalog.image_filter import Box, ImageFilter, Near, TagFilter
from worker.catalog.spaces import Space
from worker.catalog.write import EnrichedImage
from worker.db import Engine, snapshot, transaction
from worker.errors import ChoiceError, CursorError
from worker.pipeline.common import image_filters
from worker.pipeline.common.tag_filters import UnknownNameError
from worker.pipeline.reading import image_list
from worker.pipeline.reading.sample import sample

MUNICH, TOKYO, FIJI = (48.14, 11.58), (35.68, 139.69), (-17.8, 178.4)
CAMERAS = (("Canon", "Canon EOS R5"), ("NIKON CORPORATION", "Z 6"), (None, None), (None, "Pixel 8"))
TAG = '{"taxonomy": "time-of-day", "label": "day"}'
TAKEN = (datetime(2024, 6, 1, 12), datetime(2024, 12, 31, 23, 59), None)  # noqa: DTZ001  # a camera's clock
PLACES = (MUNICH, TOKYO, FIJI, None)
ALBUMS: tuple[dict[str, str], ...] = ({"album": "summer", "rights": "CC-BY"}, {"album": "winter"}, {})


def made() -> list[EnrichedImage]:
    """48 images: every property takes turns of its own length, so that all combinations of two occur."""
    found = []
    for n in range(48):
        vector = np.zeros(DIMENSION, np.float32)
        vector[0], vector[1] = math.cos(n / 40), math.sin(n / 40)
        image = enriched_image(f"{'ab'[n % 2]}/{n:02}.jpg", label=("day", "night", None)[n % 3], vector=vector)
        make, model = CAMERAS[n % 4]
        latitude, longitude = PLACES[n // 2 % 4] or (None, None)
        metadata = replace(
            image.metadata, camera_make=make, camera_model=model, latitude=latitude, longitude=longitude,
            taken_at=TAKEN[n // 3 % 3], width=1000 + n, height=500, format=("JPEG", "PNG")[n // 5 % 2],
        )  # fmt: skip
        tags = tuple(replace(tag, probability=0.5 + n / 100) for tag in image.tags)
        info = replace(image.info, size=100 * n, user_metadata=ALBUMS[n // 7 % 3])
        found.append(replace(image, metadata=metadata, info=info, tags=tags))
    return found


IMAGES = {image.info.ref.key: image for image in made()}


@pytest.fixture(scope="module")
def museum(postgres: RunningServers, migrated: str) -> Iterator[tuple[Engine, Space]]:
    """The same images for all tests, which change nothing."""
    with postgres.fresh_database(template=migrated) as url:
        engine = db.connect(url, name="test")
        with transaction(engine) as connection:
            space = catalog.spaces.ensure(connection, spec())
            catalog.write.save_images(connection, space_id=space.id, images=list(IMAGES.values()))
        yield engine, space
        engine.dispose()


def matches(image: EnrichedImage, wanted: ImageFilter) -> bool:
    """What the SQL must say, in Python."""
    meta, tag = image.metadata, image.tags[0]
    label = tag.label
    checks = [
        wanted.prefix is None or image.info.ref.key.startswith(wanted.prefix),
        all(
            each.label == label
            and each.source in (None, "zero-shot")
            and (each.min_probability or 0)
            <= tag.probability
            <= (1 if each.max_probability is None else each.max_probability)
            for each in wanted.tags
        ),
        not wanted.undecided or label is None,
        wanted.source is None or label is not None,
        wanted.taken_since is None or (meta.taken_at is not None and meta.taken_at >= wanted.taken_since),
        wanted.taken_until is None or (meta.taken_at is not None and meta.taken_at < wanted.taken_until),
        not wanted.cameras or (meta.camera_make or "", meta.camera_model or "") in wanted.cameras,
        wanted.format in (None, meta.format),
        (wanted.min_bytes or 0) <= image.info.size <= (math.inf if wanted.max_bytes is None else wanted.max_bytes),
        (wanted.min_width or 0) <= meta.width <= (math.inf if wanted.max_width is None else wanted.max_width),
        wanted.box is None or in_box(meta.latitude, meta.longitude, wanted.box),
        wanted.near is None or near(meta.latitude, meta.longitude, wanted.near),
        all(image.info.user_metadata.get(name) == value for name, value in wanted.metadata),
        not wanted.any or any(matches(image, each) for each in wanted.any),
        not any(matches(image, each) for each in wanted.none),
    ]
    return all(checks)


def in_box(latitude: float | None, longitude: float | None, box: Box) -> bool:
    if latitude is None or longitude is None or not box.south <= latitude <= box.north:
        return False
    inside = (box.west <= longitude, longitude <= box.east)
    return any(inside) if box.west > box.east else all(inside)


def near(latitude: float | None, longitude: float | None, wanted: Near) -> bool:
    """By the law of cosines on the unit sphere, which is another formula than the one that is tested."""
    if latitude is None or longitude is None:
        return False
    a, b, turn = map(math.radians, (latitude, wanted.latitude, longitude - wanted.longitude))
    cosine = math.sin(a) * math.sin(b) + math.cos(a) * math.cos(b) * math.cos(turn)
    return 6371.0088 * math.acos(max(-1, min(1, cosine))) <= wanted.kilometres


def tag(label: str, **more: float) -> TagFilter:
    return TagFilter(taxonomy="time-of-day", label=label, **more)  # type: ignore[arg-type]


def leaves() -> st.SearchStrategy[ImageFilter]:
    pick = st.sampled_from
    return st.one_of(
        st.builds(lambda label: ImageFilter(tags=(tag(label),)), pick(["day", "night"])),
        st.builds(lambda p: ImageFilter(tags=(tag("day", min_probability=p),)), pick([0.6, 0.9])),
        st.builds(lambda p: ImageFilter(tags=(tag("night", max_probability=p),)), pick([0.6, 0.9])),
        st.just(ImageFilter(undecided=("time-of-day",))),
        st.just(ImageFilter(source="zero-shot")),
        st.builds(lambda prefix: ImageFilter(bucket="photos", prefix=prefix), pick(["a/", "b/1", "c"])),
        st.builds(lambda since: ImageFilter(taken_since=since), pick([each for each in TAKEN if each])),
        st.builds(lambda until: ImageFilter(taken_until=until), pick([each for each in TAKEN if each])),
        st.builds(lambda pair: ImageFilter(cameras=(pair,)), pick([CAMERAS[0], ("", "Pixel 8"), ("x", "")])),
        st.builds(lambda name: ImageFilter(format=name), pick(["JPEG", "PNG", "GIF"])),
        st.builds(lambda low: ImageFilter(min_bytes=low), pick([0, 1000, 9000])),
        st.builds(lambda high: ImageFilter(max_width=high), pick([999, 1010, 2000])),
        st.builds(lambda box: ImageFilter(box=box), pick([
            Box(west=0, south=0, east=20, north=60), Box(west=170, south=-30, east=-170, north=0),
            Box(west=130, south=-90, east=140, north=90),
        ])),
        st.builds(lambda at, km: ImageFilter(near=Near(latitude=at[0], longitude=at[1], kilometres=km)),
                  pick([MUNICH, (48.2, 11.6), (-17.8, -179.9), (90.0, 0.0)]), pick([1.0, 300.0, 7000.0, 20_015.0])),
        st.builds(lambda name, value: ImageFilter(metadata=((name, value),)), pick(["album", "rights"]),
                  pick(["summer", "CC-BY", "x"])),
    )  # fmt: skip


def filters() -> st.SearchStrategy[ImageFilter]:
    def nested(inner: st.SearchStrategy[ImageFilter]) -> st.SearchStrategy[ImageFilter]:
        flat = inner.filter(lambda each: each.depth <= 2)
        some = st.lists(flat, min_size=1, max_size=3).map(tuple)
        return st.one_of(
            st.builds(lambda each: ImageFilter(any=each), some),
            st.builds(lambda each: ImageFilter(none=each), some),
            st.builds(lambda a, b: a.and_(b), flat, flat),
        )

    return st.recursive(leaves(), nested, max_leaves=5)


@settings(max_examples=150)
@given(wanted=filters())
def test_a_list_has_exactly_the_images_that_match(museum, wanted):
    """Whatever the filter, and whichever way finds them."""
    engine, _ = museum
    expected = sorted(key for key, image in IMAGES.items() if matches(image, wanted))
    for few in (10_000, -1):
        with pytest.MonkeyPatch.context() as patch, snapshot(engine) as connection:
            patch.setattr(listing, "_FEW", few)
            assert expected == [each.key for each in listing.page(connection, wanted, limit=1_000).images]


@settings(max_examples=100)
@given(wanted=filters(), limit=st.sampled_from([1, 5, 100]), few=st.sampled_from([10, 10_000]))
def test_a_search_ranks_exactly_the_images_that_match(museum, wanted, limit, few):
    """The nearest come first, whichever way finds them."""
    engine, space = museum
    query = np.zeros(DIMENSION, np.float32)
    query[0] = 1
    ranked = [key for key, image in IMAGES.items() if matches(image, wanted)]
    with pytest.MonkeyPatch.context() as patch, transaction(engine) as connection:
        patch.setattr(catalog.search, "_FEW", few)
        found = catalog.search.nearest(connection, space, query, limit=limit, filter_=wanted)
    assert (ranked[:limit], True) == ([each.key for each in found.hits], found.complete)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("canon", {("Canon", "Canon EOS R5")}), ("Canon EOS R5", {("Canon", "Canon EOS R5")}),
        ("nikon corporation z 6", {("NIKON CORPORATION", "Z 6")}), ("PIXEL  8", {("", "Pixel 8")}),
        ("eos r5", {("Canon", "Canon EOS R5")}),
    ],
)  # fmt: skip
def test_a_camera_is_known_by_its_make_its_model_or_both(museum, name, expected):
    """In upper or lower case."""
    with snapshot(museum[0]) as connection:
        assert expected == set(image_filters.resolved(connection, ImageFilter(camera=name)).cameras)


@pytest.mark.parametrize(
    ("wanted", "told"),
    [
        (ImageFilter(camera="Canon EOS R6"), "no image was taken with 'Canon EOS R6'; did you mean 'Canon EOS R5'?"),
        (ImageFilter(camera="Leica"), "there are Canon, Canon EOS R5, NIKON CORPORATION"),
        (ImageFilter(format="jpgg"), "no image has the format 'jpgg'; did you mean 'JPEG'?"),
        (ImageFilter(metadata=(("albun", "x"),)), "called 'albun'; did you mean 'album'?"),
        (ImageFilter(undecided=("time-of-dy",)), "did you mean 'time-of-day'?"),
        (ImageFilter(any=(ImageFilter(tags=(tag("nigth"),)),)), "did you mean 'night'?"),
        (ImageFilter(none=(ImageFilter(camera="Cannon"),)), "did you mean 'Canon'?"),
    ],
)
def test_what_is_unknown_is_refused_with_the_nearest(museum, wanted, told):
    """At any depth."""
    with snapshot(museum[0]) as connection, pytest.raises(UnknownNameError) as refused:
        image_filters.resolved(connection, wanted)
    assert told in str(refused.value)


@pytest.mark.parametrize("name", ["jpg", "JPEG", "heic"])
def test_formats_have_other_names(museum, name):
    """As file names have them."""
    with snapshot(museum[0]) as connection:
        assert {"jpg": "JPEG", "JPEG": "JPEG", "heic": "HEIF"}[name] == image_filters.resolved(
            connection, ImageFilter(format=name)
        ).format


def test_ages_are_relative_to_the_moment_that_is_given(museum):
    """So that every page of a list means the same."""
    now = datetime(2026, 1, 1, tzinfo=UTC)
    with snapshot(museum[0]) as connection:
        found = image_filters.resolved(connection, ImageFilter(enriched_since=timedelta(days=2)), now=now)
    assert datetime(2025, 12, 30, tzinfo=UTC) == found.enriched_since


@pytest.mark.parametrize(
    ("members", "told"),
    [
        ({"min_width": 5, "max_width": 4}, "min_width 5 is above max_width 4"),
        ({"taken_since": TAKEN[1], "taken_until": TAKEN[0]}, "taken_since is not before taken_until"),
        ({"enriched_since": timedelta(days=1), "enriched_until": timedelta(days=2)}, "enriched_since is not before"),
        ({"tags": (tag("day"),), "none": (ImageFilter(tags=(tag("day"),)),)}, "both asked for and excluded"),
        ({"none": (ImageFilter(),)}, "an empty filter in `none` excludes every image"),
        ({"any": (ImageFilter(),)}, "an empty filter in `any` matches every image"),
        ({"prefix": "a"}, "a prefix needs a bucket"),
        ({"any": tuple(ImageFilter(format="PNG") for _ in range(17))}, "at most 16"),
    ],
)
def test_what_no_image_can_match_is_refused(members, told):
    """Before anything is searched."""
    with pytest.raises(ChoiceError, match=told):
        ImageFilter(**members)


def test_two_labels_of_a_taxonomy_that_gives_one_are_refused(engine):
    """With what to write instead."""
    version = catalog.taxonomies.TaxonomyVersion(
        name="light", version="v", many=False, definition={"labels": [{"name": "day"}, {"name": "night"}]}
    )
    with transaction(engine) as connection:
        catalog.taxonomies.remember(connection, [version])
    labels = tuple(TagFilter(taxonomy="light", label=label) for label in ("day", "night"))
    with snapshot(engine) as connection, pytest.raises(ChoiceError, match=r"light gives an image one label.*in `any`"):
        image_filters.resolved(connection, ImageFilter(tags=labels))


def test_filters_are_not_nested_without_end():
    """They become one statement."""
    deep = ImageFilter(format="PNG")
    for _ in range(7):
        deep = ImageFilter(any=(deep,))
    with pytest.raises(ChoiceError, match="nested more than 8 deep"):
        ImageFilter(any=(deep,))


def filter_of(text: str) -> ImageFilter:
    return filter_models.from_text(text)


def test_a_filter_as_deep_as_allowed_can_be_used_for_anything(museum):
    """Use cases add conditions of their own around it."""
    wanted = filter_of('{"any": [{"any": [{"any": [{"format": "JPEG"}]}]}]}')
    found = sample(museum[0], wanted, taxonomy="time-of-day", per_label=1)
    assert {"day", "night", None} == {each.label for each in found.labels}


SIXTEEN = f'{{"tags": [{", ".join([TAG] * 16)}]}}'
MANY = f'{{"any": [{", ".join([SIXTEEN] * 16)}]}}'


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('{"any": [{"any": [{"any": [{"any": [{"format": "JPEG"}]}]}]}]}', "nested more than 4 deep"),
        (MANY, "256 conditions; at most 200"),
        ('{"min_width": 1, "min_width": 2}', "member 'min_width': given 2 times"),
        ('{"min_width": "x"}', "min_width: Input should be a valid integer"),
        ("{", "filter is not JSON"),
        ('{"any": [{}]}', "an empty filter in `any` matches every image"),
    ],
)  # fmt: skip
def test_filters_that_are_too_large_or_unclear_are_refused(text, told):
    """Before they become a statement."""
    with pytest.raises(ChoiceError) as refused:
        filter_of(text)
    assert told in str(refused.value)


def test_a_cursor_belongs_to_its_filters(museum):
    """With others, images would be skipped silently."""
    engine, _ = museum
    first = image_list.images(engine, ImageFilter(format="JPEG"), limit=1)
    assert first.next is not None
    with pytest.raises(CursorError, match="of a list with other filters"):
        image_list.images(engine, ImageFilter(format="PNG"), limit=1, after=first.next)
