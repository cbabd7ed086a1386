"""Signed cookies and codes: until when they hold, for what, and by which token."""

from __future__ import annotations

import pytest

from worker.api.access import Scope, Tokens
from worker.api.sessions import Sessions

TOKENS = Tokens(admin="admin-0123456789", review="review-0123456789")
NOW = 1_796_000_000


def sessions(tokens: Tokens = TOKENS, *, at: float = NOW) -> Sessions:
    return Sessions(tokens, clock=lambda: at)


def test_a_code_holds_until_its_end():
    """To the second; afterwards it is nobody's."""
    code, expires = sessions().code(Scope.REVIEW, seconds=60)
    assert NOW + 60 == expires
    found = sessions(at=NOW + 59).of_code(code)
    assert found is not None
    assert (Scope.REVIEW, expires) == (found.scope, found.expires)
    assert sessions(at=NOW + 60).of_code(code) is None


def test_a_changed_token_ends_what_it_signed():
    """And nothing else: the review token's codes survive a new admin token."""
    by_admin, _ = sessions().code(Scope.ADMIN)
    by_review, _ = sessions().code(Scope.REVIEW)
    changed = sessions(Tokens(admin="another-0123456789", review=TOKENS.review))
    assert changed.of_code(by_admin) is None
    assert changed.of_code(by_review) is not None


def test_a_scope_without_a_token_is_signed_by_the_admins():
    """So that a link to look can be made before there is a read token; without either, nothing is valid."""
    code, _ = sessions().code(Scope.READ)
    found = sessions().of_code(code)
    assert found is not None
    assert Scope.READ == found.scope
    assert sessions(Tokens(review=TOKENS.review)).of_code(code) is None


@pytest.mark.parametrize("change", ["admin", "later", "cut", "cookie", "empty", "dots", "digits", "surrogate"])
def test_what_was_not_signed_so_is_refused(change):
    """Another scope, a later end, less of it, a cookie as a code, and what has another form."""
    code, expires = sessions().code(Scope.REVIEW)
    forged = {
        "admin": code.replace("review", "admin"),
        "later": code.replace(str(expires), str(expires + 1)),
        "cut": code[:-1],
        "cookie": sessions().cookie(Scope.REVIEW)[0],
        "empty": "",
        "dots": "...",
        "surrogate": code[:-1] + "\ud800",
        "digits": code.replace(str(expires), "١٧٩٦"),
    }[change]
    assert sessions().of_code(forged) is None
