"""Database roles: the owner migrates, workers write, readers see what other services may read.

Only the owner makes, changes and drops tables. A worker's role has the rights that the long-running processes need, a
reader's those of the views and the change feed. Neither needs to be, or to become, a superuser.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal

from sqlalchemy import text

from worker.db import Connection
from worker.errors import ConfigurationError

Role = Literal["worker", "reader"]

_WRITE = "SELECT, INSERT, UPDATE, DELETE"
_VIEWS = ("enriched_images", "image_tags", "image_vectors", "label_vectors_in_use")
#: Role → relations → rights. A test compares them with the schema.
_RELATIONS: Mapping[Role, Mapping[str, str]] = {
    "worker": {
        "alembic_version": "SELECT",
        **dict.fromkeys(_VIEWS, "SELECT"),
        **dict.fromkeys(
            (
                "buckets", "changes", "embeddings", "feed", "given_up", "golden_vectors", "images", "inbox",
                "label_sets", "label_vectors", "ledger_counted", "ledger_counts", "ledger_deltas", "map_chunks",
                "maps", "owed_vectors", "preview_fills", "processes", "quarantine", "reconciliations",
                "rejected_events", "retaggings", "saved_queries", "space_counted", "space_counts", "space_deltas",
                "spaces", "tags", "taxonomies", "taxonomy_revisions", "text_vectors", "used_login_codes",
            ),
            _WRITE,
        ),
        "decisions": "SELECT, INSERT",
        **dict.fromkeys(("certificates", "certified_labels", "review_items", "review_plans"), "SELECT, INSERT, UPDATE"),
        "heads": "SELECT, INSERT",
    },
    "reader": dict.fromkeys((*_VIEWS, "changes", "feed"), "SELECT"),
}  # fmt: skip
_SEQUENCES: Mapping[Role, tuple[str, ...]] = {"worker": ("inbox_token_seq", "owed_vectors_token_seq"), "reader": ()}
_FUNCTIONS: Mapping[Role, tuple[str, ...]] = {
    "worker": ("search_images", "make_partition", "make_label_index", "decided_tags", "project_decisions"),
    "reader": ("search_images",),
}
_EXISTS = text("""
    SELECT r.rolsuper, pg_has_role(r.rolname, c.relowner, 'MEMBER') AS owns
    FROM pg_roles r, pg_class c WHERE r.rolname = :name AND c.oid = 'inbox'::regclass
""")
# Which roles have been given rights before, by what only they have.
_KNOWN = text("""
    SELECT DISTINCT a.grantee::regrole::text AS name FROM pg_class c, aclexplode(c.relacl) AS a
    WHERE c.oid = to_regclass(:relation) AND a.privilege_type = :right AND a.grantee NOT IN (0, c.relowner)
""")
_SCHEMA = text("SELECT quote_ident(current_schema()), quote_ident(current_database())")
_PARTITIONS = text("SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'embeddings'::regclass")
_QUOTED = text("SELECT quote_ident(:name)")


def ensure_login(connection: Connection, name: str, password: str) -> None:
    """Ensure a role that can log in with this password; a new one gets no other rights."""
    quoted: str = connection.execute(_QUOTED, {"name": name}).scalar_one()
    exists = connection.execute(_EXISTS, {"name": name}).one_or_none() is not None
    # The driver writes the password into the statement; no command line and no log has it.
    how = "ALTER" if exists else "CREATE"
    connection.execute(text(f"{how} ROLE {quoted} LOGIN PASSWORD :password"), {"password": password})


def grant(connection: Connection, role: Role, name: str) -> None:
    """Grant an existing role the rights of a worker or a reader; other roles keep theirs.

    Raises:
        ConfigurationError: there is no such role, or it has the owner's rights anyhow.
    """
    found = connection.execute(_EXISTS, {"name": name}).one_or_none()
    quoted: str = connection.execute(_QUOTED, {"name": name}).scalar_one()
    if found is None:
        raise ConfigurationError(
            f"there is no role {name!r} in the database: have an administrator run "
            f"`CREATE ROLE {quoted} LOGIN PASSWORD '…'`, then run `enrich migrate --{role} {name}` again"
        )
    if found.rolsuper or found.owns:
        what = "a superuser" if found.rolsuper else "the tables' owner, or a member of that role"
        raise ConfigurationError(f"the role {name!r} is {what}, whose rights cannot be restricted: name another role")
    _give(connection, role, quoted)


def refresh(connection: Connection) -> None:
    """Grant every role named before its rights on relations that a migration has added since."""
    workers = _known(connection, "inbox", "INSERT")
    for name in workers:
        _give(connection, "worker", name)
    for name in _known(connection, "enriched_images", "SELECT") - workers:
        _give(connection, "reader", name)


def _known(connection: Connection, relation: str, right: str) -> set[str]:
    return set(connection.execute(_KNOWN, {"relation": relation, "right": right}).scalars())


def _give(connection: Connection, role: Role, quoted: str) -> None:
    for statement in _statements(connection, role):
        connection.execute(text(f"GRANT {statement} TO {quoted}"))


def _statements(connection: Connection, role: Role) -> Iterable[str]:
    schema, database = connection.execute(_SCHEMA).one()
    yield f"CONNECT ON DATABASE {database}"
    yield f"USAGE ON SCHEMA {schema}"
    for relation, rights in _RELATIONS[role].items():
        yield f"{rights} ON {schema}.{relation}"
    for sequence in _SEQUENCES[role]:
        yield f"SELECT, USAGE ON SEQUENCE {schema}.{sequence}"
    for function in _FUNCTIONS[role]:
        yield f"EXECUTE ON FUNCTION {schema}.{function}"
    if role == "worker":
        yield f"TEMPORARY ON DATABASE {database}"
        for partition in connection.execute(_PARTITIONS).scalars():
            yield f"{_WRITE} ON {partition}"
