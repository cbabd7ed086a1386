"""Pictures: from a stored object, or the bytes of a file, to pixels that a model takes."""
