"""The pictures of the pages in README and docs: `make pictures [PHOTOS=dir]` takes them from a real system.

Starts `enrich up` in an empty folder, uploads photos, waits until all are enriched, and opens each page in the
system's chromium, as a person would.
"""

from __future__ import annotations

import io
import json
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import boto3
import urllib3
from PIL import Image
from playwright.sync_api import BrowserContext, Page, sync_playwright

from worker.local.ports import free_port_base

PICTURES = Path(__file__).parent / "pictures"
ENRICH = Path(sys.executable).with_name("enrich")
FLAGS = ("--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader")
IN_BOTH = ("search",)
#: Photos inside scikit-image, scikit-learn and Matplotlib, which all may be shown: see their notes on data.
SHIPPED = {
    "skimage/data": (
        "astronaut.png", "brick.png", "camera.png", "cell.png", "chelsea.png", "clock_motion.png", "coffee.png",
        "coins.png", "grass.png", "gravel.png", "hubble_deep_field.jpg", "ihc.png", "moon.png", "motorcycle_left.png",
        "page.png", "retina.jpg", "rocket.jpg", "text.png",
    ),
    "sklearn/datasets/images": ("china.jpg", "flower.jpg"),
    "matplotlib/mpl-data/sample_data": ("grace_hopper.jpg",),
}  # fmt: skip


def main(folder: str | None) -> None:
    """Take them all, light, and dark what README shows."""
    files = sorted(each for each in Path(folder).rglob("*") if each.is_file()) if folder else list(shipped())
    PICTURES.mkdir(exist_ok=True)
    with system() as env, sync_playwright() as playwright:
        upload(env, files)
        enrich("map", "draw", cwd=Path(env["home"]).parent)
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=list(FLAGS))
        context = browser.new_context(viewport={"width": 1280, "height": 800}, device_scale_factor=1.5)
        context.set_default_timeout(60_000)
        context.new_page().goto(enrich("login", cwd=Path(env["home"]).parent).strip())
        context.pages[0].get_by_role("link", name="Search").first.wait_for()
        for scheme in ("light", "dark"):
            for name, prepare in SHOTS.items():
                if scheme == "dark" and name not in IN_BOTH:
                    continue
                take(context, env["api_url"], name, scheme, prepare)
        browser.close()


def shipped() -> Iterator[Path]:
    """Real photos that are installed anyway."""
    for place, names in SHIPPED.items():
        package, _, inside = place.partition("/")
        spec = find_spec(package)
        if spec is None or spec.origin is None:
            sys.exit(f"{package} is not installed: `make test` installs it")
        yield from (Path(spec.origin).parent / inside / name for name in names)


@contextmanager
def system() -> Iterator[Mapping[str, Any]]:
    """`enrich up` in an empty folder; what `enrich env --json` prints of it."""
    with tempfile.TemporaryDirectory(prefix="pictures-") as folder:
        Path(folder).chmod(0o755)
        with (Path(folder) / "said").open("w+") as said:
            ports = str(free_port_base())
            up = subprocess.Popen([ENRICH, "up", "--port-base", ports], cwd=folder, stdout=said, stderr=said)
        try:
            wait_for(lambda: "Ctrl-C" in (Path(folder) / "said").read_text() or up.poll() is not None, seconds=180)
            if up.poll() is not None:
                sys.exit((Path(folder) / "said").read_text())
            yield json.loads(enrich("env", "--json", cwd=Path(folder)))
        finally:
            up.send_signal(signal.SIGINT)
            up.wait(120)


def enrich(*arguments: str, cwd: Path) -> str:
    return subprocess.run([ENRICH, *arguments], cwd=cwd, check=True, capture_output=True, text=True).stdout


def upload(env: Mapping[str, Any], files: list[Path]) -> None:
    """Put the files into the bucket, and wait until the store's events have led to tags."""
    store = boto3.client(
        "s3",
        endpoint_url=env["s3_endpoint_url"],
        region_name=env["s3_region"],
        aws_access_key_id=env["s3_access_key_id"],
        aws_secret_access_key=env["s3_secret_access_key"],
    )
    for file in files:
        store.upload_file(str(file), env["bucket"], file.name)
    headers = {"Authorization": f"Bearer {env['api_token']}"}

    def done() -> bool:
        found = urllib3.request("GET", f"{env['api_url']}/v1/status", headers=headers).json()
        return bool(found["enriched"] + found["excluded"] + found["quarantined"] >= len(files))

    wait_for(done, seconds=600)


def wait_for(holds: Callable[[], bool], *, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            sys.exit(f"not within {seconds:.0f} s")
        time.sleep(0.5)


def take(context: BrowserContext, url: str, name: str, scheme: str, prepare: Callable[[Page, str], None]) -> None:
    """One picture of one page."""
    page = context.new_page()
    page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]  # a literal
    prepare(page, url)
    page.wait_for_load_state("networkidle")
    page.wait_for_timeout(500)
    with Image.open(io.BytesIO(page.screenshot())) as picture:
        picture.save(PICTURES / f"{name}-{scheme}.webp", quality=82, method=6)
    page.close()


# -- what is on them ---------------------------------------------------------------------------------------------------
def _search(page: Page, url: str) -> None:
    page.goto(f"{url}/?q=a+person")
    page.get_by_role("grid").wait_for()


def _review(page: Page, url: str) -> None:
    page.goto(f"{url}/review?taxonomy=setting&label=outdoor&queue=uncertain")
    name = page.get_by_label("Your name")
    name.or_(page.locator("main img")).first.wait_for()
    if name.is_visible():  # the browser remembers it afterwards
        name.fill("ada")
        name.press("Enter")
    page.locator("main img").first.wait_for()


def _taxonomies(page: Page, url: str) -> None:
    page.goto(f"{url}/taxonomies?open=setting")
    page.get_by_text("Would tag").first.wait_for()


def _map(page: Page, url: str) -> None:
    page.goto(f"{url}/map?by=tag:setting")
    page.locator("canvas").first.wait_for()


def _at(address: str) -> Callable[[Page, str], None]:
    return lambda page, url: page.goto(f"{url}/{address}") and None


SHOTS: Mapping[str, Callable[[Page, str], None]] = {
    "search": _search,
    "image": _at("image?bucket=photos&key=chelsea.png"),
    "review": _review,
    "taxonomies": _taxonomies,
    "map": _map,
    "operations": _at("operations"),
}


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else None)
