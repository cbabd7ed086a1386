"""Code shared by several use cases: cursors, filters, time filters, estimates."""
