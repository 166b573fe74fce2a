"""Nexmark: a generator of its events, its queries in Flink SQL, and the right answers."""
