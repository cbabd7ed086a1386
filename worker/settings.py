"""All settings, with the prefix ``ENRICH_``. The environment wins over ``.env``, which wins over these defaults."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from worker import preview_place, watched_buckets
from worker.errors import ConfigurationError
from worker.types import BY_HAND, DEFAULT_SET
from worker.watched_buckets import Watched

DOTENV = ".env"


class Settings(BaseSettings):
    """Every setting. ``docs/reference/generated/settings.md`` is generated from these descriptions."""

    model_config = SettingsConfigDict(
        env_prefix="ENRICH_", env_file=DOTENV, extra="ignore", frozen=True, env_ignore_empty=True
    )

    # -- the parts ---------------------------------------------------------------------------------------------------
    database_url: str = Field(
        "postgresql://enrich@127.0.0.1:8706/enrich",
        description="PostgreSQL with pgvector ≥ 0.8: holds the ledger and the catalog.",
    )
    broker_url: str = Field("redis://127.0.0.1:8705/0", description="Redis or Valkey: carries wake-ups, never data.")
    s3_endpoint_url: str | None = Field(None, description="Object store; unset means AWS's own endpoints.")
    s3_region: str = Field("us-east-1", description="Region used to sign requests.")
    s3_access_key_id: str | None = Field(None, description="Unset: boto3's usual chain (profile, role, environment).")
    s3_secret_access_key: SecretStr | None = Field(None, description="The secret of ENRICH_S3_ACCESS_KEY_ID.")
    s3_addressing_style: Literal["auto", "path", "virtual"] = Field(
        "auto", description="`path` for most self-hosted stores; `auto` picks path when an endpoint is set."
    )
    buckets: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="What to watch, comma-separated, each `bucket` or `bucket/prefix`: nothing else is listed, read or "
        "accepted from events. Empty: nothing, except the bucket of `enrich up`; `*` alone: every bucket that the "
        "credentials can read.",
    )
    s3_requester_pays: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Comma-separated names of watched requester-pays buckets: every request for them accepts the "
        "charges. `*` alone: all buckets. The store bills you for requests and transfer.",
    )
    user_metadata: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Comma-separated names of user metadata (`x-amz-meta-NAME`) that workers store with an image, to "
        "filter by; `*` alone: all, up to 8,192 characters per image. Images that are enriched already get theirs when "
        "they are read again.",
    )

    # -- previews ----------------------------------------------------------------------------------------------------
    previews: str | None = Field(
        None,
        description="Where workers keep previews (WebP, 256 and 512 pixels) of the images that they enrich: "
        "`s3://bucket/prefix`, which must not be watched, or `local`, a folder of this machine. Unset: previews are "
        "made when they are first asked for, and kept in that folder. See docs/how-to/previews.md.",
    )
    preview_cache_bytes: int = Field(
        1 << 30,
        ge=32 << 20,
        description="Most bytes of the folder for previews, `previews` in ENRICH_HOME: those not used for longest are "
        "removed. At least 32 MiB.",
    )
    original_url_seconds: int = Field(
        300,
        ge=1,
        le=604_800,
        description="For how long a presigned URL of an original is valid; the credentials' own end comes first.",
    )
    s3_public_endpoint_url: str | None = Field(
        None,
        description="Address of the object store as clients reach it, for presigned URLs; unset: "
        "ENRICH_S3_ENDPOINT_URL.",
    )

    # -- the API -----------------------------------------------------------------------------------------------------
    api_host: str = Field("127.0.0.1", description="Address the API listens on.")
    api_port: int = Field(8700, ge=1, le=65535, description="Port the API listens on.")
    pages: bool = Field(
        True,
        description="Whether the API serves the pages at `/`: search, review, taxonomies, map, operations.",
    )
    api_token: SecretStr | None = Field(
        None,
        description="The admin token: allows every request. Required, with at least 16 characters, unless the API "
        "listens on loopback only; generate one with `openssl rand -hex 32`.",
    )
    api_events_token: SecretStr | None = Field(
        None,
        description="A token for stores: allows sending notifications only. At least 16 characters, as above.",
    )
    api_read_token: SecretStr | None = Field(
        None,
        description="A token for services and people: allows reading and searching only. At least 16 characters, as "
        "above.",
    )
    api_review_token: SecretStr | None = Field(
        None,
        description="A token for people who review: allows reading, searching and deciding about tags. At least 16 "
        "characters, as above.",
    )
    reviewer: str | None = Field(
        None, description="Who decides, in commands that record people's decisions; else the name you are logged in as."
    )
    max_event_bytes: int = Field(
        4 << 20, ge=1024, description="Largest accepted notification, as an HTTP request or a queue message."
    )
    api_images_per_second: float = Field(
        20.0,
        gt=0,
        le=100_000,
        description="Uploaded images per second that requests may make one API process encode, on average; twice as "
        "many, and 32 at least, at once. Beyond it, requests are answered with 429. Set it to what the machine can "
        "encode beside its other work.",
    )
    filter_memory_bytes: int = Field(
        512 << 20,
        ge=0,
        description="Memory that the API may use to cache vectors for searches with filters: per image 72 bytes at 512 "
        "dimensions, plus one for each tag searched for; briefly twice as much. Loaded when such a search first needs "
        "it. With 0, or if the catalog needs more, the database alone searches, which can take seconds. See "
        "docs/explanation/scaling.md.",
    )
    sns_topics: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Comma-separated ARNs of SNS topics whose subscriptions are confirmed automatically. For others, "
        "`enrich rejected` shows the address to open.",
    )

    # -- the listener ------------------------------------------------------------------------------------------------
    sqs_queues: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Comma-separated URLs of the SQS queues that `enrich listen` receives notifications from, with the "
        "credentials of ENRICH_S3_ACCESS_KEY_ID or boto3's chain.",
    )
    sqs_endpoint_url: str | None = Field(
        None, description="Endpoint for requests to the queues, such as a VPC endpoint; unset: the hosts in their URLs."
    )
    sqs_visibility_seconds: int = Field(
        60,
        ge=3,
        le=43_200,
        description="How long a dead listener's messages stay hidden; a running one extends this as it works.",
    )
    sqs_wait_seconds: int = Field(
        20,
        ge=1,
        le=20,
        description="How long a request waits for messages (long poll); after SIGTERM its end is awaited.",
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
        "auto", description="`auto`: the fastest type on the device that does not change answers."
    )
    encoder_runtime: Literal["torch", "cuda-graphs", "torch-compile", "openvino"] = Field(
        "torch",
        description="What runs the image tower of the model; all produce the same vectors except for rounding. "
        "`openvino` (an extra, for CPUs) is faster. `cuda-graphs` (GPUs) records the tower at start-up for a few batch "
        "sizes, so that a batch is launched in one call; `torch-compile` (CPU or CUDA; needs a C++ compiler) compiles "
        "it at start-up, which takes minutes. See docs/reference/models.md.",
    )
    preprocessing: Literal["fast", "exact"] = Field(
        "fast",
        description="`fast`: JPEGs are decoded at 1/2, 1/4 or 1/8 of their size where the model sees no more detail, "
        "and resized with vector instructions; `exact`: decoded at full size and bit-identical to the model's own "
        "processor. Part of the embedding space: must be the same for all workers and APIs.",
    )
    encoder_batch: int = Field(32, ge=1, le=4096, description="Most images in one forward pass.")
    extra_models: int = Field(
        1,
        ge=0,
        description="Most models that a worker or an API keeps in memory besides the active one, for spaces that are "
        "being filled. 0: workers leave filling to `enrich space fill`.",
    )
    torch_threads: int = Field(
        0, ge=0, description="CPU threads of the encoder, divided among its thread shards; 0 is one per core."
    )

    # -- tagging -----------------------------------------------------------------------------------------------------
    taxonomies: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Comma-separated names of shipped taxonomies, YAML files and directories. A new catalog starts "
        "with them; later, `enrich taxonomy apply` puts changes into force. Empty: all shipped ones.",
    )
    taxonomy_set: str = Field(
        DEFAULT_SET,
        pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$",
        max_length=64,
        description="The set that the taxonomies of ENRICH_TAXONOMIES belong to: lower-case letters, digits and single "
        "hyphens. `enrich taxonomy apply` changes and removes taxonomies of its own set only, so several sources of "
        "files can share a catalog.",
    )

    # -- limits on one image -----------------------------------------------------------------------------------------
    max_bytes: int = Field(256 << 20, ge=1, description="Larger objects are quarantined unread.")
    max_pixels: int = Field(250_000_000, ge=1, description="Checked in the header, before any pixel is decoded.")
    max_side: int = Field(65_500, ge=1, description="Longest side in pixels, checked in the header.")
    max_decode_seconds: float = Field(
        4.0,
        ge=0.5,
        description="CPU time that decoding one image may take; above 64 MiB the limit grows with the file's size.",
    )

    # -- the worker --------------------------------------------------------------------------------------------------
    processes: int = Field(
        1,
        ge=1,
        le=256,
        description="Processes of one `enrich worker`, for a GPU that outruns one interpreter. Each loads the model; "
        "cores are divided among them, and their metrics are on ENRICH_METRICS_PORT and the ports after it.",
    )
    concurrency: int = Field(
        4, ge=1, description="Batches in flight in one worker process: fetched, decoded, encoded, written."
    )
    claim_batch: int = Field(32, ge=1, le=1000, description="Most images claimed at once, as one batch.")
    fetch_threads: int = Field(16, ge=1, description="Concurrent GETs per worker process.")
    decode_threads: int = Field(
        0, ge=0, description="Threads that decode and resize, for all ENRICH_PROCESSES together; 0 is one per core."
    )
    lease_seconds: float = Field(
        60.0, gt=0, description="A claim whose lease is not renewed for this long goes to another worker."
    )
    max_attempts: int = Field(
        5,
        ge=1,
        description="Attempts at one version of an image before it is quarantined; worker deaths do not count.",
    )
    retry_base_seconds: float = Field(2.0, gt=0, description="First retry delay; doubles each time, with jitter.")
    retry_max_seconds: float = Field(900.0, gt=0, description="Longest retry delay.")
    sweep_seconds: float = Field(5.0, gt=0, description="How often the scheduler wakes workers for due work.")
    reconcile_seconds: float = Field(
        3600.0,
        ge=0,
        description="How often the scheduler lists the watched buckets to find what no event announced; 0: never.",
    )
    reconcile_pages_per_second: float = Field(
        10.0, gt=0, description="Most pages of 1,000 keys that the scheduler lists per second of one watched bucket."
    )
    missing_bucket_seconds: float = Field(
        86_400.0,
        ge=0,
        description="How long a bucket must be missing from the store before its images leave the catalog. A minute is "
        "enough if the same store still has another known bucket. 0: never, except by `enrich bucket drop`. See "
        "docs/explanation/completeness.md.",
    )
    map: Literal["nightly", "off"] = Field(
        "nightly",
        description="`nightly`: between 1 and 5 o'clock by its own clock, the scheduler draws a 2-D map of the images "
        "if there is none, or if it has worn out, and else places new images on it; in a process of its own with the "
        "lowest priority. `off`: only `enrich map draw` and `POST /v1/maps` do.",
    )
    feed_retention_days: float = Field(
        30.0,
        ge=0,
        description="Changes older than this are deleted from the feed; a reader that is further behind starts over. "
        "0: never.",
    )
    drain_seconds: float = Field(
        20.0,
        gt=0,
        description="How long batches in progress may take to finish after SIGTERM; then they are given back.",
    )
    quarantine_breaker_ratio: float = Field(
        0.5,
        ge=0,
        le=1,
        description="If more than this share of the newest 200 images was refused, nothing more is quarantined until "
        "images that were enriched before have been retried; 1: never. See docs/explanation/completeness.md.",
    )
    store_timeout: float = Field(30.0, gt=0, description="Seconds without a byte after which a GET is given up.")

    metrics_port: int = Field(
        0,
        ge=0,
        le=65535,
        description="Port for /metrics of worker, scheduler and listener; 0: none. The API has its own /metrics.",
    )
    metrics_host: str = Field("127.0.0.1", description="Address for the port above. The page needs no token.")

    # -- this process ------------------------------------------------------------------------------------------------
    home: Path = Field(Path(".enrich"), description="Where embedded servers keep data, logs and credentials.")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        "INFO", description="Least severe level that is logged."
    )
    log_json: bool = Field(False, description="Log one JSON object per line instead of text.")

    @field_validator(
        "buckets", "s3_requester_pays", "user_metadata", "sns_topics", "sqs_queues", "taxonomies", mode="before"
    )
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("buckets")
    @classmethod
    def _name_buckets(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return watched_buckets.parse(value)

    @field_validator("previews")
    @classmethod
    def _keep_previews_apart(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is not None:
            preview_place.parse(value, Watched(info.data.get("buckets", ())))
        return value

    @field_validator("taxonomy_set")
    @classmethod
    def _name_a_set_of_files(cls, value: str) -> str:
        if value == BY_HAND:
            raise ValueError(f"{BY_HAND} is the set of what `enrich taxonomy add` puts into force; choose another name")
        return value

    @field_validator("s3_requester_pays")
    @classmethod
    def _pay_for_buckets(cls, value: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        return watched_buckets.parse_whole(value, Watched(info.data.get("buckets", ())))

    @field_validator("user_metadata")
    @classmethod
    def _lower(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(name.lower().removeprefix("x-amz-meta-") for name in value)

    @field_validator("database_url")
    @classmethod
    def _postgres_only(cls, value: str) -> str:
        if not value.startswith(("postgresql://", "postgres://", "postgresql+psycopg2://")):
            message = f"must start with postgresql://, not {value.split(':', 1)[0]!r}; only PostgreSQL is supported"
            raise ValueError(message)
        return value

    @property
    def watched(self) -> Watched:
        """What ``ENRICH_BUCKETS`` allows to list and read."""
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
