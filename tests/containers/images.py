"""Images under exactly the names that the project's files use, made from what this machine has: no registry is asked.

What they prove is our files, not the images of others: see each Dockerfile in ``standins`` for what differs.
"""

from __future__ import annotations

import functools
import io
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from subprocess import PIPE
from threading import Thread

from tests.containers.machine import ADDRESS, CACHE, Machine, debian
from tests.unit.deploy import compose
from worker.local import binaries

_DEBIAN = "debian:trixie-slim"
_NOT_IN_SLIM = ("usr/share/doc", "usr/share/man", "usr/share/locale", "var/lib/apt/lists", "var/cache/apt")
_STANDINS = Path(__file__).parent / "standins"
_WHEELS_PORT = 8090
_PIP_CONF = f"""[global]
no-index = true
find-links = http://{ADDRESS}:{_WHEELS_PORT}/
trusted-host = {ADDRESS}
"""


def name_of(service: str) -> str:
    """The image that docker-compose.yml names for a service."""
    return str(compose.parse(compose.BASE.read_text())["services"][service]["image"])


def _python() -> str:
    [name] = re.findall(r"^FROM (python:\S+)", (compose.ROOT / "Dockerfile.gpu").read_text(), flags=re.MULTILINE)
    return str(name)


def make_standins(machine: Machine) -> None:
    """All base images; those that have not changed are taken from Docker's cache."""
    if not machine.run("docker", "images", "--quiet", _DEBIAN):
        tar = ["tar", "-C", str(debian()), *(f"--exclude=./{each}/*" for each in _NOT_IN_SLIM), "-c", "."]
        machine.run("docker", "import", "-", _DEBIAN, stdin=subprocess.run(tar, stdout=PIPE, check=True).stdout)
    prefix = Path(sys.base_prefix)
    _build(machine, "python", _python(), {"cpython": prefix}, {"pip.conf": _PIP_CONF})
    package = binaries.postgres().parents[1]
    wheel = {f"wheel/{each.name}": each for each in (package, package.with_name(f"{package.name}.libs"))}
    _build(machine, "postgres", name_of("postgres"), wheel)
    _build(machine, "valkey", name_of("valkey"), {"valkey-server": binaries.valkey()})
    _build(machine, "seaweedfs", name_of("seaweedfs"), {"weed": binaries.weed()})


def drop_old(machine: Machine) -> None:
    """Forget what earlier runs built and nothing names any more: it would fill the disk."""
    machine.run("docker", "image", "prune", "--force")
    machine.run("docker", "builder", "prune", "--force", "--keep-storage", "8GB")


def _build(
    machine: Machine, folder: str, name: str, trees: Mapping[str, Path], texts: Mapping[str, str] | None = None
) -> None:
    """One image, from its Dockerfile and what it copies."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for file in sorted((_STANDINS / folder).iterdir()):
            tar.add(file, file.name)
        for where, source in trees.items():
            tar.add(source, where, filter=_needed)
        for where, text in (texts or {}).items():
            info = tarfile.TarInfo(where)
            info.size, info.mode = len(text), 0o644
            tar.addfile(info, io.BytesIO(text.encode()))
    machine.run("docker", "build", "--tag", name, "-", stdin=archive.getvalue())


_SUPERFLUOUS = re.compile(
    r"/(test|tests|idlelib|tkinter|site-packages|__pycache__|config-3[^/]*|share/man|include|pginstall)(/|$)|\.a$"
)


def _needed(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    member.uid = member.gid = 0
    member.uname = member.gname = "root"
    return None if _SUPERFLUOUS.search(member.name) else member


def wheels() -> Path:
    """What Dockerfile.gpu installs, as this machine's pip finds it; fetched once for each set of requirements.

    On a machine whose pip prefers a CPU build of torch, the image gets that, as it would from PyTorch's CPU index.
    """
    project = tomllib.loads((compose.ROOT / "pyproject.toml").read_text())
    wanted = [*project["project"]["dependencies"], *project["build-system"]["requires"], "pip"]
    constraints = compose.ROOT / "constraints.txt"
    stamp = "\n".join([sys.version, *wanted, constraints.read_text()])
    folder = CACHE / "wheels"
    if not (folder / ".stamp").exists() or (folder / ".stamp").read_text() != stamp:
        shutil.rmtree(folder, ignore_errors=True)
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "--quiet"]
        subprocess.run([*pip, "-c", constraints, "-d", folder, *wanted], check=True)
        (folder / ".stamp").write_text(stamp)
    return folder


@contextmanager
def serving_wheels(machine: Machine) -> Iterator[None]:
    """Serve the wheels to builds, in the machine's network."""
    with machine.network():
        server = ThreadingHTTPServer((ADDRESS, _WHEELS_PORT), functools.partial(_Quiet, directory=str(wheels())))
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass
