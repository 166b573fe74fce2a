"""The embedded runtime: one process, one data folder."""
