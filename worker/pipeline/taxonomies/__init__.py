"""Taxonomies in force: planning, applying and rolling back, and the vectors of prompts and labels."""
