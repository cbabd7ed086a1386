"""Examples in requests: a text, a catalog image, a file, a vector or a label."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from worker.api.models import Asked, Name, storable
from worker.errors import ChoiceError
from worker.pipeline.reading import examples
from worker.types import ObjectRef

#: No model has vectors this long.
_MOST_NUMBERS = 65_536
_NUMBER = 4  # bytes of a float32
_KINDS = ("text", "image", "data", "vector", "label")


def _reference(text: str) -> str:
    bucket, _, key = text.partition("/")
    if not (bucket and key):
        raise ValueError("write BUCKET/KEY, such as photos/2026/red flower.jpg")
    return text


#: An image of the catalog, ``BUCKET/KEY``.
ImageName = Annotated[str, StringConstraints(max_length=1_400), AfterValidator(_reference), AfterValidator(storable)]
#: A file in base64. Decoded where it is used: validating megabytes would hold up every other request.
Base64 = Annotated[str, StringConstraints(min_length=1)]
#: Numbers, or little-endian float32 in base64. One error about its numbers is enough: a million would take a minute.
VectorGiven = (
    Annotated[list[Annotated[float, Field(allow_inf_nan=False)]], Field(max_length=_MOST_NUMBERS, fail_fast=True)] | str
)
#: The number of the space that a vector is of.
SpaceOfVector = Annotated[int, Field(ge=1, lt=1 << 31)]
_Text = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=2_000), AfterValidator(storable)
]


class LabelName(Asked):
    """A label, given by its name, title or an alias."""

    taxonomy: Name = Field(examples=["setting"])
    label: Name = Field(examples=["indoor"])


class Example(Asked):
    """One thing to compare images with. Exactly one of `text`, `image`, `data`, `vector` and `label` is given."""

    text: _Text | None = Field(None, description="Words.")
    image: ImageName | None = Field(
        None, description="An image of the catalog, as `BUCKET/KEY`.", examples=["photos/2026/red flower.jpg"]
    )
    data: Base64 | None = Field(
        None, description="An image file in base64. It is checked and decoded like an upload, and not stored."
    )
    vector: VectorGiven | None = Field(
        None,
        description="A vector of the space: numbers, or little-endian float32 in base64. Its length does not matter.",
    )
    label: LabelName | None = Field(None, description="A label of a taxonomy in use.")
    modality: Literal["text", "image"] | None = Field(
        None, description="Only with `vector`: what it is the vector of. If omitted, of an image."
    )

    space: SpaceOfVector | None = Field(
        None,
        description="Only with `vector`: the number of its space, as `POST /v1/embeddings` says it. Vectors of another "
        "space than the one it is compared in are refused; if omitted, only the length is checked.",
    )

    @model_validator(mode="after")
    def _one(self) -> Example:
        given = [name for name in _KINDS if getattr(self, name) is not None]
        if len(given) != 1:
            found = " and ".join(given) or "none of them"
            raise ValueError(f"needs exactly one of {', '.join(_KINDS)}; it has {found}")
        for name in ("modality", "space") if self.vector is None else ():
            if getattr(self, name) is not None:
                raise ValueError(f"{name!r} is for 'vector' only; leave it out with {given[0]!r}")
        return self

    @property
    def is_upload(self) -> bool:
        """Whether an image has to be encoded for it."""
        return self.data is not None

    def value(self, where: str) -> examples.Example:
        """What the use cases take. Decodes base64, so call it in a thread.

        Args:
            where: the example's place in the request, such as ``input[3]``, for messages.

        Raises:
            ChoiceError: the base64 of a file or vector is invalid.
        """
        if self.text is not None:
            return examples.Words(text=self.text)
        if self.image is not None:
            return examples.Stored(ref=reference(self.image))
        if self.data is not None:
            return examples.Uploaded(data=decoded(self.data, f"{where}.data"), name=where)
        if self.label is not None:
            return examples.OfLabel(taxonomy=self.label.taxonomy, label=self.label.label)
        numbers = vector_of(self.vector or "", f"{where}.vector")
        return examples.Given(vector=numbers, modality=self.modality or "image", space=self.space)


def reference(name: str) -> ObjectRef:
    """The object that ``BUCKET/KEY`` names."""
    bucket, _, key = name.partition("/")
    return ObjectRef(bucket=bucket, key=key)


def decoded(text: str, where: str) -> bytes:
    """The bytes of base64, with or without the beginning of a ``data:`` URL.

    Raises:
        ChoiceError: it is not base64.
    """
    content = text.partition(",")[2] if text.startswith("data:") else text
    try:
        return base64.b64decode(content, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ChoiceError(
            f"{where}: not base64 ({str(error).lower().rstrip('.')}); encode the file's bytes with the standard "
            "alphabet (RFC 4648, section 4), with padding and without line breaks"
        ) from error


def vector_of(given: Sequence[float] | str, where: str) -> tuple[float, ...]:
    """Numbers, or little-endian float32 in base64.

    Raises:
        ChoiceError: it is not base64, or not of whole numbers of four bytes.
    """
    import numpy as np

    if not isinstance(given, str):
        return tuple(given)
    content = decoded(given, where)
    if len(content) % _NUMBER or not 0 < len(content) <= _NUMBER * _MOST_NUMBERS:
        raise ChoiceError(
            f"{where}: {len(content):,} bytes are not a vector; send little-endian float32, four bytes a number"
        )
    return tuple(np.frombuffer(content, dtype="<f4").tolist())
