"""What a broken-into container of ours would try."""

from __future__ import annotations

import base64
import json
import re
import subprocess
from typing import Any
from urllib.parse import urlsplit

from tests.containers.system import System, s3_client

_OUTSIDE = """
import socket
found = []
try:
    socket.create_connection(("10.0.2.3", 53), timeout=5).close()
    found.append("address")
except OSError:
    pass
try:
    socket.getaddrinfo({name!r}, 80)
    found.append("name")
except OSError:
    pass
print(*found)
"""

_WALK = """
import concurrent.futures, socket, sys
address = socket.gethostbyname({host!r})
def is_open(port):
    with socket.socket() as probe:
        probe.settimeout(5)
        return probe.connect_ex((address, port)) == 0
with concurrent.futures.ThreadPoolExecutor(64) as pool:
    print([port for port, found in zip(range(1, 65536), pool.map(is_open, range(1, 65536))) if found])
"""


def outside() -> str:
    """Code that prints what is reached outside: the resolver of the machine's way out, and the name of its archive."""
    listed = ["apt-get", "indextargets", "--format", "$(REPO_URI)"]
    archives = subprocess.run(listed, capture_output=True, text=True, check=True).stdout.split()
    return _OUTSIDE.format(name=urlsplit(archives[0]).hostname)


def reaches_outside(system: System, service: str) -> str:
    """The same, in a container made for it like one of a service."""
    run = ["run", "--rm", "--no-deps", "-T", "--entrypoint", "python", service, "-c", outside()]
    return system.compose(*run).strip().splitlines()[-1]


def open_ports(system: System, service: str, host: str) -> list[int]:
    """Every TCP port that a service's container can connect to on another."""
    return list(json.loads(system.python(service, _WALK.format(host=host))))


def make_an_admin(system: System, service: str, access_key: str, secret_key: str) -> None:
    """From a service's network, ask the store's IAM over gRPC for an identity that may do everything."""
    credential = _field(1, access_key.encode()) + _field(2, secret_key.encode())
    identity = _field(1, b"intruder") + _field(2, credential) + _field(3, b"Admin")
    message = _field(1, identity)
    body = base64.b64encode(b"\0" + len(message).to_bytes(4, "big") + message).decode()
    url = f"http://{_address(system, service)}:18333/messaging_pb.SeaweedS3IamCache/PutIdentity"
    curl = (
        f"echo {body} | base64 -d | curl -sS --max-time 20 --http2-prior-knowledge -H 'content-type: application/grpc' "
        f"-H 'te: trailers' --data-binary @- -D - -o /dev/null {url}"
    )
    pid = system.first_process(service)
    said = system.machine.run("nsenter", f"--target={pid}", "--net", "sh", "-c", curl)
    assert "grpc-status" in said.lower(), said  # it was asked, whatever it said


def _address(system: System, service: str) -> str:
    return system.python(service, "import socket; print(socket.gethostbyname('seaweedfs'))")


def _field(number: int, value: bytes) -> bytes:
    """A field of a protocol buffer, of less than 128 bytes."""
    return bytes([number << 3 | 2, len(value)]) + value


def s3_of(access_key: str, secret_key: str) -> Any:
    """A client of the bundled store with a key of one's own."""
    return s3_client(access_key, secret_key)


def counter(page: str, name: str) -> float:
    """A metric's value; 0 where it is not there yet."""
    found = re.search(rf"^{re.escape(name)} (\S+)$", page, flags=re.MULTILINE)
    return float(found[1]) if found else 0.0
