"""Image Enricher: every upload becomes searchable tags and vectors, and nothing is lost on the way."""

__version__ = "0.1.0"
