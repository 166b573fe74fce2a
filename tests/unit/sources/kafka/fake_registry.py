"""A schema registry for tests, and records as producers that use one write them."""

from __future__ import annotations

import io
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import fastavro

FIELDS: list[Any] = [
    {"name": "id", "type": "long"},
    {"name": "name", "type": ["null", "string"], "default": None},
    {
        "name": "amount",
        "type": ["null", {"type": "bytes", "logicalType": "decimal", "precision": 30, "scale": 2}],
    },
    {"name": "at", "type": {"type": "long", "logicalType": "timestamp-micros"}},
]
ROW = {"type": "record", "name": "Value", "namespace": "shop.orders", "fields": FIELDS}
COLUMNS = {"id": "BIGINT", "name": "STRING", "amount": "DECIMAL(30, 2)", "at": "TIMESTAMP"}
VALUE = {"id": 1, "name": "Ä", "amount": b"\xfb\x1e", "at": 1_700_000_000_123_456}
STORED = [1, "Ä", "-12.50", 1_700_000_000_123_456]


def raw(schema: Any) -> Any:
    """The same schema without logical types, so that values are written as they are."""
    if isinstance(schema, dict):
        return {name: raw(value) for name, value in schema.items() if name != "logicalType"}
    return [raw(one) for one in schema] if isinstance(schema, list) else schema


def avro(identifier: int, schema: Any, value: Any) -> bytes:
    out = io.BytesIO()
    fastavro.schemaless_writer(out, fastavro.parse_schema(raw(schema)), value)
    return b"\0" + identifier.to_bytes(4, "big") + out.getvalue()


class FakeRegistry:
    """Answers as a registry does; ``status`` makes it fail."""

    def __init__(self) -> None:
        self.status = 200
        self.asked: list[str] = []
        self.authorization: list[str | None] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.asked.append(self.path)
                outer.authorization.append(self.headers.get("Authorization"))
                status, body = outer.answer(self.path)
                self.send_response(status)
                self.send_header("Content-Type", "application/vnd.schemaregistry.v1+json")
                self.end_headers()
                self.wfile.write(json.dumps(body).encode())

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def answer(self, path: str) -> tuple[int, Any]:
        if self.status != 200:
            return self.status, {"error_code": self.status, "message": "not now"}
        if path.startswith("/schemas/ids/7"):
            references = [{"name": "shop.Address", "subject": "address", "version": 2}]
            return 200, {"schema": json.dumps(ROW), "references": references}
        if path.startswith("/subjects/address/versions/2"):
            schema = json.dumps({"type": "record", "name": "Address", "namespace": "shop", "fields": []})
            return 200, {"subject": "address", "version": 2, "id": 5, "schema": schema}
        return 404, {"error_code": 40403, "message": "Schema not found"}

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
