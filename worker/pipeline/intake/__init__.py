"""Notifications become pending work."""
