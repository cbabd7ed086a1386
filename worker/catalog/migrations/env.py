"""Alembic's entry point. The connection is handed over by ``worker.catalog.schema``, never read from an ini file."""

from __future__ import annotations

from alembic import context

context.configure(connection=context.config.attributes["connection"], transaction_per_migration=True)
with context.begin_transaction():
    context.run_migrations()
