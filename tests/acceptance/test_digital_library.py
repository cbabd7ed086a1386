"""docs/tutorials/digital-library.md, done as it is written, on the pages that it names."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

from tests.acceptance.commands import environment, up
from worker.local.ports import free_port_base

ROOT = Path(__file__).parents[2]
DOCUMENT = ROOT / "docs/tutorials/digital-library.md"
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
#: What differs from run to run, or by a hair from processor to processor.
UNSTEADY = re.compile(r"[0-9a-f]{8}-[0-9a-f-]{27}|\b0\.\d{3}\b")


#: Processors with bfloat16 would use it, and a page or two has another label there.
EXACT = {"ENRICH_DTYPE": "float32"}


def test_the_tutorial(tmp_path: Path) -> None:
    """Each command works, and prints what the page says it prints."""
    (tmp_path / ".venv").symlink_to(sys.prefix)
    (tmp_path / "tests/fixtures").mkdir(parents=True)
    (tmp_path / "tests/fixtures/pages").symlink_to(ROOT / "tests/fixtures/pages")
    blocks = [(found[1], found[2]) for found in BLOCK.finditer(DOCUMENT.read_text())]
    assert ("sh", ".venv/bin/enrich up\n") == blocks[0]
    assert 7 == len([content for kind, content in blocks if not kind])
    with up(tmp_path, free_port_base(), env=EXACT) as system:
        printed = ""
        for kind, content in blocks[1:]:
            if kind == "sh":
                printed = run(content, tmp_path)
                if "--contact-sheet" in content:
                    unselect(tmp_path / "illustrations.html", re.compile("page-(003|007|066|117)"))
                system.until_totals(enriched=35, pending=0)
            elif kind == "yaml":
                (tmp_path / "page-type.yaml").write_text(content)
            else:
                assert UNSTEADY.sub("…", content) == UNSTEADY.sub("…", printed)


def unselect(sheet: Path, clicked: re.Pattern[str]) -> None:
    """Write what the sheet's button downloads once these were clicked; test_contact_sheet.py clicks in a browser."""
    page = sheet.read_text()
    embedded = re.search('id="data">(.*?)</script>', page, re.DOTALL)
    name = re.search('data-file="(.*?)"', page)
    assert embedded is not None
    assert name is not None
    data = json.loads(embedded[1])
    rows = [
        {**data["common"], **item, "verdict": "accept", "label": item["shown_label"]}
        for item in data["items"]
        if not clicked.search(item["key"])
    ]
    (sheet.parent / name[1]).write_text("".join(json.dumps(row) + "\n" for row in rows))


def run(commands: str, folder: Path) -> str:
    done = subprocess.run(
        ["sh", "-eu", "-c", commands],
        cwd=folder,
        env=environment(**EXACT),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert 0 == done.returncode, done.stderr
    return done.stdout
