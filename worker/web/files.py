"""The files of the pages, read once, with a name that changes when any of them does."""

from __future__ import annotations

import base64
import gzip
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable

_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".LICENSE": "text/plain; charset=utf-8",
}
_INDEX = "index.html"


@dataclass(frozen=True, kw_only=True, slots=True)
class StaticFile:
    """One file."""

    body: bytes
    gzipped: bytes
    media_type: str

    @classmethod
    def of(cls, body: bytes, name: str) -> StaticFile:
        """A file of this content, typed by the ending of its name."""
        ending = name[name.rindex(".") :]
        return cls(body=body, gzipped=gzip.compress(body, mtime=0), media_type=_TYPES[ending])


@dataclass(frozen=True, kw_only=True, slots=True)
class Site:
    """All files, and the one page that loads them."""

    index: StaticFile
    policy: str  # the Content-Security-Policy of the page
    version: str  # hex digits: the hash of all files, part of their addresses, so that they may be cached for ever
    assets: Mapping[str, StaticFile]  # path below ``assets/VERSION/`` → file


def load(folder: Traversable | None = None) -> Site:
    """Read the files that ship with the package, or those of another folder."""
    found = dict(sorted(_read(folder or files("worker.web") / "static", "")))
    version = hashlib.sha256(b"".join(name.encode() + b"\0" + body for name, body in found.items())).hexdigest()[:16]
    page = found.pop(_INDEX).decode().replace("{version}", version).replace("{preloads}", _preloads(found, version))
    return Site(
        index=StaticFile.of(page.encode(), _INDEX),
        policy=_policy(page),
        version=version,
        assets={name: StaticFile.of(body, name) for name, body in found.items()},
    )


def _read(folder: Traversable, path: str) -> Iterator[tuple[str, bytes]]:
    for each in folder.iterdir():
        if each.is_dir():
            yield from _read(each, f"{path}{each.name}/")
        else:
            yield path + each.name, each.read_bytes()


def _preloads(found: Mapping[str, bytes], version: str) -> str:
    """Modules that every page needs, so that the browser asks for all at once instead of one import after another."""
    needed = [name for name in found if name.startswith(("app/", "vendor/")) and name.endswith(("js", ".mjs"))]
    return "\n".join(f'<link rel="modulepreload" href="assets/{version}/{name}">' for name in needed)


def _policy(page: str) -> str:
    """Nothing but this origin. The import map has to be in the page (HTML has no other place for it): by its hash."""
    _, _, after = page.partition('<script type="importmap">')
    import_map, _, _ = after.partition("</script>")
    digest = base64.b64encode(hashlib.sha256(import_map.encode()).digest()).decode()
    return (
        f"default-src 'self'; script-src 'self' 'sha256-{digest}'; img-src 'self' blob: data:; object-src 'none'; "
        "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    )
