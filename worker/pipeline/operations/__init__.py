"""Operations: status, health, counters, the quarantine, buckets."""
