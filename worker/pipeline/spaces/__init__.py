"""Embedding spaces: creating, filling, comparing, activating and retiring them."""
