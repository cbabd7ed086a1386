"""/docs in a real browser."""

from __future__ import annotations

import re
import shutil
import subprocess

import pytest

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="needs chromium: `apt-get install chromium`")
def test_a_browser_shows_every_operation(shared_api, tmp_path):
    """Swagger UI starts under the page's content policy and lists what the document has."""
    dom = rendered(f"http://127.0.0.1:{shared_api.port}/docs", tmp_path)
    shown = re.findall(r'class="opblock-summary-path"[^>]*data-path="([^"]+)"', dom)
    assert sorted(shown) == sorted(shared_api.get("/openapi.json").json["paths"])
    assert "Unable to render" not in dom


def rendered(url: str, profile: object) -> str:
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"]
    command = [str(CHROMIUM), *flags, f"--user-data-dir={profile}", "--virtual-time-budget=20000", "--dump-dom", url]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout
