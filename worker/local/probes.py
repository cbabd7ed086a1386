"""Proof that a server works: a write or a query that succeeded, not a port that answers."""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
import json
import socket
import time
from dataclasses import dataclass
from urllib.parse import urlsplit

from worker.errors import ServerError
from worker.local.child import NotReadyError
from worker.local.ports import LOOPBACK

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


@dataclass(frozen=True, kw_only=True, slots=True)
class SignedClient:
    """As much of an S3 client as it takes to create a bucket, so that this room needs no SDK."""

    port: int
    access_key_id: str
    secret_access_key: str
    region: str = "us-east-1"

    def create_bucket(self, bucket: str) -> None:
        """Create a bucket; one that exists is fine.

        Raises:
            NotReadyError: the store answers, but cannot write yet.
            OSError: nothing answers.
        """
        status, body = http_request(self.port, "PUT", f"/{bucket}", headers=self._sign("PUT", f"/{bucket}"))
        if b"BucketAlready" not in body:
            require(status, body, f"creating bucket {bucket}")

    def _sign(self, method: str, path: str) -> dict[str, str]:
        """Headers of a request without body and query, by AWS Signature Version 4.

        Source: https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html
        """
        now, digest = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime()), hashlib.sha256(b"").hexdigest()
        headers = {"host": f"{LOOPBACK}:{self.port}", "x-amz-content-sha256": digest, "x-amz-date": now}
        names, scope = ";".join(headers), f"{now[:8]}/{self.region}/s3/aws4_request"
        lines = "".join(f"{name}:{value}\n" for name, value in headers.items())
        canonical = f"{method}\n{path}\n\n{lines}\n{names}\n{digest}"
        to_sign = f"AWS4-HMAC-SHA256\n{now}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
        key = f"AWS4{self.secret_access_key}".encode()
        for part in scope.split("/"):
            key = hmac.digest(key, part.encode(), "sha256")
        signature = hmac.new(key, to_sign.encode(), "sha256").hexdigest()
        credential = f"Credential={self.access_key_id}/{scope}"
        authorization = f"AWS4-HMAC-SHA256 {credential}, SignedHeaders={names}, Signature={signature}"
        return headers | {"Authorization": authorization}


def resp(port: int, password: str, *commands: str) -> list[str]:
    """Send inline commands to a Redis or Valkey server after AUTH; the first line of each reply.

    Raises:
        OSError: nothing answers.
        NotReadyError: the server refuses one.
    """
    with socket.create_connection((LOOPBACK, port), timeout=_TIMEOUT) as connection:
        lines = [f"AUTH {password}", *commands]
        connection.sendall("".join(f"{line}\r\n" for line in lines).encode())
        with connection.makefile("rb") as replies:
            answers = [replies.readline().decode().strip() for _ in lines]
    for answer in answers:
        if not answer or answer.startswith("-"):
            raise NotReadyError(answer.lstrip("-") or "closed the connection")
    return answers[1:]


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
