"""What the API's process is like before its first request, and what its page needs."""

from __future__ import annotations

import re
import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import pytest
from fastapi.testclient import TestClient

from worker.api import Tokens, create_app

HEAVY = ("torch", "transformers", "celery", "boto3")


@pytest.fixture
def client():
    services: Any = SimpleNamespace(tokens=Tokens(admin="right"), max_event_bytes=1, images_per_second=1)
    with TestClient(create_app(services)) as client:
        yield client


@pytest.mark.slow
@pytest.mark.parametrize("code", ["import worker.api", "from worker.api import openapi; openapi.rendered()"])
def test_the_api_starts_without_the_model(code):
    """Importing it, and making its document, imports neither torch nor anything else that takes seconds."""
    probe = f"{code}\nimport sys; print(*sorted(set({HEAVY!r}) & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True, timeout=60)
    assert [] == done.stdout.split()


def test_the_page_needs_nothing_from_elsewhere(client):
    """Every address on /docs is relative, and is served."""
    page = client.get("/docs")
    addresses = re.findall(r"""(?:src|href)="([^"]+)"|url: '([^']+)'""", page.text)
    targets = [one or other for one, other in addresses]
    assert [
        "favicon.png",
        "openapi.json",
        "swagger-ui-bundle.js",
        "swagger-ui.css",
    ] == sorted(target.rpartition("/")[2] for target in targets)
    assert [] == [target for target in targets if target.startswith(("/", "http", "//"))]
    assert [client.get(f"/{target}").status_code for target in targets] == [200] * 4
    assert "://" not in page.text


def test_browsers_are_told_so(client):
    """A policy forbids the page's scripts to load from, or talk to, anywhere else."""
    policy = client.get("/docs").headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "http" not in policy


def test_the_page_reads_the_document_it_shows(client):
    """The bundled Swagger UI is one that knows OpenAPI 3.1: version 4 shows an error instead."""
    script = client.get("/docs/assets/swagger-ui-bundle.js").text
    assert "openapi_3_1" in script or "OpenAPI31" in script or "oas31" in script
    assert client.get("/openapi.json").json()["openapi"].startswith("3.1.")


@pytest.mark.parametrize(
    "path", ["/docs/assets/../app.py", "/docs/assets/%2e%2e/%2e%2e/core.py", "/docs/assets/nothing.js"]
)
def test_assets_are_the_only_files_served(client, path):
    """Nothing beside them is reachable, and what is missing is a Problem like everywhere."""
    answer = client.get(path)
    assert (404, {"title", "status", "detail"}) == (answer.status_code, set(answer.json()))
