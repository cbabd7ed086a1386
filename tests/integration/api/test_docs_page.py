"""/docs in a real browser."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run")


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="needs chromium: `apt-get install chromium`")
def test_a_browser_shows_every_operation(shared_api, tmp_path):
    """Swagger UI starts under the page's content policy and lists what the document has."""
    dom = rendered(f"http://127.0.0.1:{shared_api.port}/docs", tmp_path)
    shown = re.findall(r'class="opblock-summary-path"[^>]*data-path="([^"]+)"', dom)
    paths = shared_api.get("/openapi.json").json["paths"]
    assert sorted(path for path, operations in paths.items() for _ in operations) == sorted(shown)
    assert "Unable to render" not in dom


def rendered(url: str, directory: Path) -> str:
    """The page once its scripts have run. Chromium sometimes hangs on a busy machine: it gets a second chance."""
    return _rendered(url, directory / "first") or _rendered(url, directory / "second")


def _rendered(url: str, profile: Path) -> str:
    """To a file, and in a process group of its own: its children hold pipes open when it is killed."""
    profile.mkdir()
    dom = profile / "dom.html"
    command = [str(CHROMIUM), *FLAGS, f"--user-data-dir={profile}", "--virtual-time-budget=20000", "--dump-dom", url]
    with dom.open("wb") as out:
        browser = subprocess.Popen(command, stdout=out, stderr=subprocess.DEVNULL, start_new_session=True)
        with suppress(subprocess.TimeoutExpired):
            browser.wait(60)
        with suppress(ProcessLookupError):
            os.killpg(browser.pid, signal.SIGKILL)
        browser.wait()
    return dom.read_text()
