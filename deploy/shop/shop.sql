CREATE TABLE customers (id bigint PRIMARY KEY, name text NOT NULL);

CREATE TABLE orders (
    id bigint PRIMARY KEY,
    customer_id bigint NOT NULL REFERENCES customers,
    item text NOT NULL,
    status text NOT NULL DEFAULT 'placed',
    due date NOT NULL
);

INSERT INTO customers VALUES (1, 'Ada'), (2, 'Grace');
INSERT INTO orders VALUES
    (1, 1, 'A lamp', 'placed', '2026-12-01'),
    (2, 1, 'A desk', 'shipped', '2026-11-28'),
    (3, 2, 'A chair', 'delivered', '2026-11-20');
