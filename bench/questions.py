"""What an uploaded image costs through /v1/embeddings and /v1/classify, beside the bare encoder in the same process."""

from __future__ import annotations

import base64
import http.client
import json
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

from bench import corpus
from bench.site import Site
from bench.table import Found, Row
from tests.integration.api.live import serve
from worker import bootstrap, db, settings
from worker.api import Tokens
from worker.bootstrap import reading
from worker.encoder import Encoder
from worker.pipeline.pictures.decode_picture import decode_picture
from worker.pipeline.reading.classify import Classifier
from worker.pipeline.spaces import golden_check
from worker.pipeline.spaces.model_loading import ensure_space

_FILES = 16  # of a request
_LABELS = tuple(f"a photo of thing {number}" for number in range(20))


def rows(site: Site, *, rounds: int) -> Iterator[Found]:
    """Files of 640 px, 16 in a request, in turns with the same files decoded and encoded without any API."""
    files = list(corpus.jpegs("640 px", _FILES))
    encoded = [base64.b64encode(each).decode() for each in files]
    with site.database() as url:
        loaded = settings.load(database_url=url, model=str(site.model.resolve()))
        model = bootstrap.encoder(loaded)
        engine = db.connect(url, name="bench", pool_size=8)
        golden_check.require(engine, ensure_space(engine, model, bootstrap.source(loaded)), model)
        examples = reading.examples(loaded, engine, bootstrap.search(loaded, engine))
        services: Any = SimpleNamespace(
            tokens=Tokens(), engine=engine, examples=examples, classifier=Classifier(engine, examples),
            images_per_second=1e5, max_event_bytes=1 << 20,
        )  # fmt: skip
        with serve(services) as api, ThreadPoolExecutor(bootstrap.decode_threads(loaded)) as pool:
            turns: dict[str, Callable[[], object]] = {
                "bare": lambda: _bare(model, bootstrap.limits(loaded), files, pool),
                "embeddings": lambda: _post(
                    api.port, "embeddings", {"input": [{"data": each} for each in encoded], "encoding_format": "base64"}
                ),
                "classify": lambda: _post(
                    api.port, "classify", {"images": [{"data": each} for each in encoded], "labels": _LABELS}
                ),
            }
            spent = _in_turns(turns, max(3, 3 * rounds))
        engine.dispose()
    bare = statistics.median(spent["bare"])
    for path in ("embeddings", "classify"):
        yield Row(
            what=f"640 px uploads, {_FILES} a request, POST /v1/{path}",
            unit="ms an image",
            ours=1e3 * statistics.median(spent[path]) / _FILES,
            other="decoded and encoded in the same process, without an API",
            theirs=1e3 * bare / _FILES,
            less_is_better=True,
        )


def _in_turns(turns: dict[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Seconds of each, in turns, so that all meet the same load; the first round loads models and is not counted."""
    spent: dict[str, list[float]] = {name: [] for name in turns}
    for number in range(rounds + 1):
        for name, turn in turns.items():
            started = time.perf_counter()
            turn()
            if number:
                spent[name].append(time.perf_counter() - started)
    return spent


def _bare(model: Encoder, limits: Any, files: Sequence[bytes], pool: ThreadPoolExecutor) -> None:
    pixels = pool.map(lambda data: decode_picture(data, encoder=model, limits=limits)[1], files)
    model.encode_images(list(pixels))


def _post(port: int, path: str, body: object) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    connection.request("POST", f"/v1/{path}", json.dumps(body).encode(), {"Content-Type": "application/json"})
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    if answer.status != http.HTTPStatus.OK:
        raise RuntimeError(f"{path}: {answer.status} {content[:300]!r}")
