"""Metrics in Prometheus' text format."""

from __future__ import annotations

import re

from fastapi.testclient import TestClient

from springline.serve.http import create_app
from springline.serve.metrics import CONTENT_TYPE
from springline.testing.fake_service import FakeService

LINE = re.compile(r'^[a-z_]+(\{[a-z_]+="(?:[^"\\\n]|\\.)*"(,[a-z_]+="(?:[^"\\\n]|\\.)*")*\})? -?[0-9.e+-]+$')


def test_metrics_are_well_formed_and_label_routes_not_paths() -> None:
    client = TestClient(create_app(FakeService()), base_url="http://127.0.0.1")
    client.get("/v1/relations/airline.flights")
    client.get("/v1/receipts/r_0123456789")
    response = client.get("/metrics")
    assert response.headers["content-type"] == CONTENT_TYPE
    lines = response.text.strip().split("\n")
    samples = [line for line in lines if not line.startswith("#")]
    assert [line for line in samples if not LINE.match(line)] == []
    declared = {line.split(" ")[2] for line in lines if line.startswith("# TYPE")}
    assert {
        re.sub(r"_(bucket|sum|count)$", "", re.split(r"[{ ]", line)[0]) for line in samples
    } <= declared | {name.removesuffix("_count") for name in declared}
    assert "springline_up 1" in samples
    assert 'springline_relation_rows{relation="airline.flights",kind="table"} 64' in samples
    assert (
        'springline_http_requests_total{method="GET",route="/v1/relations/{name}",status="200"} 1' in samples
    )
    assert "r_0123456789" not in response.text
