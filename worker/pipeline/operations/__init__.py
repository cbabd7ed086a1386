"""What an operator sees and does: status, health, counters, the quarantine, buckets."""
