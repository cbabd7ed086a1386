"""Every socket that ``enrich up`` listens on, attacked as a stranger on the same machine, or a web page, can."""

from __future__ import annotations

import http.client
import re
import socket
import ssl
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import psycopg2
import pytest

from tests.acceptance.commands import RunningSystem, enrich, up
from tests.pictures import picture
from worker.local.certificate import self_signed
from worker.local.ports import PortPlan, free_port_base

KEYS = ("secret-holiday.jpg", "secret-wedding.jpg")
#: The strange Host is what a page of another site sends after it has rebound its name to 127.0.0.1.
STRANGERS: tuple[dict[str, str], ...] = (
    {},
    {"Host": "evil.example", "Origin": "http://evil.example", "Referer": "http://evil.example/"},
    {"Authorization": "Bearer guessed"},
    {"Authorization": "AWS4-HMAC-SHA256 Credential=ENRICH/20260101/us-east-1/s3/aws4_request, Signature=0"},
)
#: What each program could be asked for: its own administration, the objects, and files.
WRITES = (
    "/col/delete?collection=photos",
    "/vol/grow?count=1",
    "/vol/vacuum",
    "/dir/assign",
    "/submit",
    "/photos",
    f"/photos/{KEYS[0]}",
    "/photos/new.jpg",
    "/evil-bucket",
    "/buckets/photos?recursive=true",
    f"/buckets/photos/{KEYS[0]}",
    "/ready/x?collection=photos",
    "/.tus/buckets/photos/new.jpg",
    "/1,01637037d6",
    "/?Action=CreateUser&UserName=evil",
    "/?Action=CreateAccessKey&UserName=enrich",
    "/?Action=AssumeRoleWithWebIdentity",
    "/v1/events/s3",
    "/v1/events/seaweedfs",
    f"/v1/quarantine/photos/{KEYS[0]}",
)
READS = (
    "/",
    "/status",
    "/metrics",
    "/healthz",
    "/cluster/status",
    "/dir/status",
    "/dir/lookup?collection=photos&volumeId=1",
    "/vol/status",
    "/stats/counter",
    "/ui/index.html",
    "/debug/pprof/",
    "/1,01637037d6",
    "/photos?list-type=2",
    f"/photos/{KEYS[0]}",
    "/buckets/photos/?pretty=y&limit=100",
    f"/buckets/photos/{KEYS[0]}",
    "/etc/iam/identity.json",
    "/v1/status",
    "/v1/images",
)
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"  # and empty SETTINGS
_SETTINGS = 4  # the type of the frame that any HTTP/2 server answers with first


@pytest.fixture(scope="module")
def ports() -> PortPlan:
    return PortPlan(base=free_port_base())


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory, ports: PortPlan) -> Iterator[RunningSystem]:
    with up(tmp_path_factory.mktemp("ports"), ports.base) as system:
        system.upload(picture("blue"), *KEYS)
        system.until_totals(enriched=2, pending=0)
        yield system


def _listening(system: RunningSystem) -> list[Any]:
    tree = psutil.Process(system.command.process.pid)
    sockets: list[Any] = [
        each for process in [tree, *tree.children(recursive=True)] for each in process.net_connections("all")
    ]
    return [each for each in sockets if each.laddr and not each.raddr and each.status in ("LISTEN", "NONE")]


def _tcp(system: RunningSystem) -> set[int]:
    return {each.laddr.port for each in _listening(system) if each.family in (socket.AF_INET, socket.AF_INET6)}


def _asked(port: int, method: str, path: str, headers: dict[str, str]) -> tuple[int, bytes]:
    """Status and body; 0 where what answers is not HTTP."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request(method, path, body=b"{}" if method in ("POST", "PUT") else None, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read()
    except (http.client.HTTPException, OSError):
        return 0, b""
    finally:
        connection.close()


def _is_served(connection: socket.socket) -> bool:
    """Whether an HTTP/2 server, such as gRPC's, takes this connection."""
    try:
        connection.sendall(_PREFACE)
        head = connection.recv(9)
    except OSError:
        return False
    return len(head) == 9 and head[3] == _SETTINGS


def _over_tls(port: int, certificate: tuple[Path, Path] | None) -> bool:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    if certificate is not None:
        context.load_cert_chain(*certificate)
    try:
        with (
            socket.create_connection(("127.0.0.1", port), timeout=5) as plain,
            context.wrap_socket(plain) as connection,
        ):
            return _is_served(connection)
    except OSError:
        return False


def test_it_listens_nowhere_but_where_the_documentation_says(system: RunningSystem, ports: PortPlan) -> None:
    """On loopback, on the ports that the documentation lists; sockets of files are in folders of the owner's alone."""
    table = (Path(__file__).parents[2] / "docs" / "reference" / "local-system.md").read_text()
    listed = re.findall(r"^\| \+(\d+) \|", table, re.MULTILINE)
    assert {port - ports.base for port in _tcp(system)} == set(map(int, listed))
    for each in _listening(system):
        if each.family == socket.AF_UNIX:
            folder = (system.home / "run" / "seaweedfs" / each.laddr).parent
            assert (folder, stat.S_IMODE(folder.stat().st_mode)) == (system.home / "run" / "seaweedfs", 0o700)
        else:
            assert "127.0.0.1" == each.laddr.ip


@pytest.mark.parametrize("headers", STRANGERS, ids=["no-key", "web-page", "bearer", "s3-key"])
def test_nothing_is_read_over_http_without_a_key(system: RunningSystem, headers: dict[str, str]) -> None:
    """No answer of any port, whatever its status, contains a photo's name or bytes, or a key."""
    credentials = (system.home / "credentials.json").read_text()
    secrets = [word.encode() for word in re.findall(r'": "(.+?)"', credentials)]
    secrets += [KEYS[1].encode(), picture("blue")[:64]]  # an error repeats the key that was asked for
    for port in sorted(_tcp(system)):
        for path in READS:
            _, body = _asked(port, "GET", path, headers)
            assert [] == [each for each in secrets if each in body], (port, path)


@pytest.mark.parametrize("headers", STRANGERS, ids=["no-key", "web-page", "bearer", "s3-key"])
def test_nothing_is_changed_over_http_without_a_key(
    system: RunningSystem, ports: PortPlan, headers: dict[str, str]
) -> None:
    """Every request that would delete, create or administer something is refused, on every port.

    But for two pages that do not look at what they are asked: the master's statistics, and ours, a file.
    """
    taken = [
        (port, method, path, status)
        for port in sorted(_tcp(system))
        for path in WRITES
        for method in ("GET", "POST", "PUT", "DELETE")
        if 200 <= (status := _asked(port, method, path, headers)[0]) < 400
    ]
    pages = {(ports.api, "GET"), *((ports.master, method) for method in ("GET", "POST", "PUT", "DELETE"))}
    assert [] == [each for each in taken if each[:2] not in pages or not each[2].startswith("/?")]


def test_grpc_needs_the_certificate(system: RunningSystem, ports: PortPlan, tmp_path: Path) -> None:
    """The four gRPC ports, IAM's included, serve who shows this start's certificate; none else gets a single frame."""
    ours = system.home / "run" / "seaweedfs" / "grpc.crt", system.home / "run" / "seaweedfs" / "grpc.key"
    forged = tmp_path / "forged.crt", tmp_path / "forged.key"
    for path, text in zip(forged, self_signed("seaweedfs"), strict=True):
        path.write_text(text)
    for port in (ports.master_grpc, ports.volume_grpc, ports.filer_grpc, ports.s3_grpc):
        with socket.create_connection(("127.0.0.1", port), timeout=5) as plain:
            assert not _is_served(plain), port
        assert (True, False, False) == tuple(_over_tls(port, each) for each in (ours, None, forged)), port


def test_the_broker_needs_its_password(system: RunningSystem, ports: PortPlan) -> None:
    """Each command is refused; a request that a web page can send ends the connection."""
    for command in ("FLUSHALL", "CONFIG GET *", "LPUSH x 1", "KEYS *", "AUTH guessed", "REPLICAOF 127.0.0.1 1"):
        with socket.create_connection(("127.0.0.1", ports.valkey), timeout=5) as connection:
            connection.sendall(f"{command}\r\n".encode())
            assert connection.recv(1000).startswith((b"-NOAUTH", b"-WRONGPASS")), command
    assert (0, b"") == _asked(ports.valkey, "POST", "/", {"Host": "evil.example"})


@pytest.mark.parametrize("role", ["enrich", "postgres", "pgserver", "root"])
def test_the_database_needs_its_password(ports: PortPlan, system: RunningSystem, role: str) -> None:
    """No role gets in without it, nor with a guess."""
    for password in ("", "guessed"):
        with pytest.raises(psycopg2.OperationalError, match=r"password|fe_sendauth"):
            psycopg2.connect(host="127.0.0.1", port=ports.postgres, user=role, password=password, dbname="enrich")


def test_after_all_that_nothing_is_missing(system: RunningSystem) -> None:
    """The photos are there, the bucket balances, and nobody has learned a new key."""
    held = {each["Key"] for each in system.store().list_objects_v2(Bucket="photos")["Contents"]}
    assert held == set(KEYS)
    assert ["photos"] == [each["Name"] for each in system.store().list_buckets()["Buckets"]]
    assert system.store().get_object(Bucket="photos", Key=KEYS[0])["Body"].read() == picture("blue")
    assert 0 == enrich("verify", "photos", cwd=system.cwd).returncode
    assert 2 == system.totals()["enriched"]
