"""Variables that look like settings and are none."""

from __future__ import annotations

import difflib
import os
import re

from worker.settings import DOTENV, Settings

#: Ours, but not settings: what `enrich env` prints for people, and build arguments of the image.
_NOT_SETTINGS = frozenset({"ENRICH_API_URL", "ENRICH_BAKE_MODEL", "ENRICH_BAKE_REVISION"})
#: Variables that Kubernetes and Docker links set for services named enrich-something.
_SERVICE_LINK = re.compile(r"_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_\d+_(TCP|UDP)(_\w+)?)$")


def unknown() -> list[str]:
    """A warning for each variable in the environment or ``.env`` that looks like a setting but is unknown.

    They are not errors: a deployment that goes back to an older release may have settings of the newer one.
    """
    known = {f"ENRICH_{name.upper()}" for name in Settings.model_fields}
    given = {**dict.fromkeys(os.environ, ""), **dict.fromkeys(_dotenv(), f" in {DOTENV}")}
    return [
        _about(name, where, known)
        for name, where in sorted(given.items())
        if name.upper().startswith("ENRICH")
        and name.upper() not in known | _NOT_SETTINGS
        and not _SERVICE_LINK.search(name.upper())
    ]


def _dotenv() -> list[str]:
    from dotenv import dotenv_values

    return list(dotenv_values(DOTENV))


def _about(name: str, where: str, known: set[str]) -> str:
    near = difflib.get_close_matches(name.upper(), known, n=1, cutoff=0.75)
    hint = f"did you mean {near[0]}?" if near else "docs/reference/generated/settings.md lists all settings"
    return f"unknown setting {name}{where} (ignored); {hint}"
