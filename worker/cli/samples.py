"""Photos that ship inside packages, for the demo: nothing is fetched from the web."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

from worker.errors import ConfigurationError

#: Real photos and scans, each with something to see. Licences: scikit-image's and scikit-learn's own data notes.
_SKIMAGE = (
    "astronaut.png",
    "camera.png",
    "chelsea.png",
    "clock_motion.png",
    "coffee.png",
    "coins.png",
    "grass.png",
    "hubble_deep_field.jpg",
    "motorcycle_left.png",
    "page.png",
    "rocket.jpg",
    "text.png",
)
_SKLEARN = ("china.jpg", "flower.jpg")


def photos() -> list[tuple[str, Callable[[], bytes]]]:
    """Key and content of each photo, and one upload that broke off half-way, to show what happens then."""
    skimage, sklearn = _folder("skimage", "data"), _folder("sklearn", "datasets/images")
    files = [skimage / name for name in _SKIMAGE] + [sklearn / name for name in _SKLEARN]
    found = [(path.name, path.read_bytes) for path in files if path.is_file()]
    half = (sklearn / "china.jpg").read_bytes()[:60_000]
    return [*found, ("broken-upload.jpg", lambda: half)]


def _folder(package: str, inside: str) -> Path:
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise ConfigurationError(
            "the demo's photos come with packages: pip install 'image-enricher[demo]', or name a folder: --photos"
        )
    return Path(spec.origin).parent / inside
