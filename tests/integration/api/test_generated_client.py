"""A client that openapi-python-client makes of the OpenAPI document, and that calls every operation."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

import pytest
from sqlalchemy import text

from tests.active_taxonomies import put_into_force
from tests.factories import enriched_image
from tests.fakes import ColourEncoder
from tests.integration.api.generated import DOCUMENT, OPERATIONS, PACKAGE, Generated, examples_of
from tests.integration.api.generated_calls import BODIES, CALLS
from tests.integration.api.live import record
from tests.ledger import hints
from tests.pictures import picture
from worker import catalog, ledger
from worker.catalog.decisions import Verdict
from worker.catalog.heads import NewHead
from worker.db import transaction
from worker.ledger.completion import Completion, QuarantineRecord
from worker.pipeline.maps import requests
from worker.pipeline.maps.draw import draw
from worker.pipeline.review import plans
from worker.pipeline.review.decide import DecisionRequest, decide
from worker.pipeline.review.frames import PlanRequest
from worker.pipeline.review.queues import Queue
from worker.pipeline.taxonomies.label_vectors import LabelVectorWriter
from worker.tagging import Label, Taxonomy
from worker.tagging.learned import Head, Learned
from worker.types import Hint, ObjectRef, Outcome, Reason

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

HEAD = NewHead(
    space=1, taxonomy="setting", scoring="0", digest="0", labels=("indoor", "outdoor"), strength=1.0, decisions=40,
    last_decision=40, judged=40, won=7, lost=1, p=0.035, promoted_by="test", made_by="ada@here",
)  # fmt: skip

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


@pytest.fixture(scope="module")
def generated(tmp_path_factory) -> Iterator[None]:
    """The package, made of the document; nothing in it may be left out."""
    folder: Path = tmp_path_factory.mktemp("generated")
    document, settings = folder / "openapi.json", folder / "settings.yaml"
    document.write_text(json.dumps(DOCUMENT))
    settings.write_text("post_hooks: []\ncontent_type_overrides:\n  image/webp: application/octet-stream\n")
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
def world(engine, api, gallery) -> None:
    """Something for every operation to find."""
    with transaction(engine) as connection:
        [space] = catalog.spaces.all_spaces(connection)
        head = catalog.heads.add(connection, HEAD)
    learned = {str(space.id): Learned(model=space.model, head=Head(number=head))}
    put_into_force(engine, *(replace(each, learned=learned) if each.name == "setting" else each for each in TAXONOMIES))
    with transaction(engine) as connection:
        ledger.hints.hint(connection, hints("2026/broken.jpg"))
        claim = ledger.claims.claim(connection, worker="test", size=1, lease=60)
        assert claim is not None
        why = QuarantineRecord(
            reason=Reason.UNSUPPORTED_FORMAT, message="it is a film", attempts=1, size=4, first_bytes=b"film"
        )
        ended = Completion(id=claim.objects[0].id, outcome=Outcome.QUARANTINED, etag="e", quarantine=why)
        ledger.completion.complete(connection, claim.token, [ended])
        ledger.hints.hint(connection, [Hint(ref=ObjectRef(bucket="typo", key="b.jpg"), source="s3", event="created")])
        ledger.rejected_events.reject(connection, source="s3", reason="not JSON", body=b"{")
        ledger.buckets.buckets_found(connection, ["photos"], endpoint="http://store.example")
        ledger.buckets.buckets_missing(connection, ["typo"], endpoint="http://store.example")
        etag = api.services.originals.store.put(ObjectRef(bucket="photos", key="red.jpg"), picture())
        connection.execute(text("UPDATE images SET etag = :etag WHERE key = 'red.jpg'"), {"etag": etag})
        connection.execute(text("UPDATE images SET sha256 = sha256(:data) WHERE key = 'red.jpg'"), {"data": picture()})
    LabelVectorWriter(engine=engine, space=space, encode_texts=ColourEncoder().encode_texts).run()
    asked, _ = requests.request(engine, requests.MapRequest(method="pca"))
    with transaction(engine) as connection:
        begun = catalog.maps.begin(connection, asked.id)
    assert begun is not None
    draw(engine, begun)
    day = PlanRequest(queue=Queue.RANDOM, taxonomy="time-of-day", label="day")
    plans.create(api.services.queues, day, reviewer="ada")


#: They want no token.
OPEN = ("healthz", "readyz", "get_session", "log_in", "log_out")


@pytest.mark.parametrize("operation", OPERATIONS)
def test_every_operation_can_be_called(client, world, operation):
    """With what it takes, and its answer is read to the last member."""
    CALLS[operation](client)


@pytest.mark.parametrize("operation", [name for name in OPERATIONS if name not in OPEN])
def test_an_error_of_every_operation_is_read(generated, shared_api, operation):
    """The generated client knows it for a problem: here, that the token is wrong."""
    wrong = Generated(shared_api.port, token="wrong")
    arguments = re.findall(r"{(\w+)}", next(path for path in DOCUMENT["paths"] if operation in names_at(path)))
    options = {}
    if "requestBody" in OPERATIONS[operation]:
        options["body"] = wrong.body(BODIES.get(operation, "QuarantineChoice"), examples_of(operation)[0])
    if operation == "undo_decisions":
        options["reviewer"] = "ada"
    if operation == "search_by_link":
        options["query"] = "{}"
    if operation == "get_map_colours":
        options["by"] = "time"
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
    [method] = [name for name, each in DOCUMENT["paths"][path].items() if each["operationId"] == operation]
    target, body = path.format(bucket="photos", key="red.jpg", plan=1, name="mine", map=1), json.dumps(value).encode()
    headers = {"Content-Type": "application/json"}
    statuses = {
        "apply_taxonomies": 202, "apply_calibration": 202, "apply_head": 202, "post_review_plan": 201,
        "post_map": 202,
        "release_review_items": 204,
    }  # fmt: skip
    expected = statuses.get(operation, 200)
    if operation in ("plan_head", "apply_head") and "zero_shot" not in value:
        expected = 422  # too little was decided
    if operation == "post_evaluation":
        red = ObjectRef(bucket="photos", key="red.jpg")
        seen = DecisionRequest(ref=red, taxonomy="time-of-day", verdict=Verdict.NONE)
        decide(api.services.engine, [seen], reviewer="ada")
    assert expected == api.send(method.upper(), target, body, headers=headers).status


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
                several = {name: [each] if isinstance(each, str) else each for name, each in given.items()}
                query = "&".join(f"{name}={quote(str(each))}" for name, values in several.items() for each in values)
                assert 200 == api.get(f"{path}?{query}").status, query
