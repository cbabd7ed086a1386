"""The API against its own document: schemathesis makes requests from it, good and bad, and compares the answers."""

from __future__ import annotations

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.specs.openapi.checks import positive_data_acceptance

from tests.integration.api.live import TOKEN
from worker.api.app import openapi_document

SCHEMA = schemathesis.openapi.from_dict(openapi_document())


@pytest.mark.parametrize(
    "moment", ["2026-01-31T12:00:00%2B15:59", "2026-01-31T12:00:00%2B16:00", "2026-01-31T12:00:00-23:59"]
)
@pytest.mark.parametrize("parameter", ["quarantine?since", "quarantine/counts?older_than", "images?updated_since"])
def test_a_time_may_have_any_offset(shared_api, parameter, moment):
    """PostgreSQL takes less than sixteen hours, and an API that hands on more answers 500."""
    assert 200 == shared_api.get(f"/v1/{parameter}={moment}").status


@pytest.mark.parametrize(
    "query", ["status?bucket=a&bucket=b", "images?bucket=a&limit=1&bucket=a", "changes?limit=1&limit=2"]
)
def test_a_parameter_is_given_once(shared_api, query):
    """Rather than that the last one is taken without a word."""
    answer = shared_api.get(f"/v1/{query}")
    assert 422 == answer.status
    assert "given 2 times; give it once" in answer.detail


@pytest.mark.parametrize(
    "value", [{"min_similarity": False}, {"min_similarity": "0.5"}, {"limit": True}, {"limit": "3"}]
)
def test_a_number_is_a_number(shared_api, value):
    """Neither a truth nor a text, as the document says."""
    assert 422 == shared_api.post("/v1/search", {"text": "red", **value}).status


@SCHEMA.parametrize()
@settings(
    max_examples=8,
    derandomize=True,
    database=None,
    deadline=None,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=list(HealthCheck),
)
def test_every_operation_answers_as_the_document_says(case, shared_api):
    """Whatever is sent: no 500, no status, media type or shape that is not documented, and no bad value taken."""
    case.call_and_validate(
        base_url=f"http://127.0.0.1:{shared_api.port}",
        headers={"Authorization": f"Bearer {TOKEN}"},
        timeout=30,
        excluded_checks=[positive_data_acceptance],
    )
