"""Circuit breakers, heartbeats, memory limits, retries and the watchdog of a process."""
