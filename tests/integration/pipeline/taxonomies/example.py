"""The example of docs/how-to/change-taxonomies.md."""

from __future__ import annotations

import re
from pathlib import Path

DOCUMENT = Path(__file__).parents[4] / "docs" / "how-to" / "change-taxonomies.md"
EXAMPLE = DOCUMENT.read_text().partition("## An example from end to end\n")[2].partition("\n## ")[0]
FILES = re.findall(r"```yaml\n(.*?)```", EXAMPLE, re.DOTALL)
SESSIONS = re.findall(r"```console\n(.*?)```", EXAMPLE, re.DOTALL)


def write(text: str) -> None:
    Path("car-colour.yaml").write_text(text)
