"""The demo: a live airline database, its policy documents, and a storm to replay over them."""
