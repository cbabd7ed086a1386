"""The stores that the contract is checked on: the fake, and a SeaweedFS server of our own."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import boto3
import pytest

from tests.memory_store import MemoryStore
from worker.errors import EnrichError
from worker.objects import ObjectStore, S3Store
from worker.types import ObjectRef

KEY_ID, SECRET = "contract", "contract-secret"
STRANGER_ID, STRANGER_SECRET = "stranger", "stranger-secret"
PATIENCE = 90.0  # seconds for the server to start


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A store under test."""

    store: ObjectStore
    bucket: str  # fresh and empty
    enable_versioning: Callable[[str], None]

    def ref(self, key: str) -> ObjectRef:
        return ObjectRef(bucket=self.bucket, key=key)

    def put(self, key: str, data: bytes, content_type: str = "image/jpeg") -> ObjectRef:
        self.store.put(self.ref(key), data, content_type)
        return self.ref(key)


@pytest.fixture(scope="session")
def seaweedfs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The S3 endpoint of a SeaweedFS server on free ports of the loopback interface, ready to store."""
    folder = tmp_path_factory.mktemp("seaweedfs")
    ports = free_ports(8)
    with (folder / "weed.log").open("wb") as log:
        process = subprocess.Popen(command(folder, ports), cwd=folder, stdout=log, stderr=log)
    endpoint = f"http://127.0.0.1:{ports[6]}"
    try:
        wait_until_it_stores(endpoint, process, folder / "weed.log")
        yield endpoint
    finally:
        process.kill()  # its data is worthless now, and an orderly shutdown takes it 15 seconds
        process.wait()


@pytest.fixture(scope="session")
def s3_store(seaweedfs: str) -> Iterator[S3Store]:
    store = S3Store(endpoint_url=seaweedfs, access_key_id=KEY_ID, secret_access_key=SECRET)
    yield store
    store.close()


@pytest.fixture(params=["memory", pytest.param("seaweedfs", marks=pytest.mark.servers)])
def subject(request: pytest.FixtureRequest) -> Subject:
    """Each store in turn, with a fresh bucket."""
    bucket = f"contract-{uuid.uuid4().hex[:12]}"
    if request.param == "memory":
        memory = MemoryStore(bucket)
        return Subject(store=memory, bucket=bucket, enable_versioning=memory.enable_versioning)
    store = request.getfixturevalue("s3_store")
    endpoint = request.getfixturevalue("seaweedfs")
    store.create_bucket(bucket)
    return Subject(store=store, bucket=bucket, enable_versioning=lambda name: enable_versioning(endpoint, name))


def enable_versioning(endpoint: str, bucket: str) -> None:
    client = boto3.session.Session().client(
        "s3", endpoint_url=endpoint, aws_access_key_id=KEY_ID, aws_secret_access_key=SECRET, region_name="us-east-1"
    )
    client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    client.close()


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on, all different: none is released before all are found."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def command(folder: Path, ports: list[int]) -> list[str]:
    identities = [
        {
            "name": "owner",
            "credentials": [{"accessKey": KEY_ID, "secretKey": SECRET}],
            "actions": ["Admin", "Read", "Write", "List"],
        },
        {
            "name": "stranger",
            "credentials": [{"accessKey": STRANGER_ID, "secretKey": STRANGER_SECRET}],
            "actions": ["Read:elsewhere"],
        },
    ]
    (folder / "s3.json").write_text(json.dumps({"identities": identities}))
    (folder / "data").mkdir()
    names = [f"{part}.port{kind}" for part in ("master", "volume", "filer", "s3") for kind in ("", ".grpc")]
    return [
        str(Path(sys.executable).with_name("weed")),
        "server",
        f"-dir={folder / 'data'}",
        "-ip=127.0.0.1",
        "-ip.bind=127.0.0.1",
        "-s3",
        f"-s3.config={folder / 's3.json'}",
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",
        "-master.volumeSizeLimitMB=64",
        "-volume.max=1000",
        "-volume.preStopSeconds=0",
        *(f"-{name}={port}" for name, port in zip(names, ports, strict=True)),
    ]


def wait_until_it_stores(endpoint: str, process: subprocess.Popen[bytes], log: Path) -> None:
    """SeaweedFS answers seconds before it can store: ready means that a write succeeded."""
    deadline = time.monotonic() + PATIENCE
    store = S3Store(endpoint_url=endpoint, access_key_id=KEY_ID, secret_access_key=SECRET, timeout=5)
    probe = ObjectRef(bucket="readiness", key="probe")
    try:
        while not writes(store, probe):
            if process.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"SeaweedFS does not start:\n{log.read_text()[-3000:]}")
            time.sleep(0.2)
    finally:
        store.close()


def writes(store: S3Store, probe: ObjectRef) -> bool:
    try:
        store.create_bucket(probe.bucket)
        store.put(probe, b"probe")
    except EnrichError:
        return False
    return True
