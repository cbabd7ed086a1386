"""``enrich up`` on a disk that fills up."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import BotoCoreError, ClientError

from tests.acceptance.commands import enrich, until, up
from tests.pictures import picture
from worker.local.ports import free_port_base

_BYTES = 900 << 20  # the database takes about 100 MiB; below 512 MiB people are told


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small disk of its own."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={_BYTES}", "enrich-test", str(disk)], capture_output=True, check=False
    ) if os.geteuid() == 0 else None  # fmt: skip
    if mounted is None or mounted.returncode != 0:
        pytest.skip("needs the right to mount a small disk: run as root")
    yield disk
    subprocess.run(["umount", "--lazy", str(disk)], check=True)


def _fill(disk: Path) -> None:
    with (disk / "filler").open("wb", buffering=0) as filler:
        try:
            while True:
                filler.write(b"x" * (1 << 20))
        except OSError:
            return


def _accepted(store: Any, key: str) -> bool:
    try:
        store.put_object(Bucket="photos", Key=key, Body=picture("green"), ContentType="image/jpeg")
    except (ClientError, BotoCoreError):
        return False
    return True


def test_a_full_disk_is_said_and_costs_nothing_that_was_accepted(disk: Path) -> None:
    """The terminal says so; whatever the store acknowledged is enriched once there is room; nothing has ended."""
    with up(disk, free_port_base()) as system:
        store = system.store()
        kept = [key for key in ("before-1.jpg", "before-2.jpg") if _accepted(store, key)]
        system.until_totals(enriched=2)
        env = system.env
        _fill(disk)
        kept += [key for key in (f"meanwhile-{number}.jpg" for number in range(5)) if _accepted(store, key)]
        system.command.wait_until_it_says("the disk is nearly full")
        (disk / "filler").unlink()
        system.command.wait_until_it_says("there is disk space again")
        until(lambda: _accepted(store, "after.jpg"))
        kept.append("after.jpg")
        held = [each["Key"] for each in store.list_objects_v2(Bucket="photos")["Contents"]]
        assert set(kept) <= set(held)
        until(lambda: enrich("verify", "photos", cwd=disk).returncode == 0)
        system.until_totals(pending=0, quarantined=0, enriched=len(held))
        assert (system.command.process.poll(), system.env) == (None, env)
