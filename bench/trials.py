"""A taxonomy tried at every word, through the API, beside classifying the same images by POST /v1/classify."""

from __future__ import annotations

import http.client
import json
import statistics
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

from bench import retag
from bench.site import Site
from bench.table import Found, Note, Row
from tests.integration.api.live import serve
from worker import bootstrap, db, settings, tagging
from worker.api import Tokens
from worker.bootstrap import reading
from worker.pipeline.reading.classify import MOST_IMAGES, Classifier
from worker.pipeline.reading.taxonomy_trials import MOST_SAMPLE, SAMPLE, TaxonomyTrials
from worker.pipeline.spaces import golden_check
from worker.pipeline.spaces.model_loading import ensure_space
from worker.pipeline.taxonomies import changes, lifecycle
from worker.pipeline.taxonomies.requests import TaxonomyChanges

_LABELS = ("a cat", "a dog", "a bicycle on a street", "a plate of food", "a page of text", "a person in a kitchen")
_ROUNDS = 9


def rows(site: Site, *, images: int) -> Iterator[Found]:
    """Each request has one text that is new; the taxonomy of its name is in force, with tags of all images."""
    with site.database() as url:
        loaded = settings.load(database_url=url, model=str(site.model.resolve()))
        model = bootstrap.encoder(loaded)
        engine = db.connect(url, name="bench", pool_size=8)
        space = ensure_space(engine, model, bootstrap.source(loaded))
        golden_check.require(engine, space, model)
        retag.fill(engine, images, space=space)
        search = bootstrap.search(loaded, engine)
        own = TaxonomyChanges(engine, search.model)
        files = tagging.parse_files({"bench": _taxonomy("")})
        lifecycle.apply(engine, changes.declared([each.taxonomy for each in files], own="default"), own.build)
        examples = reading.examples(loaded, engine, search)
        services: Any = SimpleNamespace(
            tokens=Tokens(), engine=engine, examples=examples, classifier=Classifier(engine, examples),
            trials=TaxonomyTrials(engine, examples), images_per_second=1e5, max_event_bytes=1 << 20,
        )  # fmt: skip
        with serve(services) as api:
            tried, largest, classified = _in_turns(
                lambda word: _try(api.port, word, SAMPLE),
                lambda word: _try(api.port, word, MOST_SAMPLE),
                lambda word: _classify(api.port, word, SAMPLE),
            )
        engine.dispose()
    yield Row(
        what=f"a taxonomy of {len(_LABELS)} labels on {SAMPLE:,} of {images:,} images, one text new",
        unit="s",
        ours=tried,
        other="the same number of images by POST /v1/classify",
        theirs=classified,
        less_is_better=True,
    )
    yield Note(sentence=f"POST /v1/taxonomy-trials on {MOST_SAMPLE:,} of {images:,} images: {largest:.2f} s")


def _taxonomy(word: str) -> str:
    labels = "".join(f"  l{number}: ['{text}']\n" for number, text in enumerate(_LABELS))
    return f"name: bench\nlabels:\n{labels}  typed: ['a {word} tree']\n"


def _try(port: int, word: str, sample: int) -> None:
    _post(port, "taxonomy-trials", {"taxonomy": _taxonomy(word), "sample": sample, "labels": ["typed"]})


def _classify(port: int, word: str, images: int) -> None:
    for first in range(1, images + 1, MOST_IMAGES):
        names = [{"image": f"bench/{n:09}.jpg"} for n in range(first, min(first + MOST_IMAGES, images + 1))]
        _post(port, "classify", {"images": names, "definitions": [_taxonomy(word)]})


def _in_turns(*ways: Callable[[str], object]) -> list[float]:
    """The median of each, in turns, so that all meet the same load; the first round loads model and samples."""
    spent: list[list[float]] = [[] for _ in ways]
    for number in range(_ROUNDS + 1):
        for turn, ask in enumerate(ways):
            started = time.perf_counter()
            ask(f"word{number}-{turn}")
            if number:
                spent[turn].append(time.perf_counter() - started)
    return [statistics.median(each) for each in spent]


def _post(port: int, path: str, body: object) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    connection.request("POST", f"/v1/{path}", json.dumps(body).encode(), {"Content-Type": "application/json"})
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    if answer.status != http.HTTPStatus.OK:
        raise RuntimeError(f"{path}: {answer.status} {content[:300]!r}")
