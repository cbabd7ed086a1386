"""What axe-core finds on a page that keyboards, screen readers or weak eyes cannot use."""

from __future__ import annotations

from importlib.resources import files

from playwright.sync_api import Page

_AXE = (files("axe_playwright_python") / "axe.min.js").read_text()
_GRAVE = ("serious", "critical")


def violations(page: Page) -> list[str]:
    """Serious and critical ones, as RULE: what it is, and the first elements that break it."""
    page.evaluate(_AXE)  # not as a script element, which the content policy would refuse
    found = page.evaluate("axe.run({resultTypes: ['violations']})")["violations"]
    return [
        f"{each['id']}: {each['help']}: {[node['html'][:200] for node in each['nodes'][:3]]}"
        for each in found
        if each["impact"] in _GRAVE
    ]
