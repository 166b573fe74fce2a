"""Kills every part of a cluster in turn, under load, and counts what was lost, doubled, stale, mixed or wrong."""
