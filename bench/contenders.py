"""One contender, in a process of its own, so that its memory is its own: S3 in, committed rows out.

    python -m bench.contenders NAME BUCKET FILES        (ENRICH_* variables say where; a line on stdin is a turn)

Prints one JSON object for each turn: images/s and memory.
"""

from __future__ import annotations

import io
import os
import sys
import threading
import time
from collections.abc import Callable, Generator
from importlib.util import find_spec
from typing import Any, TypeAlias

from PIL import Image
from sqlalchemy import text

from bench import child, free, gil, peers
from bench.site import bucket_client
from worker import ledger, process, settings
from worker.db import transaction
from worker.errors import FatalDeviceError
from worker.pipeline.enrichment.model_switch import ModelSwitch
from worker.types import Hint, Lane, ObjectRef

#: The peer decides one question of two labels; we always decide all shipped taxonomies.
_LABELS = ["indoor", "outdoor"]
_TABLES = """
    CREATE TABLE IF NOT EXISTS peer_tags (bucket text, key text, label text, score real, PRIMARY KEY (bucket, key));
    CREATE TABLE IF NOT EXISTS peer_vectors (bucket text, key text, vector halfvec, PRIMARY KEY (bucket, key))
"""
_TAG = """INSERT INTO peer_tags VALUES (%s, %s, %s, %s)
          ON CONFLICT (bucket, key) DO UPDATE SET label = excluded.label, score = excluded.score"""
_VECTORS = """INSERT INTO peer_vectors VALUES %s
              ON CONFLICT (bucket, key) DO UPDATE SET vector = excluded.vector"""
#: Each turn is one pass over the files; what comes before it does not count.
Turns: TypeAlias = Generator[Callable[[], None], None, None]


def ours(bucket: str, keys: list[str]) -> Turns:
    """The worker's own parts, threads and transactions, as ``enrich worker`` runs them."""
    chosen = settings.load()
    with process.worker(chosen, lambda: None, _end) as serving:
        engine = serving.enricher.engine

        def turn() -> None:
            hints = [Hint(ref=ObjectRef(bucket=bucket, key=key), source="bench", event="put") for key in keys]
            with transaction(engine) as connection:
                ledger.hints.hint(connection, hints, lane=Lane.LIVE)
            threads = [threading.Thread(target=_drain, args=(serving,)) for _ in range(chosen.concurrency)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()

        while True:
            with transaction(engine) as connection:
                connection.execute(text("DELETE FROM images"))  # else a known etag would spare the work
            yield turn


def ours_with_openvino(bucket: str, keys: list[str]) -> Turns:
    """The same with the other runtime, which ``ENRICH_ENCODER_RUNTIME`` names."""
    if not find_spec("openvino"):
        raise child.MissingPeerError(
            "OpenVINO is not installed (the extra `openvino`), so ours was not measured with it"
        )
    yield from ours(bucket, keys)


def ours_with_a_free_encoder(bucket: str, keys: list[str]) -> Turns:
    """The same without the forward pass: what one process can do at most, whatever device it has."""
    free.take_over()
    yield from ours(bucket, keys)


def _drain(serving: ModelSwitch) -> None:
    while serving.run_once() is not None:
        pass


def _end(error: FatalDeviceError) -> None:
    raise error


def pipeline_defaults(bucket: str, keys: list[str]) -> Turns:
    """transformers' zero-shot pipeline as its documentation calls it: one image at a time, float32, a row at a time."""
    answer = _pipeline(dtype=None)
    store, connection = bucket_client(dict(os.environ)), _peer_database()

    def turn() -> None:
        for key in keys:
            best = answer(_opened(store, bucket, key), candidate_labels=_LABELS)[0]
            with connection.cursor() as cursor:
                cursor.execute(_TAG, (bucket, key, best["label"], best["score"]))
            connection.commit()

    while True:
        yield turn


def pipeline_at_its_best(bucket: str, keys: list[str]) -> Turns:
    """The same pipeline, batched by 16 in bfloat16 from a generator, and rows written by the batch."""
    import torch
    from psycopg2.extras import execute_batch

    answer = _pipeline(dtype=torch.bfloat16)
    store, connection = bucket_client(dict(os.environ)), _peer_database()

    def turn() -> None:
        pictures = (_opened(store, bucket, key) for key in keys)
        rows = []
        for key, answers in zip(keys, answer(pictures, candidate_labels=_LABELS, batch_size=16), strict=True):
            rows.append((bucket, key, answers[0]["label"], answers[0]["score"]))
        with connection.cursor() as cursor:
            execute_batch(cursor, _TAG, rows)
        connection.commit()

    while True:
        yield turn


def open_clip(bucket: str, keys: list[str]) -> Turns:
    """As clip-retrieval does it: a DataLoader whose workers fetch and decode, open_clip in bfloat16, no tags."""
    from psycopg2.extras import execute_values

    loader, encode = peers.open_clip(bucket, keys, batch=32, opened=_opened)
    connection = _peer_database()

    def turn() -> None:
        for found, pixels in loader:
            rows = [(bucket, key, str(vector)) for key, vector in zip(found, encode(pixels), strict=True)]
            with connection.cursor() as cursor:
                execute_values(cursor, _VECTORS, rows)
            connection.commit()

    while True:
        yield turn


def _pipeline(dtype: Any) -> Any:
    from transformers import pipeline
    from transformers.utils import logging

    quiet: Any = logging
    quiet.set_verbosity_error()
    quiet.disable_progress_bar()
    model = os.environ["ENRICH_MODEL"]
    return pipeline("zero-shot-image-classification", model=model, **({"dtype": dtype} if dtype else {}))


def _opened(store: Any, bucket: str, key: str) -> Image.Image:
    return Image.open(io.BytesIO(store.get_object(Bucket=bucket, Key=key)["Body"].read()))


def _peer_database() -> Any:
    import psycopg2

    connection = psycopg2.connect(os.environ["ENRICH_DATABASE_URL"])
    with connection.cursor() as cursor:
        cursor.execute(_TABLES)
    connection.commit()
    return connection


CONTENDERS = {
    "ours": ours,
    "ours-openvino": ours_with_openvino,
    "ours-free": ours_with_a_free_encoder,
    "pipeline-defaults": pipeline_defaults,
    "pipeline-best": pipeline_at_its_best,
    "open-clip": open_clip,
}


def main() -> None:
    name, bucket, files = sys.argv[1], sys.argv[2], int(sys.argv[3])
    keys = [f"{number:05}.jpg" for number in range(files)]
    turns = CONTENDERS[name](bucket, keys)
    try:
        next(turns)()  # caches fill, kernels are chosen
    except child.MissingPeerError as missing:
        child.give_up(str(missing))
        return
    idle = child.memory()["now"]
    child.forget_peak()

    def measure() -> dict[str, float]:
        turn = next(turns)
        with gil.sampling() as lock:
            started, spent = time.perf_counter(), time.process_time()
            turn()
            spent, took = time.process_time() - spent, time.perf_counter() - started
        found = {"rate": files / took, "idle": idle, "peak": child.memory()["peak"], "cpu": spent / files}
        return found if lock.seconds is None else found | {"held": lock.seconds / files}

    child.serve(measure)
    turns.close()


if __name__ == "__main__":
    main()
