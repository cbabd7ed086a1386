"""Readiness probes: a write or a query that succeeds, not just a port that answers."""

from __future__ import annotations

import base64
import hmac
import http.client
import json
import socket
import time
from urllib.parse import urlsplit

from worker.errors import ServerError
from worker.local.ports import LOOPBACK
from worker.supervision.child import NotReadyError

_TIMEOUT = 5.0


def http_request(
    port: int, method: str, path: str, *, headers: dict[str, str] | None = None, body: bytes = b""
) -> tuple[int, bytes]:
    """One request to a loopback port, past any proxy: status and body.

    Raises:
        OSError: nothing answers.
        NotReadyError: what answers is not HTTP.
    """
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=_TIMEOUT)
    try:
        connection.request(method, path, body=body or None, headers=headers or {})
        response = connection.getresponse()
        return response.status, response.read()
    except http.client.HTTPException as error:
        raise NotReadyError(f"port {port}: {error!r}") from error
    finally:
        connection.close()


def require(status: int, body: bytes, what: str) -> None:
    """Raise NotReadyError unless the status is 2xx."""
    if not 200 <= status < 300:  # noqa: PLR2004
        raise NotReadyError(f"{what}: HTTP {status} {body[:200].decode(errors='replace')}")


def bearer(key: str, *, lifetime: float = 60.0) -> dict[str, str]:
    """Header with a JSON Web Token (RFC 7519, HS256) that says nothing but when it expires."""
    head = _b64(json.dumps({"alg": "HS256", "typ": "JWT"}).encode())
    claims = _b64(json.dumps({"exp": int(time.time() + lifetime)}).encode())
    signature = _b64(hmac.digest(key.encode(), f"{head}.{claims}".encode(), "sha256"))
    return {"Authorization": f"Bearer {head}.{claims}.{signature}"}


def _b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def create_bucket(port: int, bucket: str, *, access_key_id: str, secret_access_key: str) -> None:
    """Create a bucket in a store on a loopback port; one that exists is fine.

    Raises:
        NotReadyError: the store answers, but cannot write yet.
        OSError: nothing answers.
    """
    from botocore.auth import S3SigV4Auth  # a client of boto3's takes half a second to make
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    request = AWSRequest("PUT", f"http://{LOOPBACK}:{port}/{bucket}")
    S3SigV4Auth(Credentials(access_key_id, secret_access_key), "s3", "us-east-1").add_auth(request)
    status, body = http_request(port, "PUT", f"/{bucket}", headers=dict(request.headers))
    if b"BucketAlready" not in body:
        require(status, body, f"creating bucket {bucket}")


def set_key(url: str) -> None:
    """Write a key to a Redis or Valkey server.

    Raises:
        NotReadyError: nothing answers, or the server refuses it.
    """
    import redis
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    once = Retry(NoBackoff(), 0)
    try:
        with redis.Redis.from_url(url, socket_timeout=_TIMEOUT, socket_connect_timeout=_TIMEOUT, retry=once) as client:
            client.set("enrich:ready", 1, ex=60)
    except redis.RedisError as error:
        raise NotReadyError(str(error)) from error


def require_reachable(url: str, *, variable: str, default_port: int) -> None:
    """Check that something listens where a URL points.

    Raises:
        ServerError: nothing does; the message names the variable the URL came from, and never its password.
    """
    parts = urlsplit(url)
    host, port = parts.hostname or LOOPBACK, parts.port or default_port
    try:
        socket.create_connection((host, port), timeout=_TIMEOUT).close()
    except OSError as error:
        raise ServerError(
            f"{variable} points to {host}:{port}, which cannot be reached ({error}); "
            f"start that server, correct the URL, or unset {variable} to use the embedded one"
        ) from error
