"""Examples: what a query is made of, as values, and their vectors in one space."""

from __future__ import annotations

import threading
from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal, TypeAlias, TypeVar

import numpy as np

from worker import catalog
from worker.catalog.image_filter import TagFilter
from worker.catalog.spaces import Space
from worker.db import Connection, Engine, snapshot, transaction
from worker.encoder import Encoder, unit_rows
from worker.errors import ChoiceError, EnrichError, ImageRejectedError, NotFoundError, TextTooLongError
from worker.pipeline.reading.image_lookup import not_found
from worker.pipeline.reading.image_towers import EncodedPicture, ImageTowers, PictureResult
from worker.pipeline.reading.label_search import vectors_of_label
from worker.pipeline.reading.text_search import NothingEmbeddedError
from worker.pipeline.spaces.loaded_models import kept_ready
from worker.types import Floats, ImageMetadata, ObjectRef


class OtherSpaceError(ChoiceError):
    """A vector is of another space than the one it would be compared in."""


#: Vectors of texts and of images lie in different parts of a space, whatever they show.
Modality: TypeAlias = Literal["text", "image"]

#: Vectors of texts that are kept between calls: two megabytes at 512 dimensions.
_MOST_TEXTS = 1_024


@dataclass(frozen=True, kw_only=True, slots=True)
class Words:
    """A text."""

    text: str
    modality: Modality = "text"


@dataclass(frozen=True, kw_only=True, slots=True)
class Uploaded:
    """The bytes of an image file. They are not stored."""

    data: bytes
    name: str | None = None  # for messages
    modality: Modality = "image"


@dataclass(frozen=True, kw_only=True, slots=True)
class Stored:
    """An image of the catalog; its stored vector is used."""

    ref: ObjectRef
    modality: Modality = "image"


@dataclass(frozen=True, kw_only=True, slots=True)
class Given:
    """A vector of the space, of any length but zero."""

    vector: tuple[float, ...]
    modality: Modality = "image"
    space: int | None = None  # the number of its space; None: not known, so only its length is checked


@dataclass(frozen=True, kw_only=True, slots=True)
class OfLabel:
    """A label of a taxonomy in use, by its name, title or an alias: the mean of its texts' vectors."""

    taxonomy: str
    label: str
    modality: Modality = "text"


Example: TypeAlias = Words | Uploaded | Stored | Given | OfLabel
_Kind = TypeVar("_Kind", bound=Example)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class EmbeddedExample:
    """The vector of one example."""

    vector: Floats  # [d], of unit length
    metadata: ImageMetadata | None = None  # of an uploaded file


#: The result for one example: an error concerns this example only.
ExampleResult: TypeAlias = EmbeddedExample | EnrichError


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class EmbeddedExamples:
    """Vectors of examples in one space."""

    space: Space
    vectors: Floats  # [n, d], of unit length, in the order of the examples
    pictures: tuple[ImageMetadata | None, ...]  # [n], of uploaded files: to leave them and their copies out


class ExampleVectors:
    """Turns examples into vectors of one space. Threads may share one.

    Texts and uploads need the space's model, which is loaded when the first of them needs it. Images and labels of the
    catalog do not: their vectors are read.
    """

    def __init__(
        self, engine: Engine, text_model: Callable[[Space], Encoder], towers: ImageTowers, *, spare: int = 0
    ) -> None:
        """Load nothing yet.

        Args:
            engine: the database.
            text_model: gives the text tower at least of a space's model, checked.
            towers: encode uploads.
            spare: most models kept beside the active space's, for spaces that are being filled.
        """
        self._engine, self._text_model, self._towers, self._spare = engine, text_model, towers, spare
        self._texts = _TextCache()

    def space(self, number: int | None = None) -> Space:
        """The active space, or the one with this number.

        Raises:
            NothingEmbeddedError: there is none yet.
            NotFoundError: no space has this number.
        """
        with transaction(self._engine) as connection:
            spaces = catalog.spaces.all_spaces(connection)
        if number is None:
            return _active(spaces)
        found = next((each for each in spaces if each.id == number), None)
        if found is None:
            there = ", ".join(str(each.id) for each in spaces) or "none yet"
            raise NotFoundError(f"there is no space {number}; the spaces are: {there}")
        return found

    def vectors(self, space: Space, examples: Sequence[Example]) -> Floats:
        """``[n, d]`` of unit length, one row for each example, in order. Raises what ``embed`` raises."""
        return self.embed(examples, space).vectors

    def embed(self, examples: Sequence[Example], space: Space | None = None) -> EmbeddedExamples:
        """The vectors of examples in a space, or in the one that is active now.

        Raises:
            ChoiceError: a vector has another length than the space's, is not finite or is zero; a text is empty; or
                this process keeps no model for the space.
            TextTooLongError: the model does not read all of a text.
            ImageRejectedError: an upload cannot be decoded; the message names it.
            ImageNotFoundError: an image is not in the catalog; says what is known about it instead.
            NothingEmbeddedError: nothing was embedded yet, or an image has no vector in this space.
            LabelNotFoundError: a label's vector is not stored, or not yet.
            UnknownNameError: the catalog has never heard of a label or taxonomy.
            ModelUnavailableError: the model's files are not available.
            SpaceMismatchError: the model is not the one that the space was filled with.
        """
        where = space or self.space()
        found = self.embed_each(examples, where)
        for each in found:
            if isinstance(each, EnrichError):
                raise each
        good = [each for each in found if isinstance(each, EmbeddedExample)]
        vectors = np.stack([each.vector for each in good]) if good else np.empty((0, where.dimension), np.float32)
        return EmbeddedExamples(space=where, vectors=vectors, pictures=tuple(each.metadata for each in good))

    def embed_each(self, examples: Sequence[Example], space: Space) -> list[ExampleResult]:
        """The vector of each example, or why it has none: an error that ``embed`` would raise.

        Raises:
            ChoiceError: this process keeps no model for the space.
            ModelUnavailableError: the model's files are not available.
            SpaceMismatchError: the model is not the one that the space was filled with.
        """
        results: dict[int, ExampleResult] = {}
        for number, given in _of(examples, Given):
            results[number] = _caught(partial(_checked, space, given, _position(number, examples)))
        self._read(space, examples, results)
        self._encode_texts(space, examples, results)
        uploads = list(_of(examples, Uploaded))
        pictures = self.encode_files(space, [each.data for _, each in uploads])
        for (number, upload), result in zip(uploads, pictures, strict=True):
            if isinstance(result, ImageRejectedError):
                results[number] = _named(result, upload.name or _position(number, examples))
            else:
                results[number] = EmbeddedExample(vector=result.vector, metadata=result.metadata)
        return [results[number] for number in range(len(examples))]

    def encode_files(self, space: Space, files: Sequence[bytes]) -> list[PictureResult]:
        """The vectors of image files, or why one has none. Raises what ``ImageTowers.encode`` raises."""
        if not files:
            return []
        return self._towers.encode(self._with_model(space), files)

    def image_model(self, space: Space) -> Encoder:
        """The model of a space, with its image tower. Raises what ``ImageTowers.encoder`` raises."""
        return self._towers.encoder(self._with_model(space))

    def text_model(self, space: Space) -> Encoder:
        """The text tower at least of a space's model.

        Raises:
            ChoiceError: this process keeps no model for the space.
        """
        return self._text_model(self._with_model(space))

    @property
    def refusals(self) -> list[str]:
        """Why uploads cannot be embedded in some spaces: their models failed the golden check here."""
        return self._towers.refusals

    def keep_ready(self) -> None:
        """Load the image towers that requests will need after the next switch, and free others."""
        with transaction(self._engine) as connection:
            spaces = catalog.spaces.all_spaces(connection)
        self._towers.keep_ready(kept_ready(spaces, self._spare))

    def _with_model(self, space: Space) -> Space:
        """The space, if its model may be loaded: any other model would stay in memory beside those in use."""
        with transaction(self._engine) as connection:
            kept = kept_ready(catalog.spaces.all_spaces(connection), self._spare)
        if space.id not in [each.id for each in kept]:
            there = " and ".join(str(each.id) for each in kept)
            raise ChoiceError(
                f"no model is loaded for space {space.id}, which is {space.state}: embed texts and uploads in space "
                f"{there}; the vectors of catalog images can be read in any space"
            )
        return space

    def _read(self, space: Space, examples: Sequence[Example], results: dict[int, ExampleResult]) -> None:
        """Add what the catalog has, all from one moment."""
        stored, labels = list(_of(examples, Stored)), list(_of(examples, OfLabel))
        if not (stored or labels):
            return
        with snapshot(self._engine) as connection:  # a label set that is replaced meanwhile is still there
            known = catalog.read.vectors(connection, space.id, [each.ref for _, each in stored])
            for number, image in stored:
                vector = known.get(image.ref)
                results[number] = (
                    _missing(connection, space, image.ref) if vector is None else EmbeddedExample(vector=_unit(vector))
                )
            for number, label in labels:
                wanted = TagFilter(taxonomy=label.taxonomy, label=label.label)
                results[number] = _caught(partial(_label_vector, connection, space, wanted))

    def _encode_texts(self, space: Space, examples: Sequence[Example], results: dict[int, ExampleResult]) -> None:
        texts = {number: " ".join(each.text.split()) for number, each in _of(examples, Words)}
        long = self._texts.unknown(space, [text for text in texts.values() if text])
        model = self.text_model(space) if long else None
        cut = model.cut(long) if model else {}
        for number, text in texts.items():
            if not text:
                results[number] = ChoiceError(f"{_position(number, examples)}: the text is empty")
            elif model is not None and text in cut:
                results[number] = TextTooLongError(model.why_cut(text, cut[text]))
        left = [number for number in texts if number not in results]
        for number, vector in zip(left, self.encode_texts(space, [texts[number] for number in left]), strict=True):
            results[number] = EmbeddedExample(vector=vector)

    def encode_texts(self, space: Space, texts: Sequence[str]) -> list[Floats]:
        """The unit vectors of texts, ``[d]`` each. What is too long for the model is cut, and not cached.

        Callers that must not cut check it before, or use ``embed_each``. Raises what ``embed_each`` raises.
        """
        long: dict[str, int] = {}

        def encode(missing: Sequence[str]) -> Floats:
            model = self.text_model(space)
            long.update(model.cut(missing))
            return model.encode_texts(missing)

        return self._texts.of(space, texts, encode, but=long)


class _TextCache:
    """Vectors of texts, kept between calls. Thread-safe."""

    def __init__(self) -> None:
        self._known: dict[tuple[int, str], Floats] = {}
        self._mutex = threading.Lock()

    def unknown(self, space: Space, texts: Sequence[str]) -> list[str]:
        """Those that are not kept, each once."""
        return [each for each in dict.fromkeys(texts) if (space.id, each) not in self._known]

    def of(
        self, space: Space, texts: Sequence[str], encode: Callable[[Sequence[str]], Floats], *, but: Container[str]
    ) -> list[Floats]:
        """Their vectors; those that ``encode`` has to make are kept, unless ``but`` has the text afterwards."""
        known = {text: found for text in texts if (found := self._known.get((space.id, text))) is not None}
        missing = [text for text in dict.fromkeys(texts) if text not in known]
        if missing:
            known |= dict(zip(missing, encode(missing), strict=True))
            with self._mutex:
                self._known |= {(space.id, text): known[text] for text in missing[-_MOST_TEXTS:] if text not in but}
                for oldest in list(self._known)[: max(0, len(self._known) - _MOST_TEXTS)]:
                    del self._known[oldest]
        return [known[text] for text in texts]


def _caught(vector: Callable[[], Floats]) -> ExampleResult:
    try:
        return EmbeddedExample(vector=vector())
    except EnrichError as error:
        return error


def _label_vector(connection: Connection, space: Space, wanted: TagFilter) -> Floats:
    mean: Floats = np.mean(vectors_of_label(connection, space, wanted), axis=0)
    return _unit(mean)


def _of(examples: Sequence[Example], kind: type[_Kind]) -> Iterator[tuple[int, _Kind]]:
    for number, each in enumerate(examples):
        if isinstance(each, kind):
            yield number, each


def _position(number: int, examples: Sequence[Example]) -> str:
    return "the example" if len(examples) == 1 else f"example {number + 1}"


def _active(spaces: Sequence[Space]) -> Space:
    active = next((each for each in spaces if each.state == "active"), None)
    if active is None:
        raise NothingEmbeddedError("no image was embedded yet, so there is no space; start a worker, which creates it")
    return active


def _checked(space: Space, given: Given, where: str) -> Floats:
    """``[d]`` of unit length."""
    if given.space is not None and given.space != space.id:
        raise OtherSpaceError(
            f"{where}: the vector is of space {given.space}, and it is compared in space {space.id} ({space.model}); "
            f"embed what it was made of again, in space {space.id}"
        )
    if len(given.vector) != space.dimension:
        raise ChoiceError(
            f"{where}: the vector has {len(given.vector)} numbers, and those of space {space.id} ({space.model}) have "
            f"{space.dimension}; a vector of another model cannot be compared"
        )
    with np.errstate(over="ignore"):
        vector = np.asarray(given.vector, dtype=np.float64).astype(np.float32)
    if not np.isfinite(vector).all():
        raise ChoiceError(f"{where}: the vector has a number that is not finite in float32; send finite numbers")
    unit = _unit(vector)
    if not np.isfinite(unit).all():
        raise ChoiceError(f"{where}: the vector is zero, so it has no direction; send another one")
    return unit


def _unit(vector: Floats) -> Floats:
    """Scale ``[d]`` to unit length: what is stored is rounded to half precision."""
    row: Floats = unit_rows(vector[np.newaxis])[0]
    return row


def _missing(connection: Connection, space: Space, ref: ObjectRef) -> NotFoundError:
    """Why an image has no vector in the space."""
    if catalog.read.image(connection, ref) is None:
        return not_found(connection, ref)
    return NothingEmbeddedError(f"{ref} has no vector of {space.model} in space {space.id}, or not yet")


def _named(error: ImageRejectedError, name: str) -> ImageRejectedError:
    return ImageRejectedError(error.reason, f"{name}: {error}")


__all__ = [
    "EmbeddedExample",
    "EmbeddedExamples",
    "EncodedPicture",
    "Example",
    "ExampleResult",
    "ExampleVectors",
    "Given",
    "Modality",
    "OfLabel",
    "OtherSpaceError",
    "PictureResult",
    "Stored",
    "Uploaded",
    "Words",
]
