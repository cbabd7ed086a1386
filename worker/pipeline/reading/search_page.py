"""Pages of a ranking: what is left out, which hits stand for their copies, and where a page ends. Pure functions."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from worker.catalog.search import Hit
from worker.pipeline.reading import copies
from worker.pipeline.reading.search_cursor import SearchPosition
from worker.pipeline.reading.search_values import ExampleMatch
from worker.pipeline.reading.word_match import WordMatch
from worker.types import ObjectRef


@dataclass(frozen=True, kw_only=True, slots=True)
class RankedImage:
    """An image in the order of a search."""

    hit: Hit
    score: float
    similarity: float  # cosine with the nearest positive example; without any, with the nearest negative one
    relevance: float | None  # 0..1; None: not known
    like: ExampleMatch | None
    unlike: ExampleMatch | None
    words: WordMatch | None = None  # of the query's texts that the image has


@dataclass(frozen=True, kw_only=True, slots=True)
class Ranking:
    """The beginning of all images in their order: by score, then by id."""

    images: Sequence[RankedImage]
    ended: bool  # there are no more
    exact: bool
    complete: bool

    def without_open_end(self) -> Sequence[RankedImage]:
        """The images whose order is known. Of those that score like the last one, there may be more with lower ids."""
        if self.ended or not self.images:
            return self.images
        last = self.images[-1].score
        return [each for each in self.images if each.score != last]

    def is_below(self, score: float | None) -> bool:
        """Whether all further images score less; not if no score is given."""
        return score is not None and bool(self.images) and self.images[-1].score < score


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """Which images of a ranking may be hits."""

    refs: Collection[ObjectRef]  # left out: the examples
    sha256: Collection[str]  # left out: files with their bytes
    least_similarity: float | None
    least_relevance: float | None  # images without a relevance pass
    collapse: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class PageHit:
    """A hit and the number of its copies."""

    image: RankedImage
    copies: int
    ranked: int  # images up to it, copies included


@dataclass(frozen=True, kw_only=True, slots=True)
class Page:
    """The hits behind a position; more than were asked for if there are more."""

    hits: Sequence[PageHit]
    left_out: int


def page(images: Sequence[RankedImage], wanted: Wanted, behind: SearchPosition | None) -> Page:
    """The hits of the ranking's beginning that come behind a position.

    Copies of a hit of an earlier page are not hits again. For that, images that came after the first page was made do
    not count as hits of an earlier page: nobody has seen them.
    """
    seen = [each for each in images if _is_behind(each, behind) or _was_there(each, behind)]
    kept = [each for each in seen if not _is_example(each.hit, wanted) and _is_near(each, wanted)]
    places = {each.hit.image_id: place for place, each in enumerate(images, start=1)}
    by_id = {each.hit.image_id: each for each in kept}
    hits = [each.hit for each in kept]
    groups = copies.grouped(hits) if wanted.collapse else [copies.CopyGroup(first=hit) for hit in hits]
    found = [
        PageHit(image=by_id[group.first.image_id], copies=len(group.copies), ranked=places[group.first.image_id])
        for group in groups
    ]
    return Page(
        hits=[each for each in found if _is_behind(each.image, behind)],
        left_out=sum(_is_example(each.hit, wanted) for each in seen),
    )


def _is_behind(image: RankedImage, position: SearchPosition | None) -> bool:
    return position is None or position.is_before(image.score, image.hit.image_id)


def _was_there(image: RankedImage, position: SearchPosition | None) -> bool:
    return position is None or image.hit.image_id <= position.newest


def _is_example(hit: Hit, wanted: Wanted) -> bool:
    return hit.sha256 in wanted.sha256 or ObjectRef(bucket=hit.bucket, key=hit.key) in wanted.refs


def _is_near(image: RankedImage, wanted: Wanted) -> bool:
    if image.words is not None and image.words.share == 1:
        return True  # it has all of the words, whatever the model sees
    if wanted.least_similarity is not None and image.similarity < wanted.least_similarity:
        return False
    return wanted.least_relevance is None or image.relevance is None or image.relevance >= wanted.least_relevance
