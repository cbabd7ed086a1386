"""Uses an installed wheel from a directory that knows nothing of the checkout. Run by ``.ci/wheel-test``.

A script of its own, without pytest: it must see nothing but what a user's environment would hold.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from importlib import metadata
from pathlib import Path

from PIL import Image

import worker
from worker import catalog, resources, tagging

_SHIPPED = {"document-page", "setting", "time-of-day"}
_ENRICH = Path(sys.executable).with_name("enrich")


def main() -> None:
    """Run every check; the first that fails ends the script."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--not-from", type=Path, required=True, help="the checkout, which must not be what is tested")
    checkout = parser.parse_args().not_from
    for check in (installed, schemas, taxonomies, migrations, pages):
        _report(check.__name__, check(checkout))
    for run in (helps, tags, demonstrates):
        _report(run.__name__, run())


def installed(checkout: Path) -> str:
    """The code under test is the wheel's."""
    where = Path(worker.__file__).resolve()
    _require(not where.is_relative_to(checkout), f"the checkout is what would be tested: {where}")
    _require(metadata.version("image-enricher") == worker.__version__, "metadata and code disagree on the version")
    return worker.__version__


def schemas(checkout: Path) -> str:
    """Schemas travel inside the package."""
    found = resources.schemas_dir()
    _require(found == Path(worker.__file__).resolve().parent / "_schemas", f"schemas come from {found}")
    expected, shipped = _contents(checkout / "schemas"), _contents(found)
    differing = sorted({name for name, _ in expected.items() ^ shipped.items()})
    _require(not differing, f"these schemas differ from the checkout's: {', '.join(differing)}")
    return f"{len(shipped)} files"


def taxonomies(_checkout: Path) -> str:
    """The shipped taxonomies load."""
    names = {taxonomy.name for taxonomy in tagging.load_taxonomies(())}
    _require(names >= _SHIPPED, f"shipped taxonomies found: {sorted(names)}")
    return ", ".join(sorted(names))


def pages(checkout: Path) -> str:
    """The pages travel inside the package, with the licences of the libraries in them."""
    expected = _contents(checkout / "worker" / "web" / "static")
    shipped = _contents(Path(worker.__file__).resolve().parent / "web" / "static")
    _require(
        shipped == expected, f"these files differ: {sorted({name for name, _ in shipped.items() ^ expected.items()})}"
    )
    return f"{len(shipped)} files"


def migrations(_checkout: Path) -> str:
    """The migrations are found."""
    return catalog.schema.latest_version()


def helps() -> str:
    """The console script is installed and names the commands."""
    shown = _enrich("--help")
    for command in ("demo", "up", "tag", "search", "backfill", "migrate"):
        _require(command in shown, f"`enrich --help` does not name {command}")
    return f"{len(shown.splitlines())} lines"


def tags() -> str:
    """A picture is tagged, without servers."""
    Image.effect_noise((320, 240), 90).convert("RGB").save("noise.jpg")
    line = json.loads(_enrich("tag", "--json", "noise.jpg"))
    _require((line["width"], line["height"]) == (320, 240), f"wrong size: {line}")
    _require(set(line["tags"]) >= _SHIPPED, f"tags of {sorted(line['tags'])} only")
    return f"{len(line['tags'])} taxonomies decided"


def demonstrates() -> str:
    """The whole system starts from the wheel, does its work and ends."""
    shown = _enrich("demo", "--exit")
    balance = next(line for line in shown.splitlines() if "uploaded =" in line)
    _require("+ 0 pending" in balance, balance)
    return balance


def _contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def _enrich(*arguments: str) -> str:
    done = subprocess.run([str(_ENRICH), *arguments], capture_output=True, text=True, timeout=280, check=False)
    _require(done.returncode == 0, f"`enrich {' '.join(arguments)}` ends with {done.returncode}:\n{done.stderr}")
    return done.stdout


def _require(holds: bool, otherwise: str) -> None:
    if not holds:
        sys.exit(f"the wheel is broken: {otherwise}")


def _report(name: str, result: str) -> None:
    sys.stdout.write(f"wheel: {name}: {result}\n")


if __name__ == "__main__":
    main()
