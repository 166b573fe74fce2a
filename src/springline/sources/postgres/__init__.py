"""The PostgreSQL source."""

from springline.sources.postgres.permissions import permission_sql
from springline.sources.postgres.source import PostgresSource

__all__ = ["PostgresSource", "permission_sql"]
