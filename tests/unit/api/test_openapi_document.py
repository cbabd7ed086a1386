"""``schemas/openapi.json``: what clients are generated from."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from fastapi.openapi.models import OpenAPI

from worker.api import openapi
from worker.api.parameters import REPEATABLE
from worker.resources import schemas_dir

REASONS = Path(__file__).parents[3] / "docs" / "reference" / "images.md"
QUARANTINE_FILTERS = ["reason", "bucket", "prefix", "since", "older_than", "given_up"]
DOCUMENT: dict[str, Any] = json.loads(openapi.rendered())
OPERATIONS = {
    f"{method.upper()} {path}": operation
    for path, methods in DOCUMENT["paths"].items()
    for method, operation in methods.items()
}


def nodes(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
    for child in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from nodes(child)


def test_the_file_is_current():
    """The file in schemas/ is what the code serves."""
    on_disk = (schemas_dir() / "openapi.json").read_text(encoding="utf-8")
    assert on_disk == openapi.rendered(), f"the API changed: run `{openapi.COMMAND}`, look at the diff, and commit it"


def test_the_command_writes_the_file(tmp_path, monkeypatch):
    """The command that the test above names does what it should."""
    monkeypatch.setattr(openapi, "schemas_dir", lambda: tmp_path)
    openapi.main()
    assert (tmp_path / "openapi.json").read_text(encoding="utf-8") == openapi.rendered()


def test_it_is_openapi():
    """It says that it is OpenAPI 3.1 and has the structure of it."""
    assert DOCUMENT["openapi"].startswith("3.1.")
    OpenAPI.model_validate(DOCUMENT)


def test_its_schemas_are_schemas():
    """Each is valid JSON Schema 2020-12, the dialect of OpenAPI 3.1."""
    for schema in DOCUMENT["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(schema)


def test_its_references_lead_somewhere():
    """Nothing refers to what is not there, and nothing is there that nobody refers to."""
    references = {node["$ref"] for node in nodes(DOCUMENT) if "$ref" in node}
    assert references == {f"#/components/schemas/{name}" for name in DOCUMENT["components"]["schemas"]}


def test_names_are_unique():
    """Generated clients name their functions by these."""
    names = [operation["operationId"] for operation in OPERATIONS.values()]
    assert sorted(set(names)) == sorted(names)


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_explains_itself(name):
    """Summary, description and tag are there, and every parameter and answer says what it is."""
    operation = OPERATIONS[name]
    assert operation["summary"][0].isupper()
    assert not operation["summary"].endswith(".")
    assert operation["description"].endswith(".")
    assert operation["tags"][0] in {tag["name"] for tag in DOCUMENT["tags"]}
    assert all(parameter["description"] for parameter in operation.get("parameters", ()))
    assert all(answer["description"] for answer in operation["responses"].values())


@pytest.mark.parametrize("name", [name for name in OPERATIONS if " /v1/" in name])
def test_an_operation_says_how_it_fails(name):
    """Under /v1 each wants the token, can be refused and can be asked to come back, always with a Problem."""
    operation = OPERATIONS[name]
    assert {"AdminToken": []} in operation["security"]
    errors = {status: answer for status, answer in operation["responses"].items() if status >= "400"}
    assert {"400", "401", "403", "503"} <= set(errors)
    for answer in errors.values():
        assert {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}} == answer["content"]


@pytest.mark.parametrize("name", [name for name in OPERATIONS if OPERATIONS[name].get("requestBody")])
def test_an_operation_that_takes_a_body_shows_one(name):
    """There is an example to start from."""
    media = OPERATIONS[name]["requestBody"]["content"]["application/json"]
    schema = media["schema"]
    if "$ref" in schema:
        schema = DOCUMENT["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    assert "example" in media or media["examples"]
    assert not any("examples" in member for member in schema.get("properties", {}).values()), "together they are none"


@pytest.mark.parametrize(("operation", "schema"), [("s3", "s3"), ("seaweedfs", "seaweedfs")])
def test_the_notifications_it_shows_are_notifications(operation, schema):
    """The examples of event bodies are valid by the schemas they name."""
    body = OPERATIONS[f"POST /v1/events/{operation}"]["requestBody"]
    path = schemas_dir() / "events" / f"{schema}.schema.json"
    assert f"schemas/events/{path.name}" in body["description"]
    jsonschema.Draft202012Validator(json.loads(path.read_text())).validate(
        body["content"]["application/json"]["example"]
    )


def test_what_routes_are_annotated_with_is_at_module_level():
    """With postponed annotations FastAPI finds a name in the module only: a local one becomes a query parameter."""
    for path in (Path(openapi.__file__).parent / "routes").glob("*.py"):
        tree = ast.parse(path.read_text())
        nested = [
            inner.name
            for outer in ast.walk(tree)
            if isinstance(outer, ast.FunctionDef | ast.AsyncFunctionDef)
            for inner in ast.walk(outer)
            if inner is not outer and isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef)
        ]
        assert [] == nested, f"{path.name}: routes are functions of the module"


def test_parameters_are_those_that_were_meant():
    """Nothing of a route's own parts shows up as a parameter."""
    parameters = {
        name: [each["name"] for each in operation["parameters"]]
        for name, operation in OPERATIONS.items()
        if operation.get("parameters")
    }
    assert parameters == {
        "GET /v1/images": [
            "limit",
            "after",
            "order",
            "bucket",
            "prefix",
            "tag",
            "suggested",
            "source",
            "updated_since",
            "filter",
        ],
        "GET /v1/images/{bucket}/{key}": ["bucket", "key"],
        "GET /v1/label-counts": ["bucket", "prefix", "taxonomy", "source", "limit"],
        "GET /v1/explanations/{bucket}/{key}": ["bucket", "key", "taxonomy"],
        "GET /v1/nearest-labels/{bucket}/{key}": ["bucket", "key", "taxonomy", "limit"],
        "GET /v1/previews/{size}/{bucket}/{key}": ["size", "bucket", "key", "sha256"],
        "GET /v1/model-inputs/{bucket}/{key}": ["bucket", "key", "sha256"],
        "GET /v1/originals/{bucket}/{key}": ["bucket", "key", "sha256", "redirect"],
        "GET /v1/search": ["query"],
        "GET /v1/queries/{name}": ["name"],
        "PUT /v1/queries/{name}": ["name"],
        "DELETE /v1/queries/{name}": ["name"],
        "GET /v1/changes": ["after", "limit"],
        "GET /v1/decisions": ["limit", "after", "bucket", "prefix", "key", "taxonomy", "reviewer", "batch", "since"],
        "PUT /v1/decisions/{bucket}/{key}": ["bucket", "key"],
        "DELETE /v1/decisions": ["reviewer", "batch", "id", "reason"],
        "GET /v1/review-queues/{queue}/{taxonomy}": [
            "queue",
            "taxonomy",
            "label",
            "query",
            "other_space",
            "unsure",
            "seed",
            "limit",
        ],
        "GET /v1/review-plans": ["taxonomy", "only_open", "limit", "after"],
        "GET /v1/review-plans/{plan}": ["plan"],
        "GET /v1/review-plans/{plan}/items": ["plan"],
        "POST /v1/review-plans/{plan}/next": ["plan"],
        "POST /v1/review-plans/{plan}/release": ["plan"],
        "POST /v1/review-plans/{plan}/close": ["plan"],
        "GET /v1/certificates": ["taxonomy", "label", "state"],
        "GET /v1/heads": ["taxonomy", "limit", "before"],
        "DELETE /v1/buckets/{bucket}": ["bucket"],
        "GET /v1/quarantine": ["limit", "after", *QUARANTINE_FILTERS],
        "GET /v1/quarantine/counts": QUARANTINE_FILTERS,
        "GET /v1/quarantine/{bucket}/{key}": ["bucket", "key"],
        "GET /v1/maps/{map}/points": ["map", "count"],
        "GET /v1/maps/{map}/colours": ["map", "by", "count"],
        "POST /v1/maps/{map}/images": ["map"],
        "GET /v1/stats": ["taxonomy", "bucket", "since", "by_bucket"],
        "GET /v1/status": ["bucket"],
        "GET /v1/backlog": ["bucket"],
        "GET /v1/rejected-events": ["limit", "after"],
        "GET /v1/rejected-events/{number}": ["number"],
        "GET /v1/taxonomies/{name}": ["name"],
        "GET /v1/taxonomy-revisions": ["limit"],
    }


def test_what_may_be_repeated_is_a_list():
    """Exactly the parameters that the document calls arrays may be given several times."""
    parameters = [each for operation in OPERATIONS.values() for each in operation.get("parameters", ())]
    assert {each["name"] for each in parameters if each["schema"].get("type") == "array"} == REPEATABLE


def test_reasons_are_an_enumeration():
    """Clients are generated with the codes that docs/reference/images.md explains, for asking and for answers."""
    schemas = DOCUMENT["components"]["schemas"]
    documented = re.findall(r"^\| `([a-z-]+)` \| ", REASONS.read_text().partition("## Reasons")[2], re.MULTILINE)
    assert sorted(schemas["Reason"]["enum"]) == sorted(documented)
    for name in ("QuarantineEntry", "QuarantineDetails"):
        assert schemas[name]["properties"]["reason"]["enum"] == schemas["Reason"]["enum"]
