"""One contender, in a process of its own, so that its memory is its own: S3 in, committed rows out.

    python -m bench.contenders NAME BUCKET FILES ROUNDS        (ENRICH_* variables say where; called by bench)

Prints one JSON object: images/s of each round, and the process's peak memory.
"""

from __future__ import annotations

import io
import json
import os
import resource
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from PIL import Image
from sqlalchemy import text

from bench.site import bucket_client
from worker import bootstrap, inbox, settings
from worker.db import transaction
from worker.types import Hint, Lane, ObjectRef

#: The peer decides one question of two labels; we always decide all shipped taxonomies.
_LABELS = ["indoor", "outdoor"]
_TABLE = (
    "CREATE TABLE IF NOT EXISTS peer_tags (bucket text, key text, label text, score real, PRIMARY KEY (bucket, key))"
)
_INSERT = """INSERT INTO peer_tags VALUES (%s, %s, %s, %s)
             ON CONFLICT (bucket, key) DO UPDATE SET label = excluded.label, score = excluded.score"""
Round = Callable[[], int]  # one pass over the files; how many images


def ours(bucket: str, files: int) -> Iterator[Round]:
    """The worker's own parts, threads and transactions, as ``enrich worker`` runs them."""
    chosen = settings.load()
    with bootstrap.worker(chosen, lambda: None) as runtime:

        def once() -> int:
            refs = (ObjectRef(bucket=bucket, key=f"{number:05}.jpg") for number in range(files))
            with transaction(runtime.enricher.engine) as connection:
                connection.execute(text("DELETE FROM images"))  # else a known etag would spare the work
                inbox.hint(connection, [Hint(ref=ref, source="bench", event="put") for ref in refs], lane=Lane.LIVE)
            threads = [threading.Thread(target=_drain, args=(runtime,)) for _ in range(chosen.concurrency)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            return files

        yield once


def _drain(runtime: bootstrap.Worker) -> None:
    while runtime.enricher.run_once() is not None:
        pass


def pipeline_defaults(bucket: str, files: int) -> Iterator[Round]:
    """transformers' zero-shot pipeline as its documentation calls it: one image at a time, float32, a row at a time."""
    answer = _pipeline(dtype=None)
    store, connection = bucket_client(dict(os.environ)), _peer_database()

    def once() -> int:
        for number in range(files):
            key = f"{number:05}.jpg"
            best = answer(_opened(store, bucket, key), candidate_labels=_LABELS)[0]
            with connection.cursor() as cursor:
                cursor.execute(_INSERT, (bucket, key, best["label"], best["score"]))
            connection.commit()
        return files

    yield once


def pipeline_at_its_best(bucket: str, files: int) -> Iterator[Round]:
    """The same pipeline, batched by 16 in bfloat16 from a generator, and rows written by the batch."""
    import torch
    from psycopg2.extras import execute_batch

    answer = _pipeline(dtype=torch.bfloat16)
    store, connection = bucket_client(dict(os.environ)), _peer_database()

    def once() -> int:
        keys = [f"{number:05}.jpg" for number in range(files)]
        pictures = (_opened(store, bucket, key) for key in keys)
        rows = []
        for key, answers in zip(keys, answer(pictures, candidate_labels=_LABELS, batch_size=16), strict=True):
            rows.append((bucket, key, answers[0]["label"], answers[0]["score"]))
        with connection.cursor() as cursor:
            execute_batch(cursor, _INSERT, rows)
        connection.commit()
        return files

    yield once


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
        cursor.execute(_TABLE)
    connection.commit()
    return connection


CONTENDERS = {
    "ours": ours,
    "pipeline, defaults": pipeline_defaults,
    "pipeline, at its best": pipeline_at_its_best,
}


def main() -> None:
    name, bucket, files, rounds = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    contender = CONTENDERS[name](bucket, files)
    once = next(contender)
    once()  # caches fill, kernels are chosen
    rates = []
    for _ in range(rounds):
        started = time.perf_counter()
        count = once()
        rates.append(count / (time.perf_counter() - started))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    Path("/dev/stdout").write_text(json.dumps({"rates": rates, "peak_bytes": peak}) + "\n")
    next(contender, None)


if __name__ == "__main__":
    main()
