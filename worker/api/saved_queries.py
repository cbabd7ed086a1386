"""Requests to search as they are saved, and requests that name a saved one; for the API and the command line."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pydantic import ValidationError

from worker.api import problems
from worker.api.example_models import Example
from worker.api.search_models import SearchRequest
from worker.catalog.saved_queries import SavedQuery
from worker.catalog.spaces import Space
from worker.errors import ChoiceError
from worker.pipeline.reading.examples import ExampleVectors
from worker.pipeline.reading.saved_queries import SavedQueries
from worker.pipeline.reading.search_values import SearchQuery


@dataclass(frozen=True, kw_only=True, slots=True)
class CompletedRequest:
    """A request that names no saved query any more."""

    request: SearchRequest
    space: int | None = None  # of the vectors of the saved query that it named; None: it has none

    def to_value(self) -> SearchQuery:
        """What the use case takes; it is refused if another space is active by then."""
        return replace(self.request.to_value(), space=self.space)


def save(queries: SavedQueries, examples: ExampleVectors, name: str, asked: CompletedRequest) -> SavedQuery:
    """Save a request; a file in it is replaced by its vector. Encodes files, so call it in a thread.

    All vectors are of one space: that of the saved query that the request named, or the one that is active at first.

    Raises:
        ChoiceError: the request is a page or names a saved query, contradicts itself, or a file is not base64.
        NotFoundError: the space of its vectors is gone.
        ImageRejectedError: a file cannot be decoded.
    """
    request = asked.request
    if request.after is not None:
        raise ChoiceError("a saved query is no page of a search: leave out `after`")
    if request.saved is not None:
        raise ChoiceError("a saved query cannot name another one: leave out `saved`")
    request.to_value()  # or what it contradicts
    members = request.model_dump(mode="json", exclude_unset=True, exclude_none=True)
    members["collapse"] = request.to_value().collapse if request.collapse is not None else True
    space: Space | None = None
    for side in ("like", "unlike"):
        given: Sequence[Example] = getattr(request, side)
        for number, each in enumerate(given):
            if each.is_upload or each.vector is not None:
                space = space or examples.space(asked.space)
                members[side][number] = _as_vector(examples, space, each, f"{side}[{number}]")
    return queries.save(name, members, space=None if space is None else space.id)


def complete(queries: SavedQueries, request: SearchRequest) -> CompletedRequest:
    """The request itself; or the saved one that it names, with what the request gives in place of that.

    Raises:
        NotFoundError: there is no saved query of this name.
        OutdatedQueryError: its vectors are of a space that is not active.
        ChoiceError: both together are no request.
    """
    if request.saved is None:
        return CompletedRequest(request=request)
    saved = queries.usable(request.saved)
    own = request.model_dump(mode="json", exclude_unset=True, exclude={"saved"})
    return CompletedRequest(request=checked({**saved.query, **own}, of="the saved query"), space=saved.space)


def checked(members: Mapping[str, Any], *, of: str) -> SearchRequest:
    """A request from its members.

    Raises:
        ChoiceError: they are no request; ``of`` says whose they are.
    """
    try:
        return SearchRequest.model_validate(dict(members))
    except ValidationError as error:
        raise ChoiceError(problems.complaints(error.errors(), of=of)) from error


def _as_vector(examples: ExampleVectors, space: Space, example: Example, where: str) -> dict[str, Any]:
    value = example.value(where)
    [vector] = examples.embed([value], space).vectors
    return {"vector": base64.b64encode(vector.astype("<f4").tobytes()).decode(), "modality": value.modality}
