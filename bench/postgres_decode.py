"""What decoding and converting one row of the replication stream costs. Run: ``python -m bench.postgres_decode``."""

from __future__ import annotations

import statistics
import struct
import time

from springline.sources.postgres.pgoutput import RowDecoder
from springline.sources.postgres.values import PgType, converter

ROWS = 200_000
RUNS = 5

COLUMNS = (
    (PgType("int8"), b"123456"),
    (PgType("text"), b"a text of ordinary length"),
    (PgType("numeric", (10 << 16 | 2) + 4), b"1234.56"),
    (PgType("timestamptz"), b"2013-02-08 10:00:00.123+00"),
    (PgType("bool"), b"t"),
)


def main() -> None:
    decoder = RowDecoder(
        "crm.t", [converter(type_) for type_, _ in COLUMNS], [True, False, False, False, False]
    )
    values = b"".join(b"t" + struct.pack(">I", len(text)) + text for _, text in COLUMNS)
    payload = b"I" + struct.pack(">I", 16_400) + b"N" + struct.pack(">H", len(COLUMNS)) + values
    costs: list[float] = []
    for _ in range(RUNS):
        started = time.perf_counter()
        for _ in range(ROWS):
            decoder.insert(payload)
        costs.append((time.perf_counter() - started) / ROWS * 1e6)
    print(
        f"decode and convert, {len(COLUMNS)} columns: {statistics.median(costs):.2f} us a row (best {min(costs):.2f})"
    )


if __name__ == "__main__":
    main()
