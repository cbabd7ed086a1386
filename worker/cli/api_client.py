"""Asks the API of the `enrich up` that runs in this directory, which has the model loaded already."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, TypeVar

from worker.cli import context

if TYPE_CHECKING:
    from pydantic import BaseModel

    from worker.settings import Settings

_Answer = TypeVar("_Answer", bound="BaseModel")


def answered(settings: Settings, path: str, request: Mapping[str, Any], of: type[_Answer]) -> _Answer | None:
    """The API's answer to a POST.

    None if there is no such API, it refuses, or it is of a release with another response format. The caller then does
    the work in this process, which reports errors itself.
    """
    import urllib3

    from worker.errors import ServerError

    try:
        running = context.running_system(settings)
    except ServerError:
        return None
    if running.database_url != settings.database_url:
        return None
    try:
        answer = urllib3.request(
            "POST",
            f"{running.api_url}{path}",
            json=request,
            headers={"Authorization": f"Bearer {running.api_token}"},
            timeout=60,
            retries=False,
        )
    except urllib3.exceptions.HTTPError:
        return None
    if answer.status != HTTPStatus.OK:
        return None
    try:
        return of.model_validate_json(answer.data)
    except ValueError:
        return None
