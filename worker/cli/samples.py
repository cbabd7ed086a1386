"""The demo's photos, which ship inside Python packages: nothing is fetched from the web."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from worker.errors import ConfigurationError

#: Real photos and scans with recognisable content. Licences: see the data notes of scikit-image and scikit-learn.
_SKIMAGE = (
    "astronaut.png",
    "camera.png",
    "chelsea.png",
    "coffee.png",
    "coins.png",
    "grass.png",
    "hubble_deep_field.jpg",
    "motorcycle_left.png",
    "rocket.jpg",
)
_SKLEARN = ("china.jpg", "flower.jpg")


def photos() -> list[tuple[str, Callable[[], bytes]]]:
    """Key and content of each photo, of a page with their credits, and of a truncated upload."""
    skimage, sklearn = _folder("skimage", "data"), _folder("sklearn", "datasets/images")
    files = [skimage / name for name in _SKIMAGE] + [sklearn / name for name in _SKLEARN]
    found = [(path.name, path.read_bytes) for path in files if path.is_file()]
    credits_page = _typeset((skimage / "README.txt").read_text() + (sklearn / "README.txt").read_text())
    half = (sklearn / "china.jpg").read_bytes()[:60_000]
    return [*found, ("credits-page.png", lambda: credits_page), ("broken-upload.jpg", lambda: half)]


def _typeset(text: str) -> bytes:
    """A page as a scanner would deliver it: the packages' photos include no complete, legible page."""
    page = Image.new("RGB", (1_240, 1_754), (252, 251, 247))  # A4 at 150 dpi
    lines = [line for paragraph in text.splitlines() for line in textwrap.wrap(paragraph, 90) or [""]]
    ink, font = (25, 25, 28), ImageFont.load_default(22)
    ImageDraw.Draw(page).multiline_text((130, 120), "\n".join(lines[:52]), fill=ink, font=font, spacing=7)
    buffer = io.BytesIO()
    page.save(buffer, "PNG")
    return buffer.getvalue()


def _folder(package: str, inside: str) -> Path:
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise ConfigurationError(
            "the demo's photos are not installed: pip install 'image-enricher[demo]', or name a folder: --photos DIR"
        )
    return Path(spec.origin).parent / inside
