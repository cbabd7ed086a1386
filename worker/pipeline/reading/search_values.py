"""What a search asks and what it answers, as values."""

from __future__ import annotations

from dataclasses import dataclass

from worker.catalog.decisions import DecidedTag
from worker.catalog.image_filter import EVERY_IMAGE, ImageFilter
from worker.errors import ChoiceError
from worker.pipeline.reading.example_scores import Strategy
from worker.pipeline.reading.examples import Example, Words
from worker.pipeline.reading.word_match import MatchedWord

#: Examples of a query, positive and negative together.
MOST_EXAMPLES = 32
#: Images that the pages of one search rank at most, copies included.
MOST_RANKED = 10_000


@dataclass(frozen=True, kw_only=True, slots=True)
class SearchQuery:
    """One request to search, from any caller.

    Raises:
        ChoiceError: it has no example, too many, or one that is both wanted and not.
    """

    like: tuple[Example, ...] = ()
    unlike: tuple[Example, ...] = ()
    strategy: Strategy = "average"
    space: int | None = None  # of the vectors in it: no other may be searched; None: they were made for no certain one
    filter: ImageFilter = EVERY_IMAGE  # which images may be hits; names as people write them
    limit: int = 10  # most hits of a page
    after: str | None = None  # `next` of the previous page
    min_similarity: float | None = None  # least cosine to the nearest positive example
    min_relevance: float | None = None  # 0..1
    words: bool = False  # images that have words of the texts in `like` count as well: in keys and labels
    judged: bool = True  # hits get a relevance
    exact: bool = False  # compare every image that passes the filter
    thorough: bool = True  # do so anyway where that is quick: then no page misses an image
    collapse: bool = True  # one hit for all copies of a picture
    include_examples: bool = False  # images that are examples, and files with the same bytes, may be hits

    def __post_init__(self) -> None:
        """Refuse what cannot be searched for."""
        if not self.like and not self.unlike:
            raise ChoiceError("there is nothing to search for: give at least one example in `like` or `unlike`")
        if len(self.like) + len(self.unlike) > MOST_EXAMPLES:
            raise ChoiceError(
                f"{len(self.like) + len(self.unlike)} examples are too many: give at most {MOST_EXAMPLES}, or search "
                "by a label with these texts"
            )
        for each in self.like:
            if each in self.unlike:
                at, other = self.like.index(each), self.unlike.index(each)
                raise ChoiceError(f"like[{at}] and unlike[{other}] are the same example: leave one of them out")
        if self.min_relevance is not None and not self.like:
            raise ChoiceError(
                "`min_relevance` needs an example of what is wanted in `like`: what is only unlike something is not "
                "relevant to anything"
            )
        if self.words and not any(isinstance(each, Words) for each in self.like):
            raise ChoiceError("`words` needs a text in `like`, whose words can be looked for")
        if self.words and self.after is not None:
            raise ChoiceError("a search with `words` has one page: raise `limit`, or leave out `words`")
        if self.exact and self.strategy == "best" and self.unlike:
            raise ChoiceError(
                "`exact` is not available for the strategy `best` with negative examples: leave out `exact`, or use "
                "the strategy `average`"
            )

    @property
    def examples(self) -> tuple[Example, ...]:
        """The positive ones first."""
        return self.like + self.unlike


@dataclass(frozen=True, kw_only=True, slots=True)
class ExampleMatch:
    """The example of one side that is nearest to a hit."""

    example: int  # its place in the request's list
    similarity: float  # cosine, -1..1


@dataclass(frozen=True, kw_only=True, slots=True)
class SearchHit:
    """One result, and why it is where it is."""

    bucket: str
    key: str
    similarity: float  # cosine with the nearest positive example; with only negative ones, with the nearest of those
    score: float  # what hits are ordered by; with one example, the similarity
    relevance: float | None  # 0..1, relative to the catalog; None: not asked for, or too few images
    copies: int  # further images that were found and are copies of this one
    like: ExampleMatch | None
    unlike: ExampleMatch | None
    words: tuple[MatchedWord, ...]  # of the query that the image has
    sha256: str  # of the file's bytes, in hex
    tags: dict[str, str | list[str]]  # taxonomy → label; a list where the taxonomy can give several
    decided: tuple[DecidedTag, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class SearchAnswer:
    """A page of results, best first, and how reliable it is."""

    hits: tuple[SearchHit, ...] = ()
    exact: bool = True  # every image that passes the filter was compared
    complete: bool = True  # no limit ended the search
    next: str | None = None  # cursor of the next page; None: this is the last
    left_out: int = 0  # images that ranked before the end of this page, and are examples themselves
