"""The files of the pages: pinned libraries, addresses by content, a policy without exceptions."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections import defaultdict
from collections.abc import Iterator
from importlib.resources import files

from worker.web import files as web_files

STATIC = files("worker.web") / "static"
VENDORED = json.loads((files("worker.web") / "vendored.json").read_text())


def test_libraries_are_what_was_pinned():
    """Each vendored file has the checksum on record and a licence beside it; none is there without."""
    found = {each.name for each in (STATIC / "vendor").iterdir()}
    assert set(VENDORED) == {name for name in found if name.endswith(".mjs")}
    for name, said in VENDORED.items():
        assert said["sha256"] == hashlib.sha256((STATIC / "vendor" / name).read_bytes()).hexdigest()
        assert f"{said['package']}.LICENSE" in found


def test_addresses_change_with_the_content():
    """The version is in the page, in its import map and in no other file."""
    site = web_files.load()
    page = site.index.body.decode()
    assert 8 <= page.count(f"assets/{site.version}/")
    assert "{" not in re.sub(r'<script type="importmap">.*?</script>', "", page, flags=re.DOTALL)


def test_only_the_import_map_is_inline():
    """Its hash is in the policy; no other script, style or handler stands in the page."""
    site = web_files.load()
    page = site.index.body.decode()
    [import_map] = re.findall(r'<script type="importmap">(.*?)</script>', page, flags=re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(import_map.encode()).digest()).decode()
    assert f"script-src 'self' 'sha256-{digest}'" in site.policy
    assert "unsafe" not in site.policy
    assert [] == re.findall(r"<style|\sstyle=|\son\w+=", page)
    assert {"preact", "preact/hooks", "htm"} == set(json.loads(import_map)["imports"])


def test_every_import_is_of_a_file_that_ships():
    """No module imports what is not there, or from another origin."""
    site = web_files.load()
    for name, file in site.assets.items():
        if not name.startswith(("app/", "pages/")) or not name.endswith(".js"):
            continue
        for wanted in re.findall(r'(?:from\s+|import\(\s*)"([^"]+)"', file.body.decode()):
            if wanted.startswith("."):
                folder = name.rpartition("/")[0].split("/")
                parts = wanted.split("/")
                while parts[0] in (".", ".."):
                    folder = folder[:-1] if parts.pop(0) == ".." else folder
                assert "/".join([*folder, *parts]) in site.assets, (name, wanted)
            else:
                assert wanted in ("preact", "preact/hooks", "htm"), (name, wanted)


def test_no_two_parts_of_the_pages_style_the_same_class():
    """Each class that a rule begins with belongs to one section or one page; what all share is named first."""
    owners: dict[str, set[str]] = defaultdict(set)
    for name, text in _sections():
        rules = re.sub(r"{[^{}]*}", "{}", text)
        for selector in re.findall(r"(?:^|[},{])\s*([^{},@]+)", rules):
            if found := re.match(r"\.([\w-]+)(?![\w.:\[-])", selector.strip()):
                owners[found[1]].add(name)
    assert {} == {each: parts for each, parts in owners.items() if len(parts) > 1}


def _sections() -> Iterator[tuple[str, str]]:
    parts = re.split(r"/\* -- (.+?) -+ \*/", (STATIC / "app.css").read_text())
    yield from zip(parts[1::2], parts[2::2], strict=True)
    for name, file in web_files.load().assets.items():
        if name.startswith("pages/") and name.endswith(".css"):
            yield name, file.body.decode()
