"""The use case: vectors of texts, images and labels, for other programs to compare."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from worker import catalog
from worker.catalog.spaces import Space
from worker.db import Engine, transaction
from worker.errors import ChoiceError
from worker.pipeline.reading.examples import Example, ExampleVectors, Uploaded, Words
from worker.suggestions import shown, suggested
from worker.types import Floats

#: Examples, and images among them that have to be encoded, of one request.
MOST_EXAMPLES, MOST_UPLOADS = 256, 32


@dataclass(frozen=True, kw_only=True, slots=True)
class EmbeddingRequest:
    """What to embed, and in which space; that of the active model if neither says."""

    examples: tuple[Example, ...]
    model: str | None = None  # a model's name, or the number of a space
    space: int | None = None
    dimensions: int | None = None  # the caller's expectation


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Embeddings:
    """Vectors in one space, in the order of the examples."""

    space: Space
    vectors: Floats  # [n, d], of unit length
    tokens: int  # of all texts, as the model counts them


def embed(engine: Engine, examples: ExampleVectors, request: EmbeddingRequest) -> Embeddings:
    """The vectors of examples.

    Raises:
        ChoiceError: there is nothing to embed, or too much at once; the model is unknown or contradicts the space, or
            has vectors of another length; and what ``ExampleVectors.embed`` raises.
    """
    check_amount(request.examples)
    space = _space(engine, examples, request)
    if request.dimensions not in (None, space.dimension):
        raise ChoiceError(
            f"dimensions: the vectors of {space.model} have {space.dimension} numbers, and are not shortened; "
            f"leave it out, or ask for {space.dimension}"
        )
    found = examples.embed(request.examples, space)
    texts = [each.text for each in request.examples if isinstance(each, Words)]
    tokens = sum(examples.text_model(space).count_tokens(texts)) if texts else 0
    return Embeddings(space=space, vectors=found.vectors, tokens=tokens)


def check_amount(examples: Sequence[Example]) -> None:
    """Refuse nothing, and too much at once.

    Raises:
        ChoiceError: says how much is allowed.
    """
    uploads = sum(isinstance(each, Uploaded) for each in examples)
    if not examples:
        raise ChoiceError("there is nothing to embed; give at least one text, image, vector or label")
    if len(examples) > MOST_EXAMPLES or uploads > MOST_UPLOADS:
        raise ChoiceError(
            f"{len(examples)} inputs, of which {uploads} are uploaded images, are too many at once; send at most "
            f"{MOST_EXAMPLES}, and at most {MOST_UPLOADS} uploaded images"
        )


def _space(engine: Engine, examples: ExampleVectors, request: EmbeddingRequest) -> Space:
    if request.model is None:
        return examples.space(request.space)
    with transaction(engine) as connection:
        spaces = catalog.spaces.all_spaces(connection)
    examples.space(request.space)  # or what is wrong with it
    named = [each for each in spaces if request.model in (each.model, str(each.id))]
    if not named:
        known = dict.fromkeys(each.model for each in spaces)
        hint = suggested(request.model, known, otherwise=f"the models here are {', '.join(known)}")
        raise ChoiceError(f"model: unknown model {shown(request.model)}; {hint}")
    if request.space is not None:
        named = [each for each in named if each.id == request.space]
        if not named:
            raise ChoiceError(
                f"model: space {request.space} does not belong to {shown(request.model)}; leave out one of them"
            )
    return next((each for each in named if each.state == "active"), named[-1])
