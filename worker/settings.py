"""All settings, one prefix: ``ENRICH_``. The environment wins over ``.env``, which wins over these defaults."""

from __future__ import annotations

import difflib
import os
import re
import sys
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from worker import watched_buckets
from worker.errors import ConfigurationError
from worker.watched_buckets import Watched

_DOTENV = ".env"


class Settings(BaseSettings):
    """Every knob of the product. ``docs/reference/generated/settings.md`` is generated from these descriptions."""

    model_config = SettingsConfigDict(
        env_prefix="ENRICH_", env_file=_DOTENV, extra="ignore", frozen=True, env_ignore_empty=True
    )

    # -- the parts ---------------------------------------------------------------------------------------------------
    database_url: str = Field(
        "postgresql://enrich@127.0.0.1:8706/enrich",
        description="PostgreSQL with pgvector ≥ 0.8: the ledger and catalog.",
    )
    broker_url: str = Field("redis://127.0.0.1:8705/0", description="Redis or Valkey: carries wake-ups, never data.")
    s3_endpoint_url: str | None = Field(None, description="Object store; unset means AWS's own endpoints.")
    s3_region: str = Field("us-east-1", description="Region used to sign requests.")
    s3_access_key_id: str | None = Field(None, description="Unset: boto3's usual chain (profile, role, environment).")
    s3_secret_access_key: SecretStr | None = Field(None, description="Goes with ENRICH_S3_ACCESS_KEY_ID.")
    s3_addressing_style: Literal["auto", "path", "virtual"] = Field(
        "auto", description="`path` for most self-hosted stores; `auto` picks path when an endpoint is set."
    )
    buckets: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Watched, comma-separated, each `bucket` or `bucket/prefix`: nothing else is listed, read or taken "
        "from events. Empty: nothing, but for the bucket of `enrich up`; `*` alone: every bucket that the credentials "
        "can read.",
    )
    s3_requester_pays: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Comma-separated names of watched buckets whose owner has requesters pay: every request for them "
        "says that you do. `*` alone: for all that is read. The store bills you for requests and transfer.",
    )

    # -- the API -----------------------------------------------------------------------------------------------------
    api_host: str = Field("127.0.0.1", description="Address the API listens on.")
    api_port: int = Field(8700, ge=1, le=65535, description="Port the API listens on.")
    api_token: SecretStr | None = Field(
        None,
        description="The admin token: good for every request. Required, with at least 16 characters, unless the API "
        "listens on loopback only; make one with `openssl rand -hex 32`.",
    )
    api_events_token: SecretStr | None = Field(
        None,
        description="A token that may send notifications and nothing else: for stores. At least 16 characters, as "
        "above.",
    )
    api_read_token: SecretStr | None = Field(
        None,
        description="A token that may read and search and change nothing: for services and people. At least 16 "
        "characters, as above.",
    )
    max_event_bytes: int = Field(
        4 << 20, ge=1024, description="Largest accepted notification, by HTTP request or message of a queue."
    )
    filter_memory_bytes: int = Field(
        512 << 20,
        ge=0,
        description="Memory that the API may keep for searches with filters: 72 bytes an image with 512 dimensions, "
        "and one for each tag searched for; twice as much for a moment. Read when such a search first needs it. "
        "Larger catalogs, and 0: the database alone searches, which can take seconds. See docs/explanation/scaling.md.",
    )
    sns_topics: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Comma-separated ARNs of SNS topics whose subscriptions are confirmed when SNS asks. Of others, "
        "`enrich rejected` shows the address to open.",
    )

    # -- the listener ------------------------------------------------------------------------------------------------
    sqs_queues: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Comma-separated URLs of the SQS queues that `enrich listen` receives notifications from; with the "
        "credentials of ENRICH_S3_ACCESS_KEY_ID, or boto3's chain.",
    )
    sqs_endpoint_url: str | None = Field(
        None, description="Where requests to the queues go, such as a VPC endpoint; unset: the hosts of their URLs."
    )
    sqs_visibility_seconds: int = Field(
        60,
        ge=3,
        le=43_200,
        description="How long a dead listener's messages stay hidden; a living one keeps hidden what it has in hand.",
    )
    sqs_wait_seconds: int = Field(
        20, ge=1, le=20, description="How long a request waits for messages (long poll); SIGTERM waits for its end."
    )

    # -- the model ---------------------------------------------------------------------------------------------------
    model: str = Field(
        "starter",
        description="`starter` (built in, offline, for trying out), a directory, or a hub id such as "
        "`laion/CLIP-ViT-B-32-laion2B-s34B-b79K`; see docs/reference/models.md.",
    )
    model_revision: str | None = Field(None, description="Hub revision; pin a commit in production.")
    device: str = Field("auto", description="`auto`, `cpu`, `cuda`, `cuda:1`, `mps`.")
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        "auto", description="`auto`: what the device is fast at without changing answers."
    )
    encoder_runtime: Literal["torch", "cuda-graphs", "torch-compile", "openvino"] = Field(
        "torch",
        description="What runs the image half of the model; all give the same vectors but for roundings. `openvino` "
        "(an extra, for CPUs) is faster. `cuda-graphs` (GPUs) records it at the start for a few sizes of batch, so "
        "that a batch is launched in one call; `torch-compile` (CPU or CUDA; needs a C++ compiler) compiles it before, "
        "which takes minutes. See docs/reference/models.md.",
    )
    preprocessing: Literal["fast", "exact"] = Field(
        "fast",
        description="`fast`: JPEGs are decoded at 1/2, 1/4 or 1/8 where the model sees no more, and resized with "
        "vector instructions; `exact`: at full size, by the model's own processor to the last bit. Part of the "
        "embedding space: the same for all workers and APIs.",
    )
    encoder_batch: int = Field(32, ge=1, le=4096, description="Most images in one forward pass.")
    extra_models: int = Field(
        1,
        ge=0,
        description="Most models that a worker or an API keeps in memory beside the active one, for spaces that are "
        "being filled. 0: workers leave filling to `enrich space fill`.",
    )
    torch_threads: int = Field(
        0, ge=0, description="CPU threads of the encoder, shared out among its lanes; 0 is one per core."
    )

    # -- tagging -----------------------------------------------------------------------------------------------------
    taxonomies: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Comma-separated names of shipped taxonomies, YAML files and directories: what is wished, and what "
        "a new catalog begins with; `enrich taxonomy apply` puts it into force. Empty: all shipped ones.",
    )

    # -- limits on one image -----------------------------------------------------------------------------------------
    max_bytes: int = Field(256 << 20, ge=1, description="Larger objects are quarantined unread.")
    max_pixels: int = Field(250_000_000, ge=1, description="Checked in the header, before any pixel is decoded.")
    max_side: int = Field(65_500, ge=1, description="Longest side in pixels, checked in the header.")
    max_decode_seconds: float = Field(
        4.0,
        ge=0.5,
        description="Processor time that decoding one image may take; a file over 64 MiB may take as much longer as "
        "it is longer.",
    )

    # -- the worker --------------------------------------------------------------------------------------------------
    processes: int = Field(
        1,
        ge=1,
        le=256,
        description="Processes of one `enrich worker`, for a GPU that outruns one interpreter: each has a model of its "
        "own; cores are divided among them, and their metrics are on ENRICH_METRICS_PORT and the ports behind it.",
    )
    concurrency: int = Field(
        4, ge=1, description="Batches in flight in one worker process: fetched, decoded, encoded, written."
    )
    claim_batch: int = Field(32, ge=1, le=1000, description="Most images claimed at once.")
    fetch_threads: int = Field(16, ge=1, description="Concurrent GETs per worker process.")
    decode_threads: int = Field(
        0, ge=0, description="Threads that decode and resize, in all ENRICH_PROCESSES together; 0 is one per core."
    )
    lease_seconds: float = Field(
        60.0, gt=0, description="A claim not renewed for this long is given to another worker."
    )
    max_attempts: int = Field(
        5,
        ge=1,
        description="Tries of one version of an image before it is quarantined; deaths of workers are no tries.",
    )
    retry_base_seconds: float = Field(2.0, gt=0, description="First retry delay; doubles each time, with jitter.")
    retry_max_seconds: float = Field(900.0, gt=0, description="Longest retry delay.")
    sweep_seconds: float = Field(5.0, gt=0, description="How often the scheduler rings for work nobody was woken for.")
    reconcile_seconds: float = Field(
        3600.0,
        ge=0,
        description="How often the scheduler lists the watched buckets for what no event announced; 0: never.",
    )
    reconcile_pages_per_second: float = Field(
        10.0, gt=0, description="Most pages of 1,000 keys a second that the scheduler lists of one watched bucket."
    )
    missing_bucket_seconds: float = Field(
        86_400.0,
        ge=0,
        description="How long the store must have had no such bucket until its images leave the catalog. A minute is "
        "enough where the same store still has another bucket that it had before. 0: never, but by `enrich bucket "
        "drop`. See docs/explanation/completeness.md.",
    )
    feed_retention_days: float = Field(
        30.0,
        ge=0,
        description="Changes older than this are deleted from the feed; a reader that was away for longer starts over. "
        "0: never.",
    )
    drain_seconds: float = Field(
        20.0,
        gt=0,
        description="After SIGTERM, how long batches in hand may take to finish; then they are given back.",
    )
    quarantine_breaker_ratio: float = Field(
        0.5,
        ge=0,
        le=1,
        description="Of the newest 200 images, the share refused above which nothing more is quarantined until images "
        "that were enriched before have been tried again; 1 is never. See docs/explanation/completeness.md.",
    )
    store_timeout: float = Field(30.0, gt=0, description="Seconds without a byte before a GET is given up.")

    metrics_port: int = Field(
        0,
        ge=0,
        le=65535,
        description="Port for /metrics of worker, scheduler and listener; 0 is none. The API has its own /metrics.",
    )
    metrics_host: str = Field("127.0.0.1", description="Address for the port above. The page has no token.")

    # -- this process ------------------------------------------------------------------------------------------------
    home: Path = Field(Path(".enrich"), description="Where embedded servers keep data, logs and credentials.")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="Least severe record written.")
    log_json: bool = Field(False, description="One JSON object a line instead of text.")

    @field_validator("buckets", "s3_requester_pays", "sns_topics", "sqs_queues", "taxonomies", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("buckets")
    @classmethod
    def _name_buckets(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return watched_buckets.parse(value)

    @field_validator("s3_requester_pays")
    @classmethod
    def _pay_for_buckets(cls, value: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        return watched_buckets.parse_whole(value, Watched(info.data.get("buckets", ())))

    @field_validator("database_url")
    @classmethod
    def _postgres_only(cls, value: str) -> str:
        if not value.startswith(("postgresql://", "postgres://", "postgresql+psycopg2://")):
            message = f"must start with postgresql://, not {value.split(':', 1)[0]!r}; only PostgreSQL is supported"
            raise ValueError(message)
        return value

    @property
    def watched(self) -> Watched:
        """What may be listed and read, by ``ENRICH_BUCKETS``."""
        return Watched(self.buckets)


def load(**overrides: object) -> Settings:
    """Read the environment once.

    Raises:
        ConfigurationError: names the variable, what is wrong with it, and what is allowed.
    """
    try:
        return Settings(**overrides)  # type: ignore[arg-type]
    except ValidationError as error:
        lines = [f"  ENRICH_{'_'.join(map(str, e['loc'])).upper()}: {e['msg']}" for e in error.errors()]
        raise ConfigurationError("invalid settings:\n" + "\n".join(lines)) from error


#: Ours, but no settings: what `enrich env` prints for people, and build arguments of the image.
_NO_SETTINGS = frozenset({"ENRICH_API_URL", "ENRICH_BAKE_MODEL", "ENRICH_BAKE_REVISION"})
#: What Kubernetes and Docker's links make of services that are called enrich-something.
_SERVICE_LINK = re.compile(r"_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_\d+_(TCP|UDP)(_\w+)?)$")


def misspelt() -> list[str]:
    """Variables, of the environment and of ``.env``, that look like settings and are none: a sentence about each.

    They are no error: a deployment that goes back to an older release may have settings of the newer one.
    """
    known = {f"ENRICH_{name.upper()}" for name in Settings.model_fields}
    given = {**dict.fromkeys(os.environ, ""), **dict.fromkeys(_dotenv(), f" in {_DOTENV}")}
    return [
        _about(name, where, known)
        for name, where in sorted(given.items())
        if name.upper().startswith("ENRICH")
        and name.upper() not in known | _NO_SETTINGS
        and not _SERVICE_LINK.search(name.upper())
    ]


def _dotenv() -> list[str]:
    from dotenv import dotenv_values

    return list(dotenv_values(_DOTENV))


def _about(name: str, where: str, known: set[str]) -> str:
    near = difflib.get_close_matches(name.upper(), known, n=1, cutoff=0.75)
    meant = f"did you mean {near[0]}?" if near else "docs/reference/generated/settings.md lists those there are"
    return f"{name}{where} is no setting, and is ignored; {meant}"


def reference() -> str:
    """``docs/reference/generated/settings.md``: every setting with its default and meaning."""
    rows = [
        f"| `ENRICH_{name.upper()}` | {_default(field.default)} | {field.description} |"
        for name, field in Settings.model_fields.items()
    ]
    return (
        "# Settings\n\nRead from the environment, or from `.env` in the working directory. A variable that begins with "
        "`ENRICH` and is not listed here is ignored, with a warning that names the setting it resembles. Generated by "
        "`make docs`.\n\n| variable | default | meaning |\n|---|---|---|\n" + "\n".join(rows) + "\n"
    )


def _default(value: object) -> str:
    if value is None or value == ():
        return "–"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


if __name__ == "__main__":
    sys.stdout.write(reference())
