"""The words of a key, in Python and in SQL: ``2024/Sunset_at-theBeach12.jpg`` has 2024, sunset, at, the, beach, 12.

Words end at everything but letters and digits, between letters and digits, and where camel case begins a new one. A
part that this divides is a word as well. Upper and lower case are the same, and so are accented letters and plain ones.
The ending of the file's name is left out: too many keys have it. Of what people search for, only endings of
pictures are: "smith" in "portrait of dr.smith" is a word.

PostgreSQL's ``unaccent`` and ``pg_trgm`` do similar things, but not every server has them: those that `enrich up`
starts do not.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator

_ENDING = re.compile(r"\.[^\W_]{1,5}$")
_PICTURE = re.compile(
    r"\.(?:avif|bmp|dng|gif|hei[cf]|j2k|jfif|jp2|jpe|jpe?g|pn[gm]|psd|ppm|tga|tiff?|webp)$", re.IGNORECASE
)
_MARKS = re.compile("[\u0300-\u036f]")
_BETWEEN = re.compile(r"[\W_]+")
_ASCII_DIVISION = re.compile(
    r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|(?<=[A-Za-z])(?=[0-9])|(?<=[0-9])(?=[A-Za-z])"
)
#: Characters of a word; further ones are left out. PostgreSQL's lexemes have at most 2,046 bytes, and normalising makes
#: some characters many times as long.
_LONGEST = 200

# Made of PostgreSQL's immutable functions only, so that it can be indexed without a function of our own. Colons are
# escaped for SQLAlchemy.
_FOLDED = (
    r"normalize(regexp_replace(normalize(regexp_replace({0}, '\.[[\:alnum\:]]{{1,5}}$', ''), NFKD), "
    r"'[\u0300-\u036f]', '', 'g'), NFKC)"
)
_DIVISIONS = (
    r"([[\:lower\:]])([[\:upper\:]])",
    r"([[\:upper\:]])([[\:upper\:]][[\:lower\:]])",
    r"([[\:alpha\:]])([[\:digit\:]])",
    r"([[\:digit\:]])([[\:alpha\:]])",
)


def key_words_sql(key: str) -> str:
    """The words as a ``tsvector``: the expression that the index ``images_key_words`` is on.

    Args:
        key: SQL for the key.
    """
    # Keys are compared as bytes, a collation that knows upper and lower case only of A to Z; the database's knows more.
    folded = _FOLDED.format(f'{key} COLLATE "default"')
    divided = folded
    for each in _DIVISIONS:
        divided = rf"regexp_replace({divided}, '{each}', '\1 \2', 'g')"
    words = rf"regexp_replace(lower({divided} || ' ' || {folded}), '[^[\:alnum\:]]+', ' ', 'g')"
    short = rf"regexp_replace({words}, '([^ ]{{{_LONGEST}}})[^ ]+', '\1', 'g')"
    return f"array_to_tsvector(array_remove(string_to_array({short}, ' '), ''))"


def key_words(key: str) -> frozenset[str]:
    """All words of a key."""
    folded = _folded(_ENDING.sub("", key))
    return frozenset(_lower_words(f"{_divided(folded)} {folded}"))


def ordered_key_words(key: str) -> tuple[str, ...]:
    """The words of a key, or of the name at its end, as ``query_words`` gives those of a text."""
    return _in_order(_ENDING.sub("", key))


def may_have(key: str, words: Iterable[str]) -> bool:
    """Whether a key may have one of these words, or a longer one that begins so: quick to say no."""
    folded = _folded(_ENDING.sub("", key)).lower()
    return any(each in folded for each in words)


def query_words(text: str) -> tuple[str, ...]:
    """The words of what somebody searches for, in their order, each once; divided as those of keys are."""
    return _in_order(_PICTURE.sub("", text))


def _in_order(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(_lower_words(_divided(_folded(text)))))


def _folded(text: str) -> str:
    if text.isascii():
        return text
    return unicodedata.normalize("NFKC", _MARKS.sub("", unicodedata.normalize("NFKD", text)))


def _lower_words(text: str) -> list[str]:
    return [each[:_LONGEST] for each in _BETWEEN.split(text.lower()) if each]


def _divided(text: str) -> str:
    return _ASCII_DIVISION.sub(" ", text) if text.isascii() else "".join(_divided_letters(text))


def _divided_letters(text: str) -> Iterator[str]:
    for place, (before, this) in enumerate(zip("\0" + text, text, strict=False)):
        if _begins_a_word(before, this, text[place + 1 : place + 2]):
            yield " "
        yield this


def _begins_a_word(before: str, this: str, after: str) -> bool:
    if before.isalpha() and this.isalpha():
        return this.isupper() and (before.islower() or (before.isupper() and after.islower()))
    return (before.isalpha() and this.isdigit()) or (before.isdigit() and this.isalpha())
