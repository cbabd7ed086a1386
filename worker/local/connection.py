"""How to reach the running system: environment variables for children, shell exports and JSON for others."""

from __future__ import annotations

import json
import shlex
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from worker.errors import ServerError
from worker.local.home import Home, HomeLock, is_alive, write_private


@dataclass(frozen=True, kw_only=True, slots=True)
class ConnectionInfo:
    """Addresses and keys of a running system."""

    pid: int  # of the supervisor
    home: str
    api_url: str
    api_port: int
    api_token: str
    api_events_token: str  # sends events, and does nothing else
    database_url: str
    broker_url: str
    s3_endpoint_url: str
    s3_region: str
    s3_access_key_id: str | None  # None: boto3's own chain, for a store that is not ours
    s3_secret_access_key: str | None
    s3_addressing_style: str
    bucket: str
    buckets: tuple[str, ...]  # watched, as in ENRICH_BUCKETS

    def environment(self) -> dict[str, str]:
        """``ENRICH_*`` variables for the product's own processes."""
        values = {
            "ENRICH_HOME": self.home,
            "ENRICH_BUCKETS": ",".join(self.buckets) or None,
            "ENRICH_API_PORT": str(self.api_port),
            "ENRICH_API_TOKEN": self.api_token,
            "ENRICH_API_EVENTS_TOKEN": self.api_events_token,
            "ENRICH_DATABASE_URL": self.database_url,
            "ENRICH_BROKER_URL": self.broker_url,
            "ENRICH_S3_ENDPOINT_URL": self.s3_endpoint_url,
            "ENRICH_S3_REGION": self.s3_region,
            "ENRICH_S3_ADDRESSING_STYLE": self.s3_addressing_style,
            "ENRICH_S3_ACCESS_KEY_ID": self.s3_access_key_id,
            "ENRICH_S3_SECRET_ACCESS_KEY": self.s3_secret_access_key,
        }
        return {name: value for name, value in values.items() if value is not None}

    def client_environment(self) -> dict[str, str]:
        """The same and ``AWS_*`` variables, which any S3 client reads."""
        values = {
            "AWS_ENDPOINT_URL_S3": self.s3_endpoint_url,
            "AWS_DEFAULT_REGION": self.s3_region,
            "AWS_ACCESS_KEY_ID": self.s3_access_key_id,
            "AWS_SECRET_ACCESS_KEY": self.s3_secret_access_key,
            # botocore waits a minute for the answer after an empty upload: docs/reference/local-system.md.
            "BOTO_EXPERIMENTAL__NO_EMPTY_CONTINUE": "true",
        }
        known = {name: value for name, value in values.items() if value is not None}
        return {**self.environment(), "ENRICH_API_URL": self.api_url, **known}

    def shell(self) -> str:
        """Exports for ``eval "$(enrich env)"`` in any POSIX shell, one per line."""
        lines = (f"export {name}={shlex.quote(value)}" for name, value in self.client_environment().items())
        return "\n".join(lines) + "\n"

    def json(self) -> str:
        """One JSON object, its keys the field names of this class."""
        return json.dumps(asdict(self), indent=2) + "\n"


def save_connection_info(home: Home, info: ConnectionInfo) -> None:
    """Store it for ``read_connection_info``, readable only by the owner."""
    write_private(_path(home), info.json())


def forget_connection_info(home: Home) -> None:
    """Remove it, because nothing is running any more."""
    _path(home).unlink(missing_ok=True)


def read_connection_info(path: Path) -> ConnectionInfo:
    """The system that runs in a home.

    Raises:
        ServerError: nothing does.
    """
    home = Home.at(path)
    nothing = ServerError(f"nothing is running under {home.root}; start it with `enrich up`")
    try:
        known = json.loads(_path(home).read_text())
        values = {field.name: known[field.name] for field in fields(ConnectionInfo)}
        info = ConnectionInfo(**{**values, "buckets": tuple(map(str, values["buckets"]))})
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise nothing from error
    if not (is_alive(info.pid) and HomeLock(home).is_held()):  # the number of a dead process may be another's by now
        raise nothing
    return info


def _path(home: Home) -> Path:
    return home.run / "env.json"
