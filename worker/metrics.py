"""Prometheus metrics of a process.

Every name is in ``MetricName``, once, with its meaning; ``docs/reference/metrics.md`` has the same list as a table,
and a test keeps the two equal. All objects are safe to use from any thread. The series are those of one process:
dashboards add processes up. Gauges of the whole ledger or catalog (``PENDING``, ``MISSING_VECTORS``, ``RECENT_…``,
``LABEL_DRIFT``) are set by every process that reads it, all to the same value: take their maximum, never their sum.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias
from wsgiref.simple_server import WSGIServer

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
    start_http_server,
)

from worker.errors import ConfigurationError
from worker.types import Lane, Outcome, Reason, RetryReason

MetricName: TypeAlias = Literal[
    # -- notifications, in the api and the listener --------------------------------------------------------------------
    # Counter, by source: objects in accepted notifications. A duplicate counts again: the ledger coalesces it.
    "enrich_hints_total",
    # Counter, by source and reason: objects in notifications that were ignored: "not-watched" ones, and the codes of
    # docs/reference/notifications.md.
    "enrich_ignored_total",
    # Counter, by source: notifications that cannot be parsed, or need a person; their bodies are kept.
    "enrich_rejected_events_total",
    # Histogram: seconds from a notification's arrival to the commit of its inbox rows.
    "enrich_intake_seconds",
    # Counter, by result: messages of SQS queues: "committed" (deleted), "refused" (kept by us, deleted), "left" to the
    # queue's dead letters, "returned" at a shutdown.
    "enrich_queue_messages_total",
    # Counter: failed receive attempts of a listener, because the queue could not be reached or refused us.
    "enrich_queue_errors_total",
    # Gauge: 1 in a process that serves the API.
    "enrich_api_up",
    # Counter, by reason: requests and connections that the API refused: "no-token", "wrong-token", a token of
    # another "scope"; where there is no token, the "host" or "origin" of another site. Connections: "slow" ones, which
    # were ended, "connections" beyond the limits, and attempts without a file descriptor left ("descriptors").
    # Requests with more uploaded "images" than may be encoded.
    "enrich_api_refusals_total",
    # -- wake-ups, in every process that sends them --------------------------------------------------------------------
    # Counter, by result: "sent" over the broker, "coalesced" into one sent a moment ago, "failed" to reach the broker;
    # "dropped": messages on the broker's queue that are not wake-ups.
    "enrich_wake_ups_total",
    # -- the ledger ----------------------------------------------------------------------------------------------------
    # Counter: claims that got at least one object.
    "enrich_claims_total",
    # Histogram: objects in a claim. Small while idle; at ENRICH_CLAIM_BATCH under load.
    "enrich_batch_size",
    # Counter, by outcome: objects whose claim ended, and how. Every claimed object ends here exactly once.
    "enrich_outcomes_total",
    # Counter, by reason: objects put into quarantine.
    "enrich_quarantined_total",
    # Counter, by reason: objects given back for a retry.
    "enrich_retries_total",
    # Gauge, by breaker: 1 while this process waits for "store" or "database", or puts nothing into "quarantine".
    "enrich_breaker_open",
    # Gauge, by lane: objects that wait for work, in the whole ledger.
    "enrich_pending",
    # Gauge: objects this process has claimed and not yet completed.
    "enrich_in_flight",
    # Gauge, by space: images whose vector is missing in this space although they have one in another, in the catalog.
    "enrich_owed_vectors",
    # -- certificates, in the scheduler --------------------------------------------------------------------------------
    # Gauge, by state: labels of taxonomies in force whose precision is "proven", "unproven", or whose certificate has
    # "expired", in the whole catalog.
    "enrich_certificates",
    # -- reconciliation, in the scheduler -----------------------------------------------------------------------------
    # Counter, by kind: objects that had changed without an event: "missing", "stale", "ghost"; and "unnameable" ones.
    "enrich_reconcile_differences_total",
    # Gauge, by bucket and prefix: seconds since the last finished round; since it is watched where none ever was.
    "enrich_reconcile_age_seconds",
    # -- what the model says about images of the last 24 hours, in the scheduler ---------------------------------------
    # Gauge, by taxonomy and bucket: images to which the taxonomy applies; an estimate where there are very many.
    "enrich_recent_images",
    # Gauge, by taxonomy, label and bucket: share of these images that have the label.
    "enrich_recent_label_share",
    # Gauge, by taxonomy and bucket: share of these images without a label.
    "enrich_recent_no_label_share",
    # Gauge, by taxonomy, label and quantile (0.1, 0.5, 0.9), of all buckets: of the label's probability.
    "enrich_recent_label_probability",
    # Gauge, by taxonomy and bucket: population stability index of the labels, against the 14 days before.
    "enrich_label_drift",
    # Gauge, by taxonomy and bucket: what that index exceeds once in a thousand times if nothing has changed.
    "enrich_label_drift_by_chance",
    # Gauge, by taxonomy and bucket: change of the share without a label; 0 where chance may explain it.
    "enrich_no_label_change",
    # -- the change feed, in the scheduler ----------------------------------------------------------------------------
    # Counter: changes deleted because they are older than ENRICH_FEED_RETENTION_DAYS.
    "enrich_feed_pruned_total",
    # -- one image's way through a worker ------------------------------------------------------------------------------
    # Histogram: seconds of one GET, to the last byte; 304 and 404 included.
    "enrich_fetch_seconds",
    # Counter: bytes of object bodies received.
    "enrich_fetch_bytes_total",
    # Histogram: seconds from an image's bytes to its pixels and metadata.
    "enrich_decode_seconds",
    # Histogram: seconds in which an image's previews are made, storing not included; part of the one above.
    "enrich_preview_seconds",
    # Counter, by result: previews of an image "kept"; or why there is none: "make-failed", "write-failed",
    # "read-failed". In workers, and in the API for what was first asked for.
    "enrich_previews_total",
    # Histogram: seconds a batch spent in the encoder, waiting for its micro-batch included.
    "enrich_encode_seconds",
    # Counter: images the encoder turned into vectors.
    "enrich_images_encoded_total",
    # Histogram: seconds of a batch's write transaction.
    "enrich_write_seconds",
    # Histogram: seconds from the upload, as the store dates it (else from the first hint), to the commit that makes the
    # image searchable.
    "enrich_event_to_searchable_seconds",
]

#: The only registry. It is not prometheus_client's global one, in which other libraries may register metrics.
REGISTRY = CollectorRegistry()

# Without this, each counter and histogram exports its creation time as another series.
disable_created_metrics()  # type: ignore[no-untyped-call]
ProcessCollector(registry=REGISTRY)
PlatformCollector(registry=REGISTRY)
GCCollector(registry=REGISTRY)

# Upper bounds in seconds. Stages of one image: a cached GET takes a millisecond, ENRICH_STORE_TIMEOUT ends the longest.
_STAGE = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
# An upload is searchable in under a second, or after an outage of a day.
_LATENCY = (0.1, 0.25, 0.5, 1, 2, 5, 10, 30, 60, 300, 900, 3_600, 14_400, 86_400)
# Powers of two up to the largest ENRICH_CLAIM_BATCH.
_BATCH = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1_000)


def _counter(name: MetricName, text: str, *labels: str) -> Counter:
    return Counter(name, text, labels, registry=REGISTRY)


def _gauge(name: MetricName, text: str, *labels: str) -> Gauge:
    return Gauge(name, text, labels, registry=REGISTRY)


def _histogram(name: MetricName, text: str, buckets: tuple[float, ...]) -> Histogram:
    return Histogram(name, text, buckets=buckets, registry=REGISTRY)


HINTS = _counter("enrich_hints_total", "Objects in accepted notifications.", "source")
IGNORED = _counter("enrich_ignored_total", "Objects in notifications that were ignored.", "source", "reason")
REJECTED_EVENTS = _counter("enrich_rejected_events_total", "Notifications that could not be parsed.", "source")
INTAKE_SECONDS = _histogram("enrich_intake_seconds", "Arrival of a notification to commit of its hints.", _STAGE)
QUEUE_MESSAGES = _counter("enrich_queue_messages_total", "Messages of queues, by result.", "result")
QUEUE_ERRORS = _counter("enrich_queue_errors_total", "Failed receive attempts of a listener.")
API_UP = _gauge("enrich_api_up", "1 in a process that serves the API.")
API_REFUSALS = _counter("enrich_api_refusals_total", "Requests and connections refused, by reason.", "reason")
WAKE_UPS = _counter("enrich_wake_ups_total", "Wake-ups: sent, coalesced, failed, dropped.", "result")
CLAIMS = _counter("enrich_claims_total", "Claims that got at least one object.")
BATCH_SIZE = _histogram("enrich_batch_size", "Objects in a claim.", _BATCH)
OUTCOMES = _counter("enrich_outcomes_total", "Objects whose claim ended, by outcome.", "outcome")
QUARANTINED = _counter("enrich_quarantined_total", "Objects put into quarantine, by reason.", "reason")
RETRIES = _counter("enrich_retries_total", "Objects given back for a retry, by reason.", "reason")
BREAKER_OPEN = _gauge("enrich_breaker_open", "1 while this circuit breaker is open in this process.", "breaker")
PENDING = _gauge("enrich_pending", "Objects that wait for work, in the whole ledger.", "lane")
IN_FLIGHT = _gauge("enrich_in_flight", "Objects this process has claimed and not yet completed.")
MISSING_VECTORS = _gauge("enrich_owed_vectors", "Images whose vector is missing in a space.", "space")
CERTIFICATES = _gauge("enrich_certificates", "Labels in force by the state of their certificate.", "state")
RECONCILE_DIFFERENCES = _counter("enrich_reconcile_differences_total", "Objects changed without an event.", "kind")
RECONCILE_AGE = _gauge("enrich_reconcile_age_seconds", "Since the last finished round.", "bucket", "prefix")
RECENT_IMAGES = _gauge("enrich_recent_images", "Images of the last 24 hours.", "taxonomy", "bucket")
RECENT_LABEL_SHARE = _gauge("enrich_recent_label_share", "Share that has a label.", "taxonomy", "label", "bucket")
RECENT_NO_LABEL_SHARE = _gauge("enrich_recent_no_label_share", "Share without a label.", "taxonomy", "bucket")
RECENT_LABEL_PROBABILITY = _gauge(
    "enrich_recent_label_probability", "Quantiles of a label's probability.", "taxonomy", "label", "quantile"
)
LABEL_DRIFT = _gauge("enrich_label_drift", "Population stability index of the labels.", "taxonomy", "bucket")
LABEL_DRIFT_BY_CHANCE = _gauge("enrich_label_drift_by_chance", "What chance explains.", "taxonomy", "bucket")
NO_LABEL_CHANGE = _gauge("enrich_no_label_change", "Change of the share without a label.", "taxonomy", "bucket")
FEED_PRUNED = _counter("enrich_feed_pruned_total", "Changes deleted from the feed because they are old.")
FETCH_SECONDS = _histogram("enrich_fetch_seconds", "One GET, to the last byte.", _STAGE)
FETCH_BYTES = _counter("enrich_fetch_bytes_total", "Bytes of object bodies received.")
DECODE_SECONDS = _histogram("enrich_decode_seconds", "One image's bytes to pixels and metadata.", _STAGE)
PREVIEW_SECONDS = _histogram("enrich_preview_seconds", "Making one image's previews.", _STAGE)
PREVIEWS = _counter("enrich_previews_total", "Previews of images, by result.", "result")
ENCODE_SECONDS = _histogram("enrich_encode_seconds", "One batch in the encoder, waiting included.", _STAGE)
IMAGES_ENCODED = _counter("enrich_images_encoded_total", "Images turned into vectors.")
WRITE_SECONDS = _histogram("enrich_write_seconds", "One batch's write transaction.", _STAGE)
EVENT_TO_SEARCHABLE_SECONDS = _histogram("enrich_event_to_searchable_seconds", "Upload to searchable.", _LATENCY)


def _start_at_zero() -> None:
    """Export every known label from the start: ``rate()`` misses the first increment of a new series.

    Sources are not preset: they are what envelopes call themselves.
    """
    for outcome in Outcome:
        OUTCOMES.labels(outcome=outcome.value)
    for reason in Reason:
        QUARANTINED.labels(reason=reason.value)
    for cause in RetryReason:
        RETRIES.labels(reason=cause.value)
    for breaker in ("store", "database", "quarantine"):
        BREAKER_OPEN.labels(breaker=breaker).set(0)
    for why in ("no-token", "wrong-token", "scope", "host", "origin", "slow", "connections", "descriptors", "images"):
        API_REFUSALS.labels(reason=why)
    for result in ("sent", "coalesced", "failed", "dropped"):
        WAKE_UPS.labels(result=result)
    for result in ("kept", "make-failed", "write-failed", "read-failed"):
        PREVIEWS.labels(result=result)
    for kind in ("missing", "stale", "ghost", "unnameable"):
        RECONCILE_DIFFERENCES.labels(kind=kind)
    for result in ("committed", "refused", "left", "returned"):
        QUEUE_MESSAGES.labels(result=result)
    set_pending({})


def set_pending(counts: Mapping[Lane, int]) -> None:
    """Publish the number of pending objects by lane; a lane missing from ``counts`` has none."""
    for lane in Lane:
        PENDING.labels(lane=lane.name.lower()).set(counts.get(lane, 0))


def set_missing_vectors(counts: Mapping[int, int]) -> None:
    """Publish the number of missing vectors by space; a space missing from ``counts`` is no longer exported."""
    MISSING_VECTORS.clear()
    for space, images in counts.items():
        MISSING_VECTORS.labels(space=str(space)).set(images)


def clear_recent_labels() -> None:
    """Export none of the gauges about images of the last 24 hours until they are set again."""
    for gauge in (
        RECENT_IMAGES,
        RECENT_LABEL_SHARE,
        RECENT_NO_LABEL_SHARE,
        RECENT_LABEL_PROBABILITY,
        LABEL_DRIFT,
        LABEL_DRIFT_BY_CHANCE,
        NO_LABEL_CHANGE,
    ):
        gauge.clear()


def set_certificates(counts: Mapping[str, int]) -> None:
    """Publish the number of labels by the state of their certificate."""
    for state, labels in counts.items():
        CERTIFICATES.labels(state=state).set(labels)


def exposition() -> tuple[bytes, str]:
    """This process's metrics: the body of ``GET /metrics`` and its content type."""
    return generate_latest(REGISTRY), CONTENT_TYPE_LATEST


@dataclass(frozen=True, kw_only=True, slots=True)
class MetricsServer:
    """A ``/metrics`` endpoint on a daemon thread, which never keeps a process alive."""

    port: int  # the actual port, even if 0 was requested
    _server: WSGIServer
    _thread: threading.Thread

    def close(self) -> None:
        """Stop listening; returns once the port is free."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def serve(port: int, *, host: str = "127.0.0.1") -> MetricsServer:
    """Serve this process's metrics over HTTP, for processes without the API.

    Args:
        port: 0 picks a free one.
        host: address to listen on. The page has no secrets and no token: keep it off the internet.

    Raises:
        ConfigurationError: the address cannot be listened on; the message names it.
    """
    try:
        server, thread = start_http_server(port, addr=host, registry=REGISTRY)
    except OSError as error:
        raise ConfigurationError(
            f"cannot serve metrics on {host}:{port}: {error.strerror or error}; choose another address or port"
        ) from error
    return MetricsServer(port=server.server_port, _server=server, _thread=thread)


_start_at_zero()
