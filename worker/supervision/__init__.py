"""Processes that run as long as the one that started them: restarted, stopped together, and never left behind."""
