"""Pictures: from a stored object, or a file's bytes, to preprocessed pixels."""
