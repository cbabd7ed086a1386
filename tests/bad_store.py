"""An object store over real HTTP that answers for chosen objects as stores, gateways and proxies were seen to."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, quote, unquote, urlsplit

#: How an object can be refused: status, the store's code, and headers beside them. Without a code, a proxy's page.
REFUSALS: dict[str, tuple[int, str, dict[str, str]]] = {
    "customer-key": (400, "InvalidRequest", {}),
    "customer-key-seaweedfs": (400, "InvalidArgument", {}),
    "key-disabled": (400, "KMS.DisabledException", {}),
    "bad-name": (400, "InvalidURI", {}),
    "denied": (403, "AccessDenied", {}),
    "archived": (403, "InvalidObjectState", {}),
    "expired": (400, "ExpiredToken", {}),
    "wrong-key": (403, "InvalidAccessKeyId", {}),
    "other-region": (301, "PermanentRedirect", {"x-amz-bucket-region": "eu-west-3"}),
    "moving": (307, "TemporaryRedirect", {"Location": "http://127.0.0.1:1/"}),
    "busy": (503, "SlowDown", {}),
    "throttled": (429, "TooManyRequests", {}),
    "broken": (500, "InternalError", {}),
    "proxy-404": (404, "", {}),
    "proxy-400": (400, "", {}),
}
_LIST = '<?xml version="1.0"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">{}</ListBucketResult>'
_MODIFIED = "2025-01-01T10:00:00.000Z"


class BadStore:
    """What it holds, and how it behaves. Change both while it serves."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.buckets: dict[str, dict[str, bytes]] = {}
        self.refused: dict[str, dict[str, str]] = {}  # bucket → key → one of REFUSALS
        self.listing = "right"  # or: no-token, same-page, same-page-new-token, redirect
        self.lists_buckets = True
        self.requests: list[str] = []  # method and path of each, in order

    def put(self, bucket: str, key: str, data: bytes, refusal: str | None = None) -> None:
        """Hold an object, and refuse it if it is to be."""
        self.buckets.setdefault(bucket, {})[key] = data
        if refusal is not None:
            self.refused.setdefault(bucket, {})[key] = refusal


@contextmanager
def bad_store() -> Iterator[BadStore]:
    """Serve on a free port of this machine until the block ends."""

    class Handler(_Handler):
        """With a store of its own."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        Handler.store = store = BadStore(f"http://127.0.0.1:{server.server_address[1]}")
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield store
        finally:
            server.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    store: BadStore

    def log_message(self, *_: object) -> None:
        """Nothing on stderr."""

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path, query = urlsplit(self.path).path[1:], parse_qs(urlsplit(self.path).query, keep_blank_values=True)
        bucket, _, key = path.partition("/")
        self.store.requests.append(f"{self.command} /{path}")
        if self.store.listing == "redirect":
            self._say(301, b"", {"Location": f"https://127.0.0.1:1{self.path}"})
        elif not bucket:
            self._buckets()
        elif bucket not in self.store.buckets:
            self._refuse(404, "NoSuchBucket", {})
        elif not key:
            self._list(sorted(self.store.buckets[bucket]), query)
        else:
            self._object(bucket, unquote(key))

    def _buckets(self) -> None:
        if not self.store.lists_buckets:
            self._refuse(403, "AccessDenied", {})
            return
        names = "".join(f"<Bucket><Name>{name}</Name></Bucket>" for name in self.store.buckets)
        self._say(200, f"<ListAllMyBucketsResult><Buckets>{names}</Buckets></ListAllMyBucketsResult>".encode(), {})

    def _object(self, bucket: str, key: str) -> None:
        data, refusal = self.store.buckets[bucket].get(key), self.store.refused.get(bucket, {}).get(key)
        if refusal is not None:
            self._refuse(*REFUSALS[refusal])
        elif data is None:
            self._refuse(404, "NoSuchKey", {})
        else:
            self._say(200, data, {"ETag": f'"{_etag(data)}"', "Content-Type": "image/jpeg"})

    def _list(self, keys: list[str], query: dict[str, list[str]]) -> None:
        mode, token = self.store.listing, query.get("continuation-token", [""])[0]
        start = bytes.fromhex(token).decode() if token and mode == "right" else query.get("start-after", [""])[0]
        rest = [key for key in keys if key > start and key.startswith(query.get("prefix", [""])[0])]
        page, is_more = rest[:2], len(rest) > 2  # small pages, so that there are some
        following = f"{page[-1]}{len(self.store.requests) if mode == 'same-page-new-token' else ''}" if page else ""
        token = "" if mode == "no-token" or not is_more else following.encode().hex()
        self._say(200, _LIST.format(
            "<EncodingType>url</EncodingType>"
            f"<IsTruncated>{'true' if is_more else 'false'}</IsTruncated>"
            + (f"<NextContinuationToken>{token}</NextContinuationToken>" if token else "")
            + "".join(
                f"<Contents><Key>{quote(key)}</Key><LastModified>{_MODIFIED}</LastModified><Size>1</Size></Contents>"
                for key in page
            )
        ).encode(), {})  # fmt: skip

    def _refuse(self, status: int, code: str, headers: dict[str, str]) -> None:
        body = f"<Error><Code>{code}</Code><Message>m</Message></Error>" if code else "<html>a proxy's page</html>"
        self._say(status, body.encode(), headers)

    def _say(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


def _etag(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()
