"""Terminal output on stdin → the README's picture on stdout; `make picture` runs it on a real demo."""

from __future__ import annotations

import io
import re
import sys

from rich.console import Console
from rich.text import Text

WIDTH = 104


def main() -> None:
    console = Console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True)
    for line in sys.stdin.read().splitlines():
        console.print(Text.from_ansi(line))
    svg = console.export_svg(title="make demo")
    # The picture must not fetch fonts from anywhere.
    svg = re.sub(r"@font-face\s*{.*?}\s*", "", svg, flags=re.DOTALL)
    sys.stdout.write(re.sub(r"[ \t]+$", "", svg.replace("Fira Code, monospace", "monospace"), flags=re.MULTILINE))


if __name__ == "__main__":
    main()
