"""Learns from what people decided."""
