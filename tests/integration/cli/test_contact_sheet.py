"""A contact sheet in a real browser: pictures, keys, and a file that `enrich decisions import` takes."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import urllib3
from PIL import Image

from tests.acceptance.commands import enrich, until
from tests.factories import NOON
from tests.fakes import ColourEncoder
from tests.integration.cli.review_terminal import reviewing
from tests.integration.pipeline.review.gallery import CAUTIOUS, Gallery
from tests.servers import RunningServers
from worker import catalog, db
from worker.catalog.write import EnrichedImage
from worker.db import transaction
from worker.images import ImageLimits, read_image
from worker.local.ports import free_port_base
from worker.objects import S3Store
from worker.types import ObjectInfo, ObjectRef

DRIVER = shutil.which("chromedriver")
LIMITS = ImageLimits(max_bytes=1 << 20, max_pixels=1 << 20, max_side=2_000)
COLOURS = {"red": (200, 30, 30), "green": (30, 200, 30), "blue": (30, 30, 200)}
ODD = 'a </script><img src=x onerror=alert(1)> & "b".png'


class Browser:
    """Just enough of WebDriver (w3.org/TR/webdriver2)."""

    def __init__(self, port: int, downloads: Path) -> None:
        self._base = f"http://127.0.0.1:{port}"
        self._http = urllib3.PoolManager(retries=False, timeout=60)
        options = {
            "args": [
                "--headless=new",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-dev-shm-usage",
                "--window-size=1200,900",
            ],
            "prefs": {"download.default_directory": str(downloads)},
        }
        until(self._ready, seconds=30)
        made = self._call("POST", "/session", {"capabilities": {"alwaysMatch": {"goog:chromeOptions": options}}})
        self._session = f"/session/{made['sessionId']}"

    def open(self, url: str) -> None:
        self._call("POST", f"{self._session}/url", {"url": url})

    def run(self, script: str) -> Any:
        return self._call("POST", f"{self._session}/execute/sync", {"script": script, "args": []})

    def press(self, *keys: str) -> None:
        typed = [{"type": kind, "value": key} for key in keys for kind in ("keyDown", "keyUp")]
        self._call("POST", f"{self._session}/actions", {"actions": [{"type": "key", "id": "k", "actions": typed}]})

    def console(self) -> list[Any]:
        return list(self._call("POST", f"{self._session}/se/log", {"type": "browser"}))

    def quit(self) -> None:
        self._call("DELETE", self._session)

    def _ready(self) -> bool:
        try:
            return bool(self._call("GET", "/status")["ready"])
        except urllib3.exceptions.HTTPError:
            return False

    def _call(self, method: str, path: str, body: object = None) -> Any:
        answer = self._http.request(method, self._base + path, body=None if body is None else json.dumps(body))
        value = json.loads(answer.data)["value"]
        assert 200 == answer.status, value
        return value


@contextmanager
def browser(downloads: Path) -> Iterator[Browser]:
    port = free_port_base()
    driver = subprocess.Popen([str(DRIVER), f"--port={port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        started = Browser(port, downloads)
        yield started
        started.quit()
    finally:
        driver.terminate()
        driver.wait(30)


def picture(colour: tuple[int, int, int], number: int) -> bytes:
    """Of one colour, with a pattern of its own."""
    pixels = np.random.default_rng(number).integers(0, 40, (8, 8, 3)) + np.array(colour)
    out = io.BytesIO()
    Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).resize((64, 64), Image.Resampling.BILINEAR).save(
        out, "PNG"
    )
    return out.getvalue()


@pytest.fixture
def stored(servers: RunningServers, tmp_path: Path) -> Iterator[tuple[Gallery, str, dict[str, str]]]:
    """Thirty pictures in a real store, and in the catalog as a worker writes them."""
    bucket = servers.fresh_bucket()
    credentials = servers.stack.home.credentials()
    store = S3Store(
        endpoint_url=servers.s3_endpoint_url, region="us-east-1", access_key_id=credentials.s3_access_key_id,
        secret_access_key=credentials.s3_secret_access_key, addressing_style="path", timeout=30, pool_size=2,
    )  # fmt: skip
    with servers.fresh_database() as url:
        engine = db.connect(url, name="test")
        catalog.schema.migrate(engine)
        gallery = Gallery.of(engine, CAUTIOUS)
        assert isinstance(gallery, Gallery)
        for number in range(30):
            colour = list(COLOURS)[number % 3]
            write(
                gallery, store, ObjectRef(bucket=bucket, key=ODD if number == 0 else f"{number:02}.png"), colour, number
            )
        yield gallery, bucket, {**servers.environment(), "ENRICH_DATABASE_URL": url}
        engine.dispose()


def write(gallery: Gallery, store: S3Store, ref: ObjectRef, colour: str, number: int) -> None:
    data = picture(COLOURS[colour], number)
    etag = store.put(ref, data, "image/png")
    decoded = read_image(data, limits=LIMITS, min_side=None)
    encoder = ColourEncoder()
    with decoded.pixels as pixels:
        vector = encoder.encode_images([encoder.preprocess(pixels)])[0]
    by = gallery.labels.now
    info = ObjectInfo(ref=ref, etag=etag, size=len(data), last_modified=None, version_id=None, content_type="image/png")
    image = EnrichedImage(
        info=info,
        metadata=decoded.metadata,
        vector=vector,
        tags=by.tagger.tag(vector[None])[0],
        event_at=NOON,
        hinted_at=NOON,
    )
    with transaction(gallery.engine) as connection:
        catalog.taxonomy_revisions.hold(connection, by.revision)
        catalog.write.save_images(connection, space_id=gallery.space.id, images=[image])


@pytest.mark.browser
@pytest.mark.skipif(DRIVER is None, reason="needs chromedriver: `apt-get install chromium-driver`")
def test_unselect_and_assign(stored, tmp_path):
    """Pictures are in the page, which loads nothing; keys and clicks unselect; the download is imported as it is."""
    gallery, bucket, servers = stored
    done = enrich(
        "review", "colour", "red", "--queue", "uncertain", "--contact-sheet", "sheet.html", "--reviewer", "ada",
        cwd=tmp_path, **servers,
    )  # fmt: skip
    assert (0, True) == (done.returncode, "enrich decisions import decisions-colour-red.jsonl" in done.stderr), done
    page = (tmp_path / "sheet.html").read_text()
    assert "http://" not in page
    assert "https://" not in page
    with browser(tmp_path) as chrome:
        chrome.open((tmp_path / "sheet.html").as_uri())
        count = chrome.run("return document.querySelectorAll('figure').length")
        shown = chrome.run("return [...document.images].filter(each => each.complete && each.naturalWidth > 0).length")
        assert count == shown > 2
        until(
            lambda: (
                f"Download {count} decisions" == chrome.run("return document.getElementById('download').textContent")
            )
        )
        chrome.run("document.querySelectorAll('figure')[0].click()")
        chrome.press("\ue014", "u")  # to the right, unsure
        assert ["no", "unsure", "yes"] == chrome.run(
            "return [...document.querySelectorAll('figure')].slice(0, 3).map(each => each.className)"
        )
        assert "1 do not, 1 unsure" in chrome.run("return document.getElementById('state').textContent")
        chrome.run("document.getElementById('download').click()")
        file = tmp_path / "decisions-colour-red.jsonl"
        until(file.exists, seconds=30)
        assert [] == [each for each in chrome.console() if each["level"] == "SEVERE"]
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    assert ["reject", "unsure", *["accept"] * (count - 2)] == [row["verdict"] for row in rows]
    imported = enrich("decisions", "import", file.name, cwd=tmp_path, **servers)
    assert 0 == imported.returncode, imported.stderr
    found = gallery.sql(
        "SELECT verdict, chosen, reviewer, shown_label, shown_version, shown_space FROM decisions ORDER BY id"
    )
    assert {("uncertain", "ada", "red", CAUTIOUS.version, 1)} == {tuple(row)[1:] for row in found}
    assert len(rows) == len(found)
    assert [] == gallery.sql("SELECT FROM decisions WHERE sha256 IS NULL OR bucket <> :bucket", bucket=bucket)


@pytest.mark.parametrize(
    ("answers", "begins"), [("\x1b_Gi=31;OK\x1b\\\x1b[?62;c", "\x1b_Ga=T,f=100"), ("\x1b[?62;4;6c", "\x1bP0;1q")]
)
def test_pictures_are_shown_where_the_terminal_answers(stored, tmp_path, answers, begins):
    """Each in the terminal's own protocol, before the question; a picture that is gone is named instead."""
    gallery, bucket, servers = stored
    gallery.sql("UPDATE images SET key = 'gone.png' WHERE key = '03.png'")
    servers |= {"ENRICH_HOME": str(tmp_path / "none")}  # or a preview that was kept is shown
    with reviewing("colour", "red", "--queue", "uncertain", "--reviewer", "ada", cwd=tmp_path, **servers) as person:
        person.until("\x1b[c")
        person.press(answers)
        shown = person.until("colour: red?")
        for _ in range(20):
            assert begins in shown or f"s3://{bucket}/gone.png  (" in shown
            if "gone.png" in shown:
                break
            person.until("q quit")
            person.press("y")
            shown = person.until("colour: red?")
        assert "no longer in the store" in shown
