"""The object store: SeaweedFS as four processes.

``weed server`` would be one, but its parts race: the volume server looks for a master before the master leads, and
tries again five seconds later. Started in order, the store takes writes after 2.3 s instead of 7 s, and stops in 0.3 s
instead of 15 s (measured with 4.48 on 2 cores).
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from worker.local.binaries import server_environment, weed
from worker.local.certificate import self_signed
from worker.local.disk import STORE_STOPS_BELOW_MIB
from worker.local.home import Credentials, Home, write_private
from worker.local.ports import LOOPBACK, PortPlan
from worker.local.probes import bearer, create_bucket, http_request, require
from worker.supervision.child import ChildSpec, NotReadyError

_BIND = (f"-ip={LOOPBACK}", f"-ip.bind={LOOPBACK}")
_NAMES = ("master", "volume", "filer", "s3")


@dataclass(frozen=True, kw_only=True, slots=True)
class SeaweedFS:
    """How to run the store under a home."""

    home: Home
    ports: PortPlan
    credentials: Credentials
    bucket: str  # created when missing
    webhook_url: str | None  # where filer events are posted; None: nowhere
    webhook_token: str

    @property
    def _run(self) -> Path:
        return self.home.run / "seaweedfs"

    @property
    def _data(self) -> Path:
        return self.home.data / "seaweedfs"

    @property
    def _certificate(self) -> Path:
        return self._run / "grpc.crt"

    @property
    def _key(self) -> Path:
        return self._run / "grpc.key"

    @property
    def endpoint_url(self) -> str:
        return f"http://{LOOPBACK}:{self.ports.s3}"

    def prepare(self) -> None:
        """Write the configuration.

        Every file weed looks for is there, so that none of the user's or the system's own (``~/.seaweedfs``,
        ``/etc/seaweedfs``) is picked up instead.
        """
        for directory in (self._run, self._data, *(self._data / name for name in ("master", "volumes", "filer"))):
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_private(self._run / "master.toml", _MASTER_TOML)
        write_private(self._run / "filer.toml", f"[leveldb2]\nenabled = true\ndir = {_toml(self._data / 'filer')}\n")
        certificate, key = self_signed("seaweedfs")
        write_private(self._certificate, certificate)
        write_private(self._key, key)
        write_private(self._run / "security.toml", self._security())
        write_private(self._run / "notification.toml", self._notification())
        write_private(self._run / "s3.json", json.dumps(self._identities()))

    def children(self) -> list[ChildSpec]:
        """The processes, in the order in which they must become ready."""
        return [self._master(), self._volume(), self._filer(), self._s3()]

    # -- configuration -----------------------------------------------------------------------------------------------
    def _security(self) -> str:
        """Keys without which any local user, and any web page in a local browser, could read and write behind S3.

        HTTP is closed by signed tokens, gRPC by a certificate that both ends must show; its name is not looked at.
        """
        tokens = ("jwt.signing", "jwt.signing.read", "jwt.filer_signing", "jwt.filer_signing.read")
        pair = f"cert = {_toml(self._certificate)}\nkey = {_toml(self._key)}\n"
        return (
            "".join(f"[{section}]\nkey = {_toml(self.credentials.store_key)}\n" for section in tokens)
            + f"[grpc]\nca = {_toml(self._certificate)}\n"
            + "".join(f"[grpc.{part}]\n{pair}" for part in (*_NAMES, "client"))
        )

    def _notification(self) -> str:
        """Where events go.

        An event is posted once: the retry settings of 4.48 have no effect, because its dead-letter queue takes a failed
        message before the retry sees it. So the timeout is generous, for a receiver that is restarting.
        """
        if self.webhook_url is None:
            return "[notification.webhook]\nenabled = false\n"
        return (
            "[notification.webhook]\nenabled = true\n"
            f"endpoint = {_toml(self.webhook_url)}\nbearer_token = {_toml(self.webhook_token)}\n"
            'timeout_seconds = 120\nworkers = 4\nbuffer_size = 100000\npath_prefixes = ["/buckets/"]\n'
        )

    def _identities(self) -> dict[str, object]:
        keys = {
            "accessKey": self.credentials.s3_access_key_id,
            "secretKey": self.credentials.s3_secret_access_key,
        }
        actions = ["Admin", "Read", "List", "Tagging", "Write"]
        return {"identities": [{"name": "enrich", "credentials": [keys], "actions": actions}]}

    # -- processes ---------------------------------------------------------------------------------------------------
    def _master(self) -> ChildSpec:
        ports = self.ports
        arguments = (
            f"-mdir={self._data / 'master'}", f"-port={ports.master}", f"-port.grpc={ports.master_grpc}",
            "-disableHttp",  # it has no keys for HTTP: anybody could delete a bucket's collection
            "-telemetry=false", "-volumeSizeLimitMB=1024", "-electionTimeout=500ms", "-heartbeatInterval=100ms",
        )  # fmt: skip
        return self._child("master", arguments, probe=self._leads, grpc=ports.master_grpc, stage=0)

    def _volume(self) -> ChildSpec:
        ports = self.ports
        arguments = (
            f"-dir={self._data / 'volumes'}", f"-port={ports.volume}", f"-port.grpc={ports.volume_grpc}",
            f"-master={LOOPBACK}:{ports.master}.{ports.master_grpc}",
            "-max=1000", f"-minFreeSpace={STORE_STOPS_BELOW_MIB}MiB", "-preStopSeconds=0",
        )  # fmt: skip
        return self._child("volume", arguments, probe=None, grpc=ports.volume_grpc, stage=1)

    def _filer(self) -> ChildSpec:
        ports = self.ports
        arguments = (
            f"-port={ports.filer}", f"-port.grpc={ports.filer_grpc}", "-localSocket=filer.sock",
            f"-master={LOOPBACK}:{ports.master}.{ports.master_grpc}",
            f"-allowedOrigins={self.endpoint_url}", "-exposeDirectoryData=false",
        )  # fmt: skip
        return self._child("filer", arguments, probe=self._stores, grpc=ports.filer_grpc, stage=2)

    def _s3(self) -> ChildSpec:
        ports = self.ports
        arguments = (
            f"-port={ports.s3}", f"-port.grpc={ports.s3_grpc}", "-localSocket=s3.sock",
            f"-filer={LOOPBACK}:{ports.filer}.{ports.filer_grpc}", f"-config={self._run / 's3.json'}",
            "-iam=false", "-port.iceberg=0", "-port.lance=0",
        )  # fmt: skip
        return self._child("s3", arguments, probe=self._creates_buckets, grpc=ports.s3_grpc, stage=3)

    def _child(
        self, name: str, arguments: tuple[str, ...], *, probe: Callable[[], None] | None, grpc: int, stage: int
    ) -> ChildSpec:
        def remove_socket() -> None:
            # weed insists on this path, and leaves the file behind when it is killed.
            with suppress(OSError):
                os.unlink(f"/tmp/seaweedfs-{name}-grpc-{grpc}.sock")  # noqa: PTH108, S108

        return ChildSpec(
            name=f"seaweedfs-{name}",
            argv=[str(weed()), "-logtostderr", name, *_BIND, *arguments],
            env=server_environment(home=self._run),
            cwd=self._run,
            probe=probe,
            stage=stage,
            # The filer often waits 15 s for its own subscription to end. A kill is safe: leveldb replays its log.
            stop_seconds=1.0,
            after_exit=remove_socket,
        )

    # -- readiness ---------------------------------------------------------------------------------------------------
    def _leads(self) -> None:
        status, body = http_request(self.ports.master, "GET", "/cluster/status")
        require(status, body, "SeaweedFS master")
        if not json.loads(body).get("IsLeader"):
            raise NotReadyError("the SeaweedFS master has no leader yet")

    def _stores(self) -> None:
        """Store one byte outside /buckets, where it is neither listed nor announced.

        Naming the bucket's collection also creates the volume that the first upload would otherwise wait for.
        """
        path = f"/ready/{self.bucket}?collection={self.bucket}"
        headers = bearer(self.credentials.store_key)
        status, body = http_request(self.ports.filer, "PUT", path, headers=headers, body=b".")
        require(status, body, "writing through the SeaweedFS filer")

    def _creates_buckets(self) -> None:
        create_bucket(
            self.ports.s3,
            self.bucket,
            access_key_id=self.credentials.s3_access_key_id,
            secret_access_key=self.credentials.s3_secret_access_key,
        )


# One volume per bucket instead of seven, and no maintenance scripts: there is one server, nothing to balance or repair.
_MASTER_TOML = """\
[master.maintenance]
scripts = ""
[master.volume_growth]
copy_1 = 1
copy_other = 1
"""


def _toml(value: object) -> str:
    """A TOML basic string; JSON's escapes are a subset."""
    return json.dumps(str(value))
