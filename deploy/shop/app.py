"""A shop's help desk on Kafka and Flink."""

import springline as sl

app = sl.App("shop")
app.postgres("shop", "env:DATABASE_URL", tables=["customers", "orders"])
app.folder("handbook", "handbook/")
app.view(
    "open_orders",
    """
    SELECT o.id, o.customer_id, c.name, o.item, o.status, o.due
    FROM shop.orders AS o JOIN shop.customers AS c ON c.id = o.customer_id
    WHERE o.status <> 'delivered'
    """,
    key=["id"],
)
app.knowledge("rules", over="handbook.documents")
app.assistant(
    subject="customer",
    passages=["rules"],
    rows=[
        sl.Rows("open_orders", subject_column="customer_id", describe="{item} is {status}, due {due:day}.")
    ],
)
