"""Comparing buckets with the ledger: backfill, verify, and the scheduled reconciliation."""
