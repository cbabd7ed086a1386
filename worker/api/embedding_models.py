"""Requests for vectors, and vectors. Both follow the embeddings API of OpenAI, so that its clients work."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, Field

from worker.api.example_models import Example
from worker.api.models import Asked, Name
from worker.pipeline.reading.embed import MOST_EXAMPLES


def _listed(given: object) -> object:
    """One input or several, texts as words: a list of examples."""
    several = given if isinstance(given, list) else [given]
    return [_example(each) for each in several]


def _example(given: object) -> object:
    if isinstance(given, int | list) and not isinstance(given, bool):
        raise ValueError(  # noqa: TRY004  # pydantic reports it
            "token numbers are those of another model's tokenizer; send the text itself (LangChain: "
            "check_embedding_ctx_length=False)"
        )
    return {"text": given} if isinstance(given, str) else given


class PostEmbeddings(Asked):
    """What to embed."""

    input: Annotated[
        list[Example], BeforeValidator(_listed, json_schema_input_type=str | Example | list[str | Example])
    ] = Field(
        min_length=1,
        max_length=MOST_EXAMPLES,
        description=f"A text, an example, or a list of at most {MOST_EXAMPLES}, of which 32 may be uploaded images.",
    )
    model: Name | None = Field(
        None, description="The model whose vectors are meant, or the number of its space. If omitted, the active one."
    )
    space: int | None = Field(None, ge=1, description="The number of the space. If omitted, the active one.")
    encoding_format: Literal["float", "base64"] = Field(
        "float", description="`base64`: little-endian float32, a third of the size."
    )
    dimensions: int | None = Field(
        None, ge=1, description="Refused unless it is the length of the model's vectors, which are not shortened."
    )


class Embedding(BaseModel):
    """One vector of unit length."""

    object: Literal["embedding"] = "embedding"
    index: int = Field(description="Place in `input`.")
    embedding: list[float] | str = Field(description="Numbers; with `base64`, little-endian float32 in base64.")


class EmbeddingUsage(BaseModel):
    """Tokens of all texts, as the model counts them; images have none."""

    prompt_tokens: int
    total_tokens: int


class EmbeddingList(BaseModel):
    """Vectors in the order of the inputs."""

    object: Literal["list"] = "list"
    data: list[Embedding]
    model: str = Field(description="The model that made them.")
    space: int = Field(description="The number of their space. Vectors of two spaces must not be compared.")
    usage: EmbeddingUsage


def embedding_list(space: int, model: str, vectors: Any, tokens: int, *, as_base64: bool) -> EmbeddingList:
    """The answer for ``[n, d]`` vectors."""
    import base64

    rows: list[list[float] | str] = (
        [base64.b64encode(row.astype("<f4").tobytes()).decode() for row in vectors]
        if as_base64
        else [[float(f"{number:.9g}") for number in row] for row in vectors]  # float32 has no more digits
    )
    return EmbeddingList(
        data=[Embedding(index=index, embedding=row) for index, row in enumerate(rows)],
        model=model,
        space=space,
        usage=EmbeddingUsage(prompt_tokens=tokens, total_tokens=tokens),
    )
