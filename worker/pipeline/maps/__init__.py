"""The 2-D map of a collection: drawn from the vectors of one space, kept as a version, and read as arrays."""
