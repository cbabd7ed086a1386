"""Measures tags against what people decided, and proves their precision."""
