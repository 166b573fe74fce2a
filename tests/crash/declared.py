"""What the application under test declares: the names of its parts, and its views."""

from __future__ import annotations

SOURCE = "shop"
FOLDER = "papers"
KNOWLEDGE = "handbook"

VIEWS = {
    "order_lines": """
        SELECT o.id, o.amount, o.placed_at, c.code, c.name, c.tier
        FROM shop.orders AS o JOIN shop.customers AS c ON o.customer = c.code""",
    "customer_orders": """
        SELECT c.code, c.region, o.id AS order_id, o.amount
        FROM shop.customers AS c LEFT JOIN shop.orders AS o ON o.customer = c.code""",
    "spending": """
        SELECT customer, COUNT(*) AS n, SUM(amount) AS total, MIN(amount) AS least, MAX(placed_at) AS latest
        FROM shop.orders GROUP BY customer""",
    "ledger_totals": """
        SELECT account, COUNT(*) AS n, SUM(amount) AS total FROM shop.ledger GROUP BY account""",
}
"""SQL that Springline and PostgreSQL understand alike, but for the source's name before the tables."""
