"""The pages need nothing but the API: they work where there is no way out."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.pages.conftest import CHROMIUM

ROOT = Path(__file__).parents[2]
#: Root may make a namespace; others get one in which they may only raise its loopback.
_UNSHARE = ["unshare", "--net"] + ([] if os.geteuid() == 0 else ["--user", "--map-current-user", "--keep-caps"])


def _may_unshare() -> bool:
    return shutil.which("unshare") is not None and subprocess.run([*_UNSHARE, "true"], check=False).returncode == 0


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="needs chromium: `apt-get install chromium`")
def test_every_page_works_without_a_network(tmp_path):
    """In a namespace whose only interface is its own loopback, no request of any page fails."""
    if not _may_unshare():
        pytest.skip("needs to make a network namespace: unshare --net")
    tmp_path.chmod(0o755)
    done = subprocess.run(
        [*_UNSHARE, sys.executable, "-m", "tests.pages.offline", tmp_path],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
    )
    assert 0 == done.returncode, done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert ["lo"] == found["interfaces"]
    assert [] == [each for each in found["faults"] if "ERR_ABORTED" not in each]  # a page left in the middle of one
    assert all(found["shown"].values()), found["shown"]
