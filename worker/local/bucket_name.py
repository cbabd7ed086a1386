"""Bucket names that the embedded store accepts."""

from __future__ import annotations

import re

from worker.errors import ConfigurationError

_SHORTEST, _LONGEST = 3, 63
_NAME = re.compile(r"[a-z0-9]([a-z0-9-]|\.(?=[a-z0-9]))+[a-z0-9]")
_ADDRESS = re.compile(r"\d+\.\d+\.\d+\.\d+")
#: https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html, as far as SeaweedFS enforces it.
RULE = (
    f"{_SHORTEST} to {_LONGEST} lower-case letters, digits, hyphens and dots; first and last a letter or digit; "
    "no two dots in a row, no IP address"
)


def require(name: str) -> None:
    """Check a bucket's name.

    Raises:
        ConfigurationError: the store would refuse it; names the rule and a name like it that is allowed.
    """
    if not is_allowed(name):
        raise ConfigurationError(f"{name!r} cannot be a bucket name: {RULE}. Try --bucket {nearest(name)}")


def is_allowed(name: str) -> bool:
    """Whether S3's rules allow a name."""
    return (
        _SHORTEST <= len(name) <= _LONGEST
        and _NAME.fullmatch(name) is not None
        and _ADDRESS.fullmatch(name) is None
        and not name.startswith("xn--")
    )


def nearest(name: str) -> str:
    """The allowed name most similar to another."""
    plain = re.sub(r"[^a-z0-9.]+", "-", name.lower())
    plain = re.sub(r"[.-]*\.[.-]*", ".", plain).strip("-.")[:_LONGEST].strip("-.")
    if _ADDRESS.fullmatch(plain):
        plain = plain.replace(".", "-")
    return plain if len(plain) >= _SHORTEST else f"photos-{plain}".rstrip("-")
