"""Benchmarks: ours beside what a user would pick instead, in one run, on the same files, servers and weights' shape."""
