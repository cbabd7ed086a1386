"""Events that call themselves AWS's and do not escape: a real API, a real store, a real worker."""

from __future__ import annotations

import json

import pytest
import urllib3
from sqlalchemy import text

from tests.integration.processes.site import Site
from tests.pictures import picture
from tests.unit.events.event_fixtures import in_lambda, s3_record
from worker.db import transaction
from worker.local.ports import free_port_base
from worker.types import ObjectRef

TOKEN = "a-token-of-16-characters"
KEYS = ["raw+plus.jpg", "with space.jpg", "both + and space.jpg"]


@pytest.fixture
def url(site: Site) -> str:
    """Of a running API, and a worker beside it."""
    port = free_port_base()
    url = f"http://127.0.0.1:{port}"
    site.start(("-m", "worker", "api"), wait=False, ENRICH_API_PORT=str(port), ENRICH_API_TOKEN=TOKEN)
    site.start()
    site.until(lambda: answers(url), seconds=60)
    return url


def answers(url: str) -> bool:
    try:
        return urllib3.request("GET", f"{url}/readyz", retries=False, timeout=5).status == 200
    except urllib3.exceptions.HTTPError:
        return False


def post(url: str, event: object) -> object:
    headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
    answer = urllib3.request("POST", f"{url}/v1/events/s3", body=json.dumps(event), headers=headers, retries=False)
    assert 200 == answer.status, answer.data
    return answer.json()


def rows(site: Site) -> list[tuple[str, str]]:
    with transaction(site.engine) as connection:
        return [tuple(row) for row in connection.execute(text("SELECT key, outcome FROM inbox ORDER BY key"))]


def test_no_upload_is_lost_whether_a_plus_is_a_plus_or_a_space(site: Site, url: str) -> None:
    """Both readings are looked up; of the one that is not there nothing remains. A bad record costs itself."""
    for key in KEYS:
        site.store.put(ObjectRef(bucket=site.bucket, key=key), picture(), "image/jpeg")
    records = [
        s3_record(raw, bucket=site.bucket) for raw in ("raw+plus.jpg", "with+space.jpg", "both+%2B+and+space.jpg")
    ]
    answer = post(url, in_lambda({"Records": records[:1]}, {"Records": [{}]}, {"Records": records[1:]}))
    reason = "$.Records[1].body → $.Records[0]: expected a member 's3', which is missing"
    assert {"hinted": 3, "ignored": {}, "test": False, "refused": 1, "reasons": [reason]} == answer
    site.until_enriched(3)
    site.until(lambda: site.totals().pending == 0)
    assert [(key, "enriched") for key in sorted(KEYS)] == rows(site)
    totals = site.totals()
    assert (3, 0, 0) == (totals.enriched, totals.gone, totals.quarantined)
