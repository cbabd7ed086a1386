"""Asserts read `expected == actual`, in every test."""

from __future__ import annotations

import ast
from pathlib import Path

_TESTS = Path(__file__).parents[1]
_COLLECTIONS = ast.Tuple | ast.List | ast.Set | ast.Dict


def is_expected(node: ast.AST | None) -> bool:
    """Whether it is a literal, of literals throughout, or called so."""
    if isinstance(node, _COLLECTIONS):
        return all(is_expected(each) for each in ast.iter_child_nodes(node) if isinstance(each, ast.expr))
    return isinstance(node, ast.Constant | ast.JoinedStr) or (isinstance(node, ast.Name) and node.id == "expected")


def test_what_is_expected_stands_on_the_left() -> None:
    """No assert compares something with a literal on its right."""
    files = {path: ast.parse(path.read_text()) for path in _TESTS.rglob("*.py")}
    asserts = [
        (path, node.test) for path, tree in files.items() for node in ast.walk(tree) if isinstance(node, ast.Assert)
    ]
    turned = [
        f"{path.relative_to(_TESTS)}:{test.lineno}"
        for path, test in asserts
        if isinstance(test, ast.Compare) and [ast.Eq] == [type(each) for each in test.ops]
        if is_expected(test.comparators[0]) and not is_expected(test.left)
    ]
    assert [] == turned
