"""A real `enrich api` keeps codes in memory for searches with filters, in a catalog that it takes for a large one."""

from __future__ import annotations

import json

import numpy as np
import pytest
import urllib3
from sqlalchemy import text

from tests.factories import enriched_image
from tests.integration.processes.site import Site
from tests.models import tiny_clip
from worker import bootstrap, catalog
from worker.db import transaction
from worker.local.ports import free_port_base
from worker.pipeline.spaces.model_loading import space_spec

TOKEN = "a-token-of-16-characters"
IMAGES = 40


@pytest.fixture
def model(tmp_path) -> str:
    return str(tiny_clip(tmp_path / "clip"))


@pytest.fixture
def gallery(site: Site, model: str) -> None:
    """Forty images, half of them by night, of which statistics say that they are thirty thousand."""
    rng = np.random.default_rng(3)
    settings = site.settings.model_copy(update={"model": model, "device": "cpu"})
    encoder = bootstrap.encoder(settings, text_only=True)
    vectors = rng.normal(size=(IMAGES, encoder.space.dimension)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    images = [
        enriched_image(f"k{n}", label="night" if n % 2 else "day", vector=vector) for n, vector in enumerate(vectors)
    ]
    with transaction(site.engine) as connection:
        space = catalog.spaces.ensure(connection, space_spec(encoder))
        catalog.write.save_images(connection, space_id=space.id, images=images)
        statistics = "UPDATE pg_class SET reltuples = 30000 WHERE oid = CAST(:name AS regclass)"
        connection.execute(text(statistics), {"name": f"embeddings_{space.id}"})


def search(url: str) -> list[str] | None:
    """None while nobody answers."""
    body = json.dumps({"text": "day", "limit": 40, "tags": [{"taxonomy": "time-of-day", "label": "night"}]})
    headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
    try:
        answer = urllib3.request("POST", f"{url}/v1/search", body=body, headers=headers, retries=False, timeout=30)
    except urllib3.exceptions.HTTPError:
        return None
    assert 200 == answer.status, answer.json()["detail"]
    return [hit["key"] for hit in answer.json()["hits"]]


def test_an_api_reads_codes_at_the_first_search_with_a_filter(site: Site, gallery: None, model: str) -> None:
    """And answers by them what the database answered before."""
    port = free_port_base()
    url = f"http://127.0.0.1:{port}"
    settings = {"ENRICH_API_PORT": str(port), "ENRICH_API_TOKEN": TOKEN, "ENRICH_MODEL": model, "ENRICH_DEVICE": "cpu"}
    api = site.start(("-m", "worker", "api"), wait=False, **settings)
    site.until(lambda: search(url) is not None, seconds=60)
    site.until(lambda: f"codes of {IMAGES} images were read" in site.log(api), seconds=30)
    found = search(url)
    assert found is not None
    assert sorted(found) == sorted(f"k{n}" for n in range(1, IMAGES, 2))
