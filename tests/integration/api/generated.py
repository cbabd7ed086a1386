"""A client that openapi-python-client made of the OpenAPI document."""

from __future__ import annotations

import importlib
import json
import re
from types import ModuleType
from typing import Any

from tests.integration.api.live import TOKEN
from worker.api.app import openapi_document

DOCUMENT = openapi_document()
OPERATIONS = {each["operationId"]: each for path in DOCUMENT["paths"].values() for each in path.values()}
PACKAGE = "client_of_the_enricher"


class Generated:
    """The generated package, and the session of one API."""

    def __init__(self, port: int, token: str = TOKEN) -> None:
        self.models: ModuleType = importlib.import_module(f"{PACKAGE}.models")
        client = importlib.import_module(f"{PACKAGE}.client").AuthenticatedClient
        self.session = client(
            base_url=f"http://127.0.0.1:{port}",
            token=token,
            raise_on_unexpected_status=True,
            httpx_args={"trust_env": False},
        )

    def call(self, operation: str, *arguments: Any, **options: Any) -> Any:
        """The answer as the client parsed it. Whatever the API sent is in it, and nothing else."""
        [tag] = OPERATIONS[operation]["tags"]
        module = importlib.import_module(f"{PACKAGE}.api.{tag}.{operation}")
        answer = module.sync_detailed(*arguments, client=self.session, **options)
        if answer.headers.get("content-type") in ("image/webp", "application/octet-stream"):
            return answer.parsed.payload.read()
        if answer.content:
            assert same_times(json.loads(answer.content)) == answer.parsed.to_dict()
        else:
            assert (204, None) == (answer.status_code, answer.parsed)
        return answer.parsed

    def body(self, name: str, value: Any) -> Any:
        return getattr(self.models, name).from_dict(value)


def same_times(value: Any) -> Any:
    """Python writes UTC as an offset."""
    if isinstance(value, dict):
        return {name: same_times(member) for name, member in value.items()}
    if isinstance(value, list):
        return [same_times(member) for member in value]
    is_time = isinstance(value, str) and re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]+Z", value)
    return value.replace("Z", "+00:00") if is_time else value


def examples_of(operation: str) -> list[Any]:
    media = OPERATIONS[operation]["requestBody"]["content"]["application/json"]
    return [media["example"]] if "example" in media else [each["value"] for each in media["examples"].values()]


def same(got: object, expected: object) -> None:
    assert expected == got
