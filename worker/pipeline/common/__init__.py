"""What several use cases share: cursors, filters, time filters, estimates, stored encodings."""
