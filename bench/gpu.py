"""What a GPU makes of it: the encoder against the card's peak, end to end by processes, and where time goes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from bench import corpus, crews
from bench.child import MissingPeerError, child
from bench.plots import Plot
from bench.site import Site
from bench.table import Found, Note, Row

#: Images/s and share of the card's bf16 peak that were aimed at, on one H100 with 16 cores.
_GOAL_RATE, _GOAL_SHARE, _GOAL_DEVICE = 6_000.0, 50.0, "H100"
_BATCH = "128"  # of claims and of the encoder, end to end
_RUNTIMES = ("torch", "cuda-graphs", "torch-compile")


def rows(
    site: Site, folder: Path, *, batches: Sequence[int], processes: Sequence[int], objects: int, seconds: float,
    without: bool,
) -> Iterator[Found]:  # fmt: skip
    """All of it; on a machine without one only if ``without``, to see that it runs."""
    if not (count := _devices()) and not without:
        yield Note(sentence="gpu: no CUDA device: left out")
        return
    models = {"ViT-B/32": site.model}
    if count:
        models["ViT-L/14"] = corpus.clip_l14(folder / "clip-vit-l14")
    device = "cpu"
    for name, model in models.items():
        for runtime in _RUNTIMES if count else _RUNTIMES[:1]:
            try:
                found = _stage(site, model, runtime, seconds, batches)
            except MissingPeerError as missing:
                yield Note(sentence=f"{name} in {runtime}: {missing}")
                continue
            device = found["device"]
            yield from _of_stage(name, runtime, found)
    yield from _end_to_end(site, device, processes, objects)


def _devices() -> int:
    import torch

    return torch.cuda.device_count()


def _stage(site: Site, model: Path, runtime: str, seconds: float, batches: Sequence[int]) -> dict[str, Any]:
    environment = site.environment(site.servers.database_url, ENRICH_MODEL=str(model.resolve()))
    arguments = (runtime, str(seconds), *map(str, batches))
    with child(environment, "bench.stages", *arguments) as running:
        return running.turn()


def _of_stage(name: str, runtime: str, found: dict[str, Any]) -> Iterator[Found]:
    device, best = found["device"], found["best"]
    rate = found["rates"][str(best)]
    what = f"{name} on {device}, {runtime}, batch {best}"
    teraflops = rate * found["gflop"] / 1e3
    if found["peak"] is None:
        yield Note(sentence=f"{what}: {rate:,.0f} images/s, {teraflops:.3g} TFLOP/s; the device's peak is unknown")
    else:
        yield Row(
            what=f"{what}: {rate:,.0f} images/s",
            unit="% of the bf16 peak",
            ours=100 * teraflops / found["peak"],
            other=f"{found['peak']:.0f} TFLOP/s, half of it wanted",
            theirs=_GOAL_SHARE,
            goal=1 if name == "ViT-L/14" else None,
        )
    if found["shares"]:
        where = ", ".join(f"{100 * share:.1f} % {part}" for part, share in found["shares"].items())
        yield Note(sentence=f"{what}: of the device's time {where}.")
    yield Plot(
        name=f"gpu-{name.lower().replace('/', '-')}-{runtime}",
        title=f"{name} in {runtime} against the size of a batch ({device})",
        x="images in a forward pass",
        y="images/s",
        lines={"encoder": [(float(size), each) for size, each in found["rates"].items()]},
    )


def _end_to_end(site: Site, device: str, processes: Sequence[int], objects: int) -> Iterator[Found]:
    bucket = site.copies("640 px", objects)
    rates = []
    for each in processes:
        found = crews.rate(
            site, bucket, objects=objects, processes=each, rounds=2,
            ENRICH_ENCODER_BATCH=_BATCH, ENRICH_CLAIM_BATCH=_BATCH,
        )  # fmt: skip
        rates.append((float(each), found))
    count, best = max(rates, key=lambda measured: measured[1])
    yield Row(
        what=f"640 px, S3 in, rows out, {count:.0f} {'process' if count == 1 else 'processes'} on {device}",
        unit="images/s",
        ours=best,
        other="wanted on one H100 with 16 cores",
        theirs=_GOAL_RATE,
        goal=1 if _GOAL_DEVICE in device else None,
    )
    yield Plot(
        name="processes",
        title=f"Throughput against processes of one worker (640 px, {device})",
        x="processes",
        y="images/s",
        lines={"together": rates},
    )
