"""The built-in model: offline, from wheels, good enough for a first minute and for tests with real semantics."""

from __future__ import annotations

from worker.encoder.starter.model import StarterEncoder, load

__all__ = ["StarterEncoder", "load"]
