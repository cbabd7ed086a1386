"""Routes that refuse unknown and repeated query parameters."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, ClassVar

from fastapi import HTTPException, Request, Response
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute

from worker.api.parameters import REPEATABLE
from worker.suggestions import shown, suggested

Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class StrictRoute(APIRoute):
    """A route whose query may have known parameters only, each once. Silently ignoring a misspelt filter would answer
    a different question. Every route of the API is one.
    """

    #: False: the query string is ignored.
    strict: ClassVar[bool] = True

    def get_route_handler(self) -> Handler:
        """FastAPI's hook around reading the request."""
        handle = self.handler()

        async def strict(request: Request) -> Response:
            self.check_query(request)
            return await handle(request)

        return strict

    def handler(self) -> Handler:
        """The handler of a request that passed the checks."""
        return super().get_route_handler()

    def check_query(self, request: Request) -> None:
        """Check the names of the parameters; FastAPI checks their values.

        Raises:
            HTTPException: 422 for one that this route does not have, or that is given twice, which is ambiguous.
        """
        if not self.strict:
            return
        known = sorted(_query_parameters(self.dependant))
        for name, times in Counter(name for name, _ in request.query_params.multi_items()).items():
            if name not in known:
                takes = f"this address takes {', '.join(known) or 'no parameters'}"
                raise HTTPException(422, f"unknown parameter {shown(name)}; {suggested(name, known, otherwise=takes)}")
            if times > 1 and name not in REPEATABLE:
                raise HTTPException(422, f"{name}: given {times} times; give it once")


def _query_parameters(dependant: Dependant) -> Iterator[str]:
    for field in dependant.query_params:
        yield field.alias
    for each in dependant.dependencies:
        yield from _query_parameters(each)
