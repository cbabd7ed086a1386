"""User metadata of an object: its ``x-amz-meta-…`` headers."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from email.errors import HeaderParseError
from email.header import decode_header, make_header

_PREFIX = "x-amz-meta-"
#: All of them together, in characters. AWS allows 2 KB; other stores have other limits.
_MOST = 8_192
ALL = "*"


def user_metadata(headers: Mapping[str, str], wanted: Collection[str]) -> dict[str, str]:
    """Those of the headers that are wanted, by name in lower case, without the prefix.

    Args:
        headers: of a response.
        wanted: names in lower case; ``*`` is every name.
    """
    if not wanted:
        return {}
    found: dict[str, str] = {}
    left = _MOST
    for header, value in headers.items():
        name = header.lower().removeprefix(_PREFIX)
        if not header.lower().startswith(_PREFIX) or not (ALL in wanted or name in wanted):
            continue
        text = _text(value)
        left -= len(name) + len(text)
        if left < 0:
            break
        found[name] = text
    return found


def _text(value: str) -> str:
    """A header's text. AWS encodes what is not ASCII (RFC 2047); other stores send it as UTF-8."""
    if "=?" in value:
        try:
            return str(make_header(decode_header(value)))
        except (HeaderParseError, LookupError, ValueError):
            return value
    try:
        return value.encode("latin-1").decode()
    except UnicodeError:
        return value
