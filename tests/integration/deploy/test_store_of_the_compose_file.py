"""The bundled store exactly as docker-compose.yml configures it, run from the wheel: flags, keys and webhook."""

from __future__ import annotations

import json
import os
import queue
import socket
import subprocess
import sysconfig
import threading
import time
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import urllib3

from tests.unit.deploy import compose

WEED = Path(sysconfig.get_path("scripts")) / "weed"
SERVICE = compose.parse(compose.BASE.read_text())["services"]["seaweedfs"]
IDENTITIES = compose.parse(compose.BASE.read_text())["configs"]["s3-identities"]["content"]
SECRETS = {
    name: f"{name.lower().replace('_', '')}0"
    for name in compose.variables(compose.BASE.read_text())
    if "BIND" not in name
}


def free_ports(count: int) -> list[int]:
    """Free ports whose gRPC twin, 10,000 above, is free as well; all below those that Linux gives to clients."""
    found: list[int] = []
    for port in (21_000 + (os.getpid() * 8 + each) % 1_700 for each in range(1_700)):
        if _is_free(port) and _is_free(port + 10_000):
            found.append(port)
        if len(found) == count:
            return found
    raise AssertionError("no free ports")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


@contextmanager
def receiver() -> Iterator[SimpleNamespace]:
    """An HTTP server that remembers what is posted to it."""
    posts: queue.Queue[tuple[str, str | None, Any]] = queue.Queue()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            posts.put((self.path, self.headers.get("authorization"), json.loads(body)))
            self.send_response(202)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield SimpleNamespace(port=server.server_port, posts=posts)
    server.shutdown()
    server.server_close()
    thread.join()


@contextmanager
def store(folder: Path, webhook_port: int) -> Iterator[SimpleNamespace]:
    """The service's command, environment and mounted files, on other ports and below a temporary directory."""
    master, volume, filer, s3 = free_ports(4)
    for name in ("data", "etc", "home"):
        (folder / name).mkdir()
    (folder / "etc/s3.json").write_text(compose.interpolate(IDENTITIES, SECRETS))
    toml = (compose.ROOT / "deploy/seaweedfs/notification.toml").read_text()
    (folder / "etc/notification.toml").write_text(toml.replace("http://api:8700", f"http://127.0.0.1:{webhook_port}"))
    # What the image's entry point puts before the command, then the command, then what only this test needs.
    arguments = [
        "server", f"-dir={folder}/data", "-volume.max=0", "-master.volumePreallocate", "-master.volumeSizeLimitMB=1024",
        *[each.replace("/etc/seaweedfs", f"{folder}/etc") for each in SERVICE["command"][1:]],
        f"-master.port={master}", f"-volume.port={volume}", f"-filer.port={filer}", f"-s3.port={s3}",
        "-s3.ip.bind=127.0.0.1", f"-filer.localSocket={folder}/f.sock", f"-s3.localSocket={folder}/s.sock",
        "-volume.minFreeSpace=16MiB",
    ]  # fmt: skip
    environment = {name: str(value) for name, value in compose.interpolate(SERVICE["environment"], SECRETS).items()}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [WEED, "-logtostderr=true", f"-config_dir={folder}/etc", *arguments],
            env={"HOME": f"{folder}/home", "PATH": os.environ["PATH"], **environment},
            stdout=log,
            stderr=log,
            cwd=folder,
        )
    try:
        yield SimpleNamespace(master=master, volume=volume, filer=filer, s3=s3, folder=folder)
    finally:
        process.kill()  # its own shutdown takes ten seconds, and nothing of it is kept
        process.wait()


def healthy(running: SimpleNamespace) -> bool:
    """The service's health check, with another client than the image's wget."""
    http = urllib3.PoolManager(retries=False, timeout=2)
    try:
        assigned = http.request("GET", f"http://127.0.0.1:{running.master}/dir/assign")
        alive = http.request("GET", f"http://127.0.0.1:{running.s3}/healthz")
    except urllib3.exceptions.HTTPError:
        return False
    return '"fid"' in assigned.data.decode() and alive.status == 200


@pytest.fixture(scope="module")
def bundled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimpleNamespace]:
    """The store, once its health check passes, and what it posted."""
    with receiver() as hook, store(tmp_path_factory.mktemp("seaweedfs"), hook.port) as running:
        deadline = time.monotonic() + 60
        while not healthy(running):
            assert time.monotonic() < deadline, (running.folder / "log").read_text()[-2000:]
            time.sleep(0.1)
        running.posts = hook.posts
        yield running


def client(running: SimpleNamespace, who: str) -> Any:
    """An S3 client with a key of the compose file; it does not repeat what failed."""
    import boto3
    from botocore.config import Config

    return boto3.client(
        "s3",
        endpoint_url=f"http://127.0.0.1:{running.s3}",
        region_name="us-east-1",
        aws_access_key_id=SECRETS[f"{who}_ACCESS_KEY_ID"],
        aws_secret_access_key=SECRETS[f"{who}_SECRET_ACCESS_KEY"],
        config=Config(retries={"max_attempts": 0}, s3={"addressing_style": "path"}),
    )


def post_of(running: SimpleNamespace, key: str) -> tuple[str, str | None, Any]:
    """The first post about a path."""
    while True:
        post: tuple[str, str | None, Any] = running.posts.get(timeout=20)
        if post[2]["key"] == key:
            return post


def test_an_upload_right_after_it_is_healthy_is_posted_to_the_api(bundled):
    """Healthy means it stores; the webhook has the API's path and bearer token, and the key as it was written."""
    owner = client(bundled, "S3_OWNER")
    owner.create_bucket(Bucket="photos")
    owner.put_object(Bucket="photos", Key="a b/ü+%.jpg", Body=b"x")
    path, authorization, body = post_of(bundled, "/buckets/photos/a b/ü+%.jpg")
    assert "/v1/events/seaweedfs" == path
    assert f"Bearer {SECRETS['ENRICH_API_EVENTS_TOKEN']}" == authorization
    assert "create" == body["event_type"]


def test_the_worker_may_read_and_list_and_nothing_else(bundled):
    """Its key gets objects, lists buckets and their contents; writing, deleting and creating are denied."""
    from botocore.exceptions import ClientError

    client(bundled, "S3_OWNER").put_object(Bucket="readable", Key="k", Body=b"abc")
    worker = client(bundled, "ENRICH_S3")
    assert b"abc" == worker.get_object(Bucket="readable", Key="k")["Body"].read()
    assert ["k"] == [each["Key"] for each in worker.list_objects_v2(Bucket="readable")["Contents"]]
    refused: tuple[Callable[[], object], ...] = (
        lambda: worker.put_object(Bucket="readable", Key="n", Body=b"x"),
        lambda: worker.delete_object(Bucket="readable", Key="k"),
        lambda: worker.create_bucket(Bucket="mine"),
    )
    for denied in refused:
        with pytest.raises(ClientError, match="AccessDenied"):
            denied()


def test_strangers_are_refused(bundled):
    """Without a key nothing is read, listed or written."""
    client(bundled, "S3_OWNER").put_object(Bucket="closed", Key="k", Body=b"abc")
    http = urllib3.PoolManager(retries=False)
    base = f"http://127.0.0.1:{bundled.s3}"
    assert 403 == http.request("GET", f"{base}/closed/k").status
    assert 403 == http.request("GET", f"{base}/closed").status
    assert 403 == http.request("PUT", f"{base}/closed/x", body=b"x").status


def test_it_does_not_take_disk_it_does_not_use(bundled):
    """Preallocation, the image's default, is undone: a few small objects are a few small files."""
    used = sum(file.stat().st_blocks * 512 for file in (bundled.folder / "data").rglob("*") if file.is_file())
    assert used < 64 << 20


def test_its_webhook_file_holds_no_secret():
    """The token comes by environment; what is mounted may be read by anybody."""
    webhook = tomllib.loads((compose.ROOT / "deploy/seaweedfs/notification.toml").read_text())["notification"][
        "webhook"
    ]
    assert "bearer_token" not in webhook
    assert webhook["enabled"] is True
