"""``python -m worker.api.openapi`` writes ``schemas/openapi.json``, for clients in any language."""

from __future__ import annotations

import json

from worker.api.app import openapi_document
from worker.resources import schemas_dir

#: A test shows this when the file is out of date.
COMMAND = "python -m worker.api.openapi"


def rendered() -> str:
    """The file's text, in the order of the routes, so that a diff shows what changed."""
    return json.dumps(openapi_document(), indent=2, ensure_ascii=False) + "\n"


def main() -> None:
    """Write the file into the checkout."""
    (schemas_dir() / "openapi.json").write_text(rendered(), encoding="utf-8")


if __name__ == "__main__":
    main()
