"""A documented subset of Flink SQL: parse, check, plan, explain, and compile to SQLite."""
