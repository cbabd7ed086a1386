"""The metrics module: one list of names, documented, exported from the start, safe among threads."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
import threading
from typing import get_args

import pytest
import urllib3

from tests.unit.deploy import compose
from worker import metrics
from worker.errors import ConfigurationError
from worker.types import Lane, Outcome, Reason

NAMES = set(get_args(metrics.MetricName))


def exported() -> dict[str, str]:
    """Names and types of what the page shows, without what prometheus_client says about Python and the process."""
    found = re.findall(r"^# TYPE (enrich_\w+) (\w+)$", metrics.exposition()[0].decode(), flags=re.MULTILINE)
    return dict(found)


def sample(name: str, **labels: str) -> float:
    value = metrics.REGISTRY.get_sample_value(name, labels)
    assert value is not None, f"{name} {labels} is not exported"
    return value


def test_the_list_of_names_is_what_is_exported():
    """No metric is missing from MetricName, and no name of it from the page."""
    assert {
        name if kind != "counter" else name.removesuffix("_total") + "_total" for name, kind in exported().items()
    } == NAMES


def test_names_follow_prometheus_conventions():
    """Counters end in _total; times are in seconds; nothing else ends that way."""
    kinds = exported()
    assert {name for name, kind in kinds.items() if kind == "counter"} == {n for n in kinds if n.endswith("_total")}
    assert {n for n in kinds if n.endswith("_seconds") and not n.endswith("_age_seconds")} == {
        n for n, kind in kinds.items() if kind == "histogram"
    } - {"enrich_batch_size"}


def test_every_metric_is_documented_once():
    """The table in docs/reference/metrics.md has the names of the list, in its order, with their types and labels."""
    text = (compose.ROOT / "docs/reference/metrics.md").read_text()
    rows = re.findall(r"^\| `(enrich_\w+)` \| (\w+) \| ([^|]*) \|", text, flags=re.MULTILINE)
    labels = {
        each.describe()[0].name: ", ".join(f"`{label}`" for label in each._labelnames) or "–"
        for each in vars(metrics).values()
        if hasattr(each, "_labelnames")
    }
    documented = {name: (kind, label.strip()) for name, kind, label in rows}
    assert [name for name, _, _ in rows] == list(get_args(metrics.MetricName))
    assert documented == {name: (kind, labels[name.removesuffix("_total")]) for name, kind in exported().items()}


def test_known_labels_are_there_from_the_start():
    """A fresh process exports every outcome, reason, result and lane as zero: the first increment is a visible step."""
    script = "from worker import metrics; import sys; sys.stdout.buffer.write(metrics.exposition()[0])"
    page = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True).stdout.decode()
    for outcome in Outcome:
        assert f'enrich_outcomes_total{{outcome="{outcome}"}} 0.0' in page
    for reason in Reason:
        assert f'enrich_quarantined_total{{reason="{reason}"}} 0.0' in page
    for result in ("sent", "coalesced", "failed"):
        assert f'enrich_wake_ups_total{{result="{result}"}} 0.0' in page
    for lane in ("live", "retry", "backfill"):
        assert f'enrich_pending{{lane="{lane}"}} 0.0' in page
    assert "_created" not in page


def test_importing_it_imports_nothing_heavy():
    """The API counts too, and starts without torch; so metrics may not bring it."""
    script = (
        "from worker import metrics; import sys; print([m for m in ('torch', 'boto3', 'celery') if m in sys.modules])"
    )
    assert b"[]\n" == subprocess.run([sys.executable, "-c", script], capture_output=True, check=True).stdout


def test_pending_lanes_that_are_not_named_are_empty():
    """What was pending a moment ago does not linger."""
    metrics.set_pending({Lane.LIVE: 3, Lane.BACKFILL: 5})
    metrics.set_pending({Lane.RETRY: 1})
    assert [0, 1, 0] == [sample("enrich_pending", lane=lane.name.lower()) for lane in Lane]


def test_threads_lose_no_count():
    """Eight threads adding at once add up."""
    before = sample("enrich_fetch_bytes_total")

    def add() -> None:
        for _ in range(2_000):
            metrics.FETCH_BYTES.inc(2)

    threads = [threading.Thread(target=add) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sample("enrich_fetch_bytes_total") - before == 8 * 2_000 * 2


def test_the_page_says_what_it_is():
    """The content type is Prometheus' text format, and every metric has a help line."""
    body, content_type = metrics.exposition()
    assert content_type.startswith("text/plain; version=")
    assert len(re.findall(r"^# HELP enrich_", body.decode(), flags=re.MULTILINE)) == len(NAMES)


def test_a_worker_serves_its_own_page():
    """On a free port, until it is closed; then the port is free again."""
    server = metrics.serve(0)
    url = f"http://127.0.0.1:{server.port}/metrics"
    assert b"enrich_outcomes_total" in urllib3.request("GET", url, retries=False).data
    server.close()
    with pytest.raises(urllib3.exceptions.HTTPError):
        urllib3.request("GET", url, retries=False, timeout=2)


def test_a_port_in_use_is_named():
    """The error says which address, and what to do."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ConfigurationError, match=rf"127\.0\.0\.1:{port}.*choose another"):
            metrics.serve(port)
