"""The PostgreSQL source."""

from springline.sources.postgres.source import PostgresSource

__all__ = ["PostgresSource"]
