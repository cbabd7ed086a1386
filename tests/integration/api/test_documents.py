"""The examples of docs/reference/api.md and docs/how-to/read-results.md, run as they are written."""

from __future__ import annotations

import json
import os
import re
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from tests.factories import enriched_image
from tests.fakes import ColourEncoder
from tests.integration.api.live import TOKEN
from tests.ledger import hints, ref
from worker import catalog, ledger, outbox
from worker.catalog.removal import Removal
from worker.catalog.write import EnrichedImage
from worker.db import Engine, transaction
from worker.ledger.completion import Completion, QuarantineRecord
from worker.outbox import NewEntry
from worker.pipeline.taxonomies import active_taxonomies
from worker.pipeline.taxonomies.label_vectors import LabelVectorWriter
from worker.tagging import Calibration, Label, Taxonomy
from worker.types import Outcome, Reason

DOCS = Path(__file__).parents[3] / "docs"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)

FLOWER = "2026/red flower.jpg"
LIGHT = Taxonomy(
    name="time-of-day",
    title="Time of day",
    labels=(
        Label(name="day", title="Day", prompts=("a red flower in the sun",)),
        Label(name="night", prompts=("a blue sky",)),
    ),
    background=("a green wall",),
    models={"tiny": Calibration(threshold=0.6, margin=0.2)},
)


def blocks(document: str) -> list[tuple[str, str]]:
    return [(found[1], found[2]) for found in BLOCK.finditer((DOCS / document).read_text())]


@pytest.fixture
def flowers(engine, enriched) -> None:
    """What the documents' examples are about, with a copy and a picture by night."""
    active_taxonomies.keep(engine, [LIGHT])
    red, green, blue = ColourEncoder().encode_texts(["red", "green", "blue"])
    enriched(
        as_in_the_document(enriched_image(FLOWER, vector=red)),
        resized(enriched_image("copy of a flower.jpg", label="night", vector=green)),
        enriched_image("old copy of a flower.jpg", label="day", vector=green),
        enriched_image("blue.jpg", label=None, vector=blue),
    )
    with transaction(engine) as connection:
        [space] = catalog.spaces.all_spaces(connection)
    LabelVectorWriter(engine=engine, space=space, encode_texts=ColourEncoder().encode_texts).run()


def resized(image: EnrichedImage) -> EnrichedImage:
    """Two bits of the perceptual hash differ."""
    return replace(image, metadata=replace(image.metadata, phash=(0x9C6B3A1F0E7D5C24 ^ 0b101) - (1 << 64)))


def as_in_the_document(image: EnrichedImage) -> EnrichedImage:
    metadata = replace(
        image.metadata,
        width=4032,
        height=3024,
        orientation=1,
        camera_make="Fairphone",
        camera_model="FP5",
        lens_make=None,
        lens_model="FP5 back camera 5.6mm f/1.88",
        iso=100,
        f_number=1.88,
        focal_length=5.6,
        focal_length_35mm=24,
        taken_at=datetime.fromisoformat("2026-01-01T13:00:00+01:00"),
        sha256="0be5d8b5a9e1f6c3d7420c8e6f1a3b5c7d9e0f1a2b3c4d5e6f708192a3b4c5d6",
        phash=0x9C6B3A1F0E7D5C24 - (1 << 64),
    )
    info = replace(image.info, etag="398533d48111e9f664b1f64cb10c4b63", version_id=None, size=2048576)
    tags = tuple(replace(tag, version=LIGHT.version) for tag in image.tags)
    return replace(image, info=info, metadata=metadata, tags=tags)


# -- docs/reference/api.md --------------------------------------------------------------------------------------------


def shape(value: Any) -> Any:
    """Names and types: what an example promises. Times, ids and similarities differ from run to run."""
    if isinstance(value, dict):
        return {name: shape(member) for name, member in value.items()}
    if isinstance(value, list):
        return [shape(member) for member in value]
    return "number" if isinstance(value, int | float) and not isinstance(value, bool) else type(value).__name__


def steady(value: Any) -> Any:
    """What does not differ from run to run."""
    unsteady = {"enriched_at", "decided_at", "at", "since", "id", "next", "searchable_after_seconds", "similarity"}
    unsteady |= {"score", "similarities", "expires_at", "path"}
    unsteady |= {"newest", "oldest_pending_seconds", "model", "probability", "rival", "lead", "start", "batch"}
    if isinstance(value, dict):
        return {name: steady(member) for name, member in value.items() if name not in unsteady}
    return [steady(member) for member in value] if isinstance(value, list) else value


@pytest.fixture
def broken(engine: Engine) -> None:
    """What the document's examples of the quarantine are about."""
    begins = bytes.fromhex("ffd8ffe000104a46494600010100000100010000ffdb0043")
    why = QuarantineRecord(
        reason=Reason.TRUNCATED,
        message="the file ends before its picture does: 24 bytes",
        attempts=1,
        size=len(begins),
        first_bytes=begins,
    )
    with transaction(engine) as connection:
        ledger.hints.hint(connection, hints("2026/broken.jpg"))
        claim = ledger.claims.claim(connection, worker="test", size=1, lease=60)
        assert claim is not None
        [claimed] = claim.objects
        etag = "0c1cd4a1d66b0cf0ba8ae02e2ee7dfc4"
        ended = Completion(id=claimed.id, outcome=Outcome.QUARANTINED, etag=etag, quarantine=why)
        ledger.completion.complete(connection, claim.token, [ended])


def test_the_examples_of_the_api(api, flowers, broken):
    """Each command of docs/reference/api.md, in its order, answers as the document says."""
    examples = blocks("reference/api.md")
    assert ("sh", "sh") == (examples[0][0], examples[1][0])
    assert len(examples) > 10
    for (language, command), (following, answer) in pairwise([*examples[1:], ("", "")]):
        if language != "sh":
            continue
        got = run(api, command)
        if following == "json":
            expected = json.loads(answer)
            assert shape(got) == shape(expected), command
            assert steady(got) == steady(expected), command
        else:  # its answer is described in words
            assert got.get("type", "").rpartition("/")[2] in ("", "choice"), (command, got)


def run(api, command: str) -> Any:
    environment = os.environ | {"API": f"http://127.0.0.1:{api.port}", "ENRICH_API_TOKEN": TOKEN, "no_proxy": "*"}
    done = subprocess.run(["sh", "-eu", "-c", command], env=environment, capture_output=True, check=True, timeout=60)
    return json.loads(done.stdout)


def test_every_address_is_described(shared_api):
    """Nothing that is served is missing from docs/reference/api.md."""
    document = (DOCS / "reference/api.md").read_text()
    paths = shared_api.get("/openapi.json").json["paths"]
    kinds = ("nearest-labels", "images", "explanations", "quarantine", "decisions")
    example = {f"/v1/{kind}/{{bucket}}/{{key}}": f"/v1/{kind}/photos" for kind in kinds}
    example["/v1/previews/{size}/{bucket}/{key}"] = "/v1/previews/512/BUCKET/KEY"
    example["/v1/model-inputs/{bucket}/{key}"] = "/v1/model-inputs/BUCKET/KEY"
    example["/v1/originals/{bucket}/{key}"] = "/v1/originals/BUCKET/KEY"
    example["/v1/events/seaweedfs"] = "how-to/connect-a-store.md"
    assert [] == [path for path in paths if example.get(path, path) not in document]


def test_every_status_is_described(shared_api):
    """Each status that an operation may answer is in the table of docs/reference/api.md."""
    document = (DOCS / "reference/api.md").read_text()
    operations = [each for path in shared_api.get("/openapi.json").json["paths"].values() for each in path.values()]
    statuses = {status for operation in operations for status in operation["responses"]} - {"200"}
    assert [] == [status for status in sorted(statuses) if f"| {status} |" not in document]


# -- docs/how-to/read-results.md --------------------------------------------------------------------------------------


@pytest.fixture
def reader(engine: Engine):
    """The role of the document's recipe; roles belong to the whole server, so it goes afterwards."""
    recipe, *_ = [code for language, code in blocks("how-to/read-results.md") if language == "sql"]
    execute(engine, recipe)
    yield "enrich_reader"
    execute(engine, "DROP OWNED BY enrich_reader; DROP ROLE enrich_reader")


def execute(engine: Engine, statements: str) -> None:
    with transaction(engine) as connection:
        connection.exec_driver_sql(statements)


def as_reader(engine: Engine, query: str) -> list[Any]:
    with transaction(engine) as connection:
        connection.exec_driver_sql("SET LOCAL ROLE enrich_reader")
        return list(connection.exec_driver_sql(query).mappings())


def queries() -> list[str]:
    """What a reader asks; the recipe of the role comes first."""
    return [code for code in statements()[1:] if not code.startswith("INSERT")]


def statements() -> list[str]:
    return [code for language, code in blocks("how-to/read-results.md") if language == "sql"]


def test_a_persons_decision_of_the_document(engine, reader, flowers):
    """For the bytes that were seen, and for no others."""
    [decide] = [code for code in statements() if code.startswith("INSERT")]
    question = f"SELECT tags ->> 'time-of-day' AS label FROM enriched_images WHERE key = '{FLOWER}'"
    execute(engine, decide)
    assert [{"label": "night"}] == as_reader(engine, question)
    execute(engine, "UPDATE images SET sha256 = '\\x00'")
    assert [{"label": "day"}] == as_reader(engine, question)
    execute(engine, decide)
    assert [{"label": "day"}] == as_reader(engine, question)


def test_the_question_whether_the_feed_goes_on(engine, reader, flowers):
    """As the role of the recipe: yes from the beginning and behind a change, no where there is none."""
    [last, *_] = as_reader(engine, "SELECT xid::text, id, at FROM changes ORDER BY xid DESC, id DESC LIMIT 1")
    ask = "SELECT feed_goes_on('{}', {}, '{}') AS yes"
    assert [{"yes": True}] == as_reader(engine, ask.format(last["xid"], last["id"], last["at"]))
    assert [{"yes": False}] == as_reader(engine, ask.format(last["xid"], last["id"] + 1, last["at"]))
    assert [{"feed_goes_on": True}] == as_reader(engine, next(query for query in queries() if "feed_goes_on" in query))


def test_the_follower_of_the_document(api, engine, enriched, monkeypatch):
    """Its copy is the catalog: from the beginning, through pruning and removals, while others write."""
    [code] = [code for language, code in blocks("how-to/read-results.md") if language == "python"]
    names: dict[str, Any] = {}
    exec(compile(code, "how-to/read-results.md", "exec"), names)
    monkeypatch.setattr(names["time"], "sleep", threading.Event().wait)
    monkeypatch.setitem(os.environ, "no_proxy", "*")
    copy: dict[str, str] = {}
    done = threading.Event()

    def apply(bucket: str, key: str) -> None:
        answer = api.image(bucket, key)
        copy[key] = answer.json["etag"] if answer.status == 200 else ""

    def forget(seen: set[tuple[str, str]]) -> None:
        for key in set(copy) - {key for _, key in seen}:
            copy[key] = ""

    def write() -> None:
        for n in range(40):
            enriched(replaced_etag(enriched_image(f"{n * 7 % 20}.jpg"), f"e{n}"))
            with transaction(engine) as connection:
                gone = [Removal(ref=ref(f"{n * 3 % 20}.jpg"))]
                removed = catalog.removal.remove(connection, gone)
                outbox.append(connection, [NewEntry(kind="removed", ref=each, etag=None) for each in removed])
            with transaction(engine) as connection:
                outbox.prune(connection, keep=0.3, limit=2)

    with ThreadPoolExecutor(2) as pool:
        url = f"http://127.0.0.1:{api.port}"
        following = pool.submit(names["follow"], url, TOKEN, None, apply, forget, done.is_set)
        write()
        done.set()
        following.result(60)
    with transaction(engine) as connection:
        catalogued = {row.key: row.etag for row in connection.execute(text("SELECT key, etag FROM images"))}
    assert len(catalogued) > 1
    assert {key: etag for key, etag in copy.items() if etag} == catalogued


def replaced_etag(image: EnrichedImage, etag: str) -> EnrichedImage:
    return replace(image, info=replace(image.info, etag=etag))


def test_the_queries_find_something(engine, reader, flowers):
    """Every query of docs/how-to/read-results.md runs as the role of its recipe, and its answer is not empty."""
    assert len(queries()) > 10
    for query in queries():
        assert as_reader(engine, query) != [], query


def test_the_queries_find_the_right_thing(engine, reader, flowers):
    """The ones that could be wrong in a way that still gives rows."""
    by_start = {" ".join(query.split()[:4]): as_reader(engine, query) for query in queries()}
    similar = [query for query in queries() if "similarity" in query]
    assert FLOWER not in [row["key"] for row in as_reader(engine, similar[0])]
    assert ["copy of a flower.jpg"] == [row["key"] for row in as_reader(engine, similar[1])]
    [duplicate] = by_start["SELECT other.bucket, other.key, bit_count((other.phash"]
    assert ("copy of a flower.jpg", 2) == (duplicate["key"], duplicate["bits"])
    assert ["blue.jpg"] == [row["key"] for row in by_start["SELECT bucket, key FROM"]]
    assert [row["key"] for row in by_start["SELECT bucket, key, probability"]] == [FLOWER, "old copy of a flower.jpg"]
    assert ["day", None] == [row["time_of_day"] for row in by_start["WITH products (sku, photo)"]]
    assert [row["key"] for row in by_start["SELECT xid, id, kind,"]] == [
        FLOWER,
        "copy of a flower.jpg",
        "old copy of a flower.jpg",
        "blue.jpg",
    ]


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM images",
        "SELECT * FROM inbox",
        "SELECT * FROM quarantine",
        "SELECT * FROM embeddings",
        "SELECT * FROM tags",
        "DELETE FROM changes",
        "INSERT INTO changes (kind, bucket, key) VALUES ('removed', 'b', 'k')",
        "UPDATE enriched_images SET key = 'x'",
        "CREATE TABLE mine ()",
    ],
)
def test_the_role_may_only_read(engine, reader, statement):
    """Tables are out of its reach, and it writes nothing."""
    with pytest.raises(DBAPIError, match=r"permission denied|cannot update view"):
        as_reader(engine, statement + " RETURNING 1" if statement.startswith(("DEL", "INS")) else statement)


def test_the_moment_a_picture_was_taken(engine, flowers):
    """The document's expression for it gives the moment that EXIF means."""
    document = (DOCS / "reference/views.md").read_text()
    expression = "(taken_at - taken_offset) AT TIME ZONE 'UTC'"
    assert expression in document
    with transaction(engine) as connection:
        moment = connection.execute(
            text(f"SELECT {expression} FROM enriched_images WHERE key = :key"), {"key": FLOWER}
        ).scalar_one()
    assert moment == datetime.fromisoformat("2026-01-01T12:00:00+00:00")


@pytest.mark.parametrize("view", ["enriched_images", "image_tags", "image_vectors", "label_vectors_in_use"])
def test_every_column_is_described(engine, view):
    """The tables of the document have the views' columns, no more and no fewer."""
    document = (DOCS / "reference/views.md").read_text()
    section = document.split(f"**`{view}`** has")[1].split("\n**`")[0].split("\n## ")[0]
    rows = re.findall(r"^\| (`.*?) \|", section, re.MULTILINE)
    with transaction(engine) as connection:
        columns = connection.execute(
            text("SELECT column_name FROM information_schema.columns WHERE table_name = :view"), {"view": view}
        ).scalars()
        assert sorted(re.findall(r"`(\w+)`", " ".join(rows))) == sorted(columns)
