"""A machine of its own for Docker: Debian trixie in namespaces, with its own network, firewall, ports and processes.

Nothing of the machine it runs on changes, except for the cache folder, and for empty cgroup folders while it runs.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import shutil
import signal
import subprocess
import time
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

#: Everything that takes minutes to make is kept here between runs; deleting the folder is a clean start.
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "image-enricher-container-test"
#: Where the project's files are, in the machine.
PROJECT = "/project"
#: The machine itself, as containers with a way out reach it.
ADDRESS = "10.0.2.100"

_RELEASE = "trixie"
_DOCKER = [
    "docker.io",
    "docker-cli",
    "docker-compose",
    "docker-buildx",
    "iptables",
    "iproute2",
    "procps",
    "ca-certificates",
    "curl",
]
#: As in the images of Docker's library.
_KEEP_NOTHING = """\
DPkg::Post-Invoke { "rm -f /var/cache/apt/archives/*.deb /var/cache/apt/*.bin || true"; };
Dir::Cache::pkgcache "";
Dir::Cache::srcpkgcache "";
"""
_TOOLS = ("debootstrap", "slirp4netns", "unshare", "nsenter")
_INIT = Path(__file__).with_name("init.sh")
_CLONE_NEWNET = 0x40000000


class UnavailableError(Exception):
    """This machine cannot run the containers; the message says why."""


def check() -> None:
    """Whether such a machine can be made here.

    Raises:
        UnavailableError: names what is missing, or not allowed.
    """
    if os.getuid() != 0:
        raise UnavailableError("containers need root here: namespaces, mounts and a chroot are made")
    if missing := [tool for tool in _TOOLS if shutil.which(tool) is None]:
        raise UnavailableError(f"install {' '.join(missing)}: apt-get install debootstrap slirp4netns util-linux")
    tried = subprocess.run(
        ["unshare", "--mount", "--net", "--uts", "--ipc", "--pid", "--fork", "mount", "-t", "tmpfs", "tmpfs", "/mnt"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if tried.returncode:
        raise UnavailableError(f"namespaces are not allowed here: {tried.stderr.strip()}")


@contextmanager
def lock() -> Iterator[None]:
    """One run at a time uses the cache folder."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def debian() -> Path:
    """Debian trixie's smallest root file system; made once."""
    return _made("debian", _bootstrap)


def docker_root() -> Path:
    """The same with Docker in it; made once."""
    return _made(f"docker-{zlib.crc32(' '.join(_DOCKER).encode()):08x}", _install_docker)


def _made(name: str, make: object) -> Path:
    made = CACHE / name
    if not made.exists():
        building = CACHE / f"{name}.building"
        shutil.rmtree(building, ignore_errors=True)
        make(building)  # type: ignore[operator]
        building.rename(made)
    return made


def _bootstrap(folder: Path) -> None:
    with (CACHE / "debootstrap.log").open("wb") as log:
        subprocess.run(["debootstrap", "--variant=minbase", _RELEASE, folder], stdout=log, stderr=log, check=True)
    (folder / "etc/apt/apt.conf.d/keep-nothing").write_text(_KEEP_NOTHING)


def _install_docker(folder: Path) -> None:
    subprocess.run(["cp", "-a", debian(), folder], check=True)
    (folder / "usr/sbin/policy-rc.d").write_text("#!/bin/sh\nexit 101\n")  # no service is started by its package
    (folder / "usr/sbin/policy-rc.d").chmod(0o755)
    shutil.copy("/etc/resolv.conf", folder / "etc/resolv.conf")
    script = (
        'cd "$0"; mount --rbind /dev dev; mount -t proc proc proc; mount -t sysfs sysfs sys;'
        "chroot . apt-get update -q; exec chroot . apt-get install -y -q --no-install-recommends"
    )
    with (CACHE / "docker.log").open("wb") as log:
        subprocess.run(
            ["unshare", "--mount", "--pid", "--fork", "sh", "-ec", f'{script} "$@"', folder, *_DOCKER],
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND": "noninteractive"},
            stdout=log, stderr=log, check=True,
        )  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class Machine:
    """What runs, by its first process."""

    pid: int

    def run(
        self,
        *command: str,
        check: bool = True,
        timeout: float = 600,
        stdin: str | bytes | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> str:
        """Run a command in the project's folder there; returns its output.

        Raises:
            CommandError: it failed, and ``check`` is set.
        """
        done = subprocess.run(
            self.argv(*command),
            input=stdin.encode() if isinstance(stdin, str) else stdin,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=timeout, check=False,
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "BUILDKIT_PROGRESS": "plain"}
            | dict(environment or {}),
        )  # fmt: skip
        output = done.stdout.decode(errors="replace")
        if check and done.returncode:
            raise CommandError(command, done.returncode, output)
        return output

    def argv(self, *command: str) -> list[str]:
        """The same, for a process of the caller's own."""
        enter = f"nsenter --target={self.pid} --mount --net --uts --ipc --pid --wdns={PROJECT} --".split()
        return [*enter, *command]

    @contextmanager
    def network(self) -> Iterator[None]:
        """Within this block, this thread and the processes it starts are in the machine's network."""
        libc = ctypes.CDLL(None, use_errno=True)
        with Path("/proc/self/ns/net").open() as ours, Path(f"/proc/{self.pid}/ns/net").open() as theirs:
            _set_namespace(libc, theirs.fileno())
            try:
                yield
            finally:
                _set_namespace(libc, ours.fileno())


def _set_namespace(libc: ctypes.CDLL, descriptor: int) -> None:
    if libc.setns(descriptor, _CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")


class CommandError(AssertionError):
    """A command in the machine failed."""

    def __init__(self, command: Sequence[str], status: int, output: str) -> None:
        super().__init__(f"{' '.join(command)} → {status}\n{output[-6000:]}")
        self.status = status
        self.output = output


@contextmanager
def start(project: Path) -> Iterator[Machine]:
    """Start the machine with a folder mounted at ``PROJECT``, and Docker in it; stop it afterwards."""
    data = CACHE / "data"
    data.mkdir(exist_ok=True)
    cgroup = f"container-test-{os.getpid()}"
    unshare = ["unshare", "--mount", "--net", "--uts", "--ipc", "--pid", "--fork", "--kill-child=KILL"]
    with (CACHE / "dockerd.log").open("wb") as log:
        outer = subprocess.Popen(
            [*unshare, "sh", _INIT, docker_root(), data, project, f"/{cgroup}"],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
        pid = _child(outer)
        _weigh(cgroup)
        way_out = subprocess.Popen(
            ["slirp4netns", "--configure", "--mtu=1500", "--disable-host-loopback", str(pid), "tap0"],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
    try:
        machine = Machine(pid=pid)
        _await_docker(machine, outer)
        yield machine
    finally:
        _stop(outer, pid)
        way_out.terminate()
        way_out.wait()
        _remove_cgroups(cgroup)


def _child(outer: subprocess.Popen[bytes]) -> int:
    """The first process within, as seen from here."""
    children = Path(f"/proc/{outer.pid}/task/{outer.pid}/children")
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        if found := children.read_text().split():
            return int(found[0])
        time.sleep(0.02)
    raise UnavailableError(f"no process in the new namespaces: see {CACHE / 'dockerd.log'}")


def _await_docker(machine: Machine, outer: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while outer.poll() is None and time.monotonic() < deadline:
        with suppress(CommandError):
            machine.run("docker", "info")
            return
        time.sleep(0.2)
    raise AssertionError(f"Docker does not start: see {CACHE / 'dockerd.log'}")


def _stop(outer: subprocess.Popen[bytes], pid: int) -> None:
    """Docker stops its containers first; what is left then dies with the namespace's first process."""
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
    try:
        outer.wait(60)
    except subprocess.TimeoutExpired:
        outer.kill()
        outer.wait()


def _weigh(name: str) -> None:
    """Beside other processes a group counts as one: give the containers the weight of ten on a busy machine."""
    with suppress(OSError):
        folder = Path("/sys/fs/cgroup/cpu") / name
        folder.mkdir(exist_ok=True)
        (folder / "cpu.shares").write_text("10240")


def _remove_cgroups(name: str) -> None:
    for top in {*Path("/sys/fs/cgroup").glob(f"*/{name}"), *Path("/sys/fs/cgroup").glob(name)}:
        for folder in sorted((each for each in top.rglob("*") if each.is_dir()), reverse=True):
            with suppress(OSError):
                folder.rmdir()
        with suppress(OSError):
            top.rmdir()
