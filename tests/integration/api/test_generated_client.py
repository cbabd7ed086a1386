"""A client that openapi-python-client makes of the OpenAPI document, and that calls every operation."""

from __future__ import annotations

import importlib
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.active_taxonomies import put_into_force
from tests.factories import enriched_image
from tests.fakes import ColourEncoder
from tests.integration.api.live import TOKEN, record
from tests.ledger import hints
from worker import catalog, ledger
from worker.api.app import openapi_document
from worker.db import transaction
from worker.ledger.completion import Completion, QuarantineRecord
from worker.pipeline.taxonomies.label_vectors import LabelVectorWriter
from worker.tagging import Label, Taxonomy
from worker.types import Hint, ObjectRef, Outcome, Reason

DOCUMENT = openapi_document()
OPERATIONS = {each["operationId"]: each for path in DOCUMENT["paths"].values() for each in path.values()}
PACKAGE = "client_of_the_enricher"
#: As the examples of the document have them.
TAXONOMIES = tuple(
    Taxonomy(
        name=name,
        labels=tuple(Label(name=label, prompts=(f"{colour} {label}",)) for label, colour in labels.items()),
        background=("blue",),
    )
    for name, labels in {
        "time-of-day": {"day": "red", "night": "green"},
        "setting": {"indoor": "green", "outdoor": "red"},
    }.items()
)

ODD = [
    "2026/red flower.jpg",
    "a b/é?#%+&=;.jpg",
    "100%25.jpg",
    "%2F%20",
    "/first",
    "a//b/",
    "line\nbreak",
    "🌈",
    "a/../b",
]


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


@pytest.fixture(scope="module")
def generated(tmp_path_factory) -> Iterator[None]:
    """The package, made of the document; nothing in it may be left out."""
    folder: Path = tmp_path_factory.mktemp("generated")
    document, settings = folder / "openapi.json", folder / "settings.yaml"
    document.write_text(json.dumps(DOCUMENT))
    settings.write_text("post_hooks: []\n")
    subprocess.run(
        [sys.executable, "-m", "openapi_python_client", "generate", "--path", document, "--config", settings,
         "--output-path", folder / PACKAGE, "--meta", "none", "--fail-on-warning"],
        check=True, timeout=120,
    )  # fmt: skip
    sys.path.insert(0, str(folder))
    yield
    sys.path.remove(str(folder))
    for name in [name for name in sys.modules if name.partition(".")[0] == PACKAGE]:
        del sys.modules[name]


@pytest.fixture
def client(generated, api) -> Iterator[Generated]:
    made = Generated(api.port)
    with made.session:
        yield made


@pytest.fixture
def world(engine, gallery) -> None:
    """Something for every operation to find."""
    put_into_force(engine, *TAXONOMIES)
    with transaction(engine) as connection:
        [space] = catalog.spaces.all_spaces(connection)
        ledger.hints.hint(connection, hints("2026/broken.jpg"))
        claim = ledger.claims.claim(connection, worker="test", size=1, lease=60)
        assert claim is not None
        why = QuarantineRecord(
            reason=Reason.UNSUPPORTED_FORMAT, message="it is a film", attempts=1, size=4, first_bytes=b"film"
        )
        ended = Completion(id=claim.objects[0].id, outcome=Outcome.QUARANTINED, etag="e", quarantine=why)
        ledger.completion.complete(connection, claim.token, [ended])
        ledger.hints.hint(connection, [Hint(ref=ObjectRef(bucket="typo", key="b.jpg"), source="s3", event="created")])
        ledger.buckets.buckets_found(connection, ["photos"], endpoint="http://store.example")
        ledger.buckets.buckets_missing(connection, ["typo"], endpoint="http://store.example")
    LabelVectorWriter(engine=engine, space=space, encode_texts=ColourEncoder().encode_texts).run()


def examples_of(operation: str) -> list[Any]:
    media = OPERATIONS[operation]["requestBody"]["content"]["application/json"]
    return [media["example"]] if "example" in media else [each["value"] for each in media["examples"].values()]


def call_search(client: Generated) -> None:
    request = client.models.SearchRequest(text="red", limit=1)
    [hit] = client.call("search", body=request).hits
    assert ("red.jpg", "day") == (hit.key, hit.tags["time-of-day"])
    label = client.models.LabelName(taxonomy="setting", label="indoor")
    request = client.models.SearchRequest(label=label, tags=[client.models.TagFilter("time-of-day", "night")])
    assert ["2026/green.jpg"] == [hit.key for hit in client.call("search", body=request).hits]


def call_explanation(client: Generated) -> None:
    told = client.call("get_explanation", "photos", "2026/green.jpg", taxonomy=["time-of-day", "setting"])
    assert {"time-of-day", "setting"} == {each.taxonomy for each in told.taxonomies}
    assert {"decided"} == {str(each.decided_by) for each in told.taxonomies}
    nothing = client.call("get_explanation", "photos", "blue.jpg").taxonomies
    assert {"background-nearer"} == {str(each.decided_by) for each in nothing}


def call_list(client: Generated) -> None:
    source = client.models.ListImagesSourceType0("zero-shot")
    query = {"bucket": "photos", "prefix": "2026/", "tag": ["time-of-day=night"], "source": source}
    page = client.call("list_images", **query, updated_since="2d", limit=1)
    assert ("2026/green.jpg", None) == (page.images[0].key, page.next_)
    first = client.call("list_images", limit=1)
    assert "blue.jpg" == client.call("list_images", limit=1, after=first.next_).images[0].key


def call_counts(client: Generated) -> None:
    source = client.models.GetLabelCountsSourceType0("zero-shot")
    query = {"bucket": "photos", "prefix": "2026/", "taxonomy": ["time-of-day"], "source": source}
    [found] = client.call("get_label_counts", **query, limit=1).taxonomies
    assert [("night", 1)] == [(each.label, each.images) for each in found.labels]


def call_changes(client: Generated) -> None:
    page = client.call("changes", limit=2)
    assert 1 == len(client.call("changes", after=page.next_).changes)


def call_retry(client: Generated) -> None:
    choice = client.models.QuarantineChoice(
        reason=client.models.Reason("unsupported-format"), bucket="photos", prefix="2026/", since="2d"
    )
    assert 1 == client.call("retry_quarantine", body=choice).changed


def call_drop(client: Generated) -> None:
    choice = client.models.QuarantineChoice(bucket="photos", key="2026/broken.jpg")
    assert 1 == client.call("drop_quarantine", body=choice).changed


def call_quarantine(client: Generated) -> None:
    reason = client.models.Reason("unsupported-format")
    assert 1 == len(client.call("list_quarantine", reason=reason, bucket="photos", since="2d", limit=5).entries)


def notify(operation: str, name: str) -> Callable[[Generated], None]:
    def call(client: Generated) -> None:
        [example] = examples_of(operation)
        assert 1 == client.call(operation, body=client.body(name, example)).hinted

    return call


CALLS: dict[str, Callable[[Generated], None]] = {
    "events_s3": notify("events_s3", "EventsS3Body"),
    "events_seaweedfs": notify("events_seaweedfs", "EventsSeaweedfsBody"),
    "list_images": call_list,
    "get_image": lambda client: same(client.call("get_image", "photos", "2026/green.jpg").key, "2026/green.jpg"),
    "get_explanation": call_explanation,
    "get_nearest_labels": lambda client: same(
        len(client.call("get_nearest_labels", "photos", "red.jpg", taxonomy=["setting"], limit=1).labels), 1
    ),
    "get_label_counts": call_counts,
    "search": call_search,
    "changes": call_changes,
    "list_quarantine": call_quarantine,
    "count_quarantine": lambda client: same(client.call("count_quarantine", bucket="photos").total, 1),
    "get_quarantine_entry": lambda client: same(
        client.call("get_quarantine_entry", "photos", "2026/broken.jpg").first_bytes, b"film".hex()
    ),
    "retry_quarantine": call_retry,
    "drop_quarantine": call_drop,
    "list_buckets": lambda client: same(
        [each.name for each in client.call("list_buckets").buckets], ["photos", "typo"]
    ),
    "drop_bucket": lambda client: same(client.call("drop_bucket", "typo"), None),
    "status": lambda client: same(client.call("status", bucket="photos").quarantined, 1),
    "healthz": lambda client: same(client.call("healthz").status, "ok"),
    "readyz": lambda client: same(client.call("readyz").ready, True),
}


def same(got: object, expected: object) -> None:
    assert expected == got


@pytest.mark.parametrize("operation", OPERATIONS)
def test_every_operation_can_be_called(client, world, operation):
    """With what it takes, and its answer is read to the last member."""
    CALLS[operation](client)


@pytest.mark.parametrize("operation", [name for name in OPERATIONS if name not in ("healthz", "readyz")])
def test_an_error_of_every_operation_is_read(generated, shared_api, operation):
    """The generated client knows it for a problem: here, that the token is wrong."""
    wrong = Generated(shared_api.port, token="wrong")
    arguments = re.findall(r"{(\w+)}", next(path for path in DOCUMENT["paths"] if operation in names_at(path)))
    options = {}
    if "requestBody" in OPERATIONS[operation]:
        body = {"search": "SearchRequest", "events_s3": "EventsS3Body", "events_seaweedfs": "EventsSeaweedfsBody"}
        options["body"] = wrong.body(body.get(operation, "QuarantineChoice"), examples_of(operation)[0])
    with wrong.session:
        problem = wrong.call(operation, *arguments, **options)
    assert (401, "Problem") == (problem.status, type(problem).__name__)


def names_at(path: str) -> list[str]:
    return [each["operationId"] for each in DOCUMENT["paths"][path].values()]


@pytest.mark.parametrize("key", ODD)
def test_a_key_is_given_as_it_is(client, enriched, key):
    """Whatever is in it: the client encodes it, once."""
    enriched(enriched_image(key))
    assert key == client.call("get_image", "photos", key).key
    client.call("events_s3", body=client.body("EventsS3Body", record(f"new {key}")))
    assert "pending" == client.call("get_image", "photos", f"new {key}").state


@pytest.mark.parametrize(
    ("operation", "value"),
    [(name, value) for name, each in OPERATIONS.items() if "requestBody" in each for value in examples_of(name)],
)
def test_every_example_of_a_body_is_taken(api, world, operation, value):
    """Whoever tries it in /docs sees it work."""
    path = next(path for path in DOCUMENT["paths"] if operation in names_at(path))
    assert 200 == api.post(path, value).status


def test_every_example_of_a_parameter_is_taken(api, world):
    """The values that /docs fills in, together."""
    for path, methods in DOCUMENT["paths"].items():
        for method, operation in methods.items():
            given = {
                each["name"]: each["schema"]["examples"][0]
                for each in operation.get("parameters", ())
                if each["in"] == "query" and "examples" in each["schema"]
            }
            if method == "get" and given:
                query = "&".join(f"{name}={value}" for name, values in given.items() for value in values)
                assert 200 == api.get(f"{path}?{query}").status, query
