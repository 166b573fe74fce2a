"""Endpoints that read: query, search, relations, explain, status and receipts."""

from __future__ import annotations

import base64
import json
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query

from springline.core.schema import TableSchema
from springline.core.types import store
from springline.errors import NotFound
from springline.serve import models
from springline.serve.errors import RequestInvalid, RequestTooLarge
from springline.serve.render import freshness_json, plain, schema_json, snapshot_json, status_json
from springline.serve.service import JsonObject, Limits, Service

RelationName = Annotated[
    str, Path(max_length=500, description="Name of a table or view.", examples=["airline.flights"])
]
ReceiptId = Annotated[str, Path(max_length=200, description="The receipt's id, as an answer states it.")]


def router(service: Service, limits: Limits) -> APIRouter:
    """The endpoints under /v1. They are plain functions, so each runs in a thread and may block."""
    routes = APIRouter(prefix="/v1")

    @routes.post("/query", response_model=models.QueryAnswer, tags=["read"], summary="Run one SELECT")
    def query(form: models.QueryForm) -> JsonObject:
        """Reads tables and views at one tick. With `require: now` every change committed before is in the result."""
        bound("sql", form.sql, limits.sql_characters)
        bound_number("limit", form.limit, limits.rows)
        with service.runtime.read(
            require=form.require, deadline_ms=form.deadline_ms, on_miss=form.on_miss
        ) as snapshot:
            # One row more than asked for tells whether there are more.
            result = snapshot.query(form.sql, form.parameters, limit=form.limit + 1)
            return {
                "columns": [{"name": name, "type": str(type_)} for name, type_ in result.columns],
                "rows": result.dictionaries()[: form.limit],
                "relations": result.relations,
                "truncated": len(result.rows) > form.limit,
                "snapshot": snapshot_json(snapshot),
                "freshness": freshness_json(snapshot.freshness),
            }

    @routes.post(
        "/search", response_model=models.SearchAnswer, tags=["read"], summary="Search a knowledge base"
    )
    def search(form: models.SearchForm) -> JsonObject:
        """Hybrid search (vectors and full text) at one tick."""
        bound("text", form.text, limits.question_characters)
        bound_number("limit", form.limit, limits.passages)
        service.runtime.prepare(form.text)
        with service.runtime.read(
            require=form.require, deadline_ms=form.deadline_ms, on_miss=form.on_miss
        ) as snapshot:
            hits = snapshot.search(form.knowledge_base, form.text, limit=form.limit)
            return {
                "hits": [plain(hit) for hit in hits],
                "snapshot": snapshot_json(snapshot),
                "freshness": freshness_json(snapshot.freshness),
            }

    @routes.get("/status", tags=["operate"], summary="The whole pipeline at a glance")
    def status() -> dict[str, Any]:
        """What `springline status --json` prints."""
        return status_json(service.runtime.status())

    @routes.post(
        "/resnapshot",
        response_model=models.Reloaded,
        tags=["operate"],
        summary="Load tables again from their source",
    )
    def resnapshot(form: models.ReloadForm) -> JsonObject:
        """Rows stay readable meanwhile; the tables say that they are loading, and `require: now` waits for them."""
        return {"tables": service.reload(form.tables)}

    _relations(routes, service, limits)
    _receipts(routes, service)
    return routes


def _relations(routes: APIRouter, service: Service, limits: Limits) -> None:
    @routes.get("/relations", response_model=models.RelationList, tags=["read"], summary="Tables and views")
    def relations() -> JsonObject:
        schemas, status = service.runtime.schemas(), service.runtime.status()
        listed = [
            {**plain(found), **schema_json(schemas[found.name])}
            for found in status.relations
            if found.name in schemas
        ]
        return {"relations": listed, "tick": status.tick}

    @routes.get(
        "/relations/{name}", response_model=models.RelationPage, tags=["read"], summary="Rows, page by page"
    )
    def relation(
        name: RelationName,
        limit: Annotated[int, Query(ge=1, le=100_000, description="Rows of a page.")] = 50,
        after: Annotated[
            str | None, Query(max_length=4_000, description="`next` of the page before.")
        ] = None,
    ) -> JsonObject:
        """Pages follow the key, so rows that come and go between two pages never repeat or hide others."""
        bound_number("limit", limit, limits.rows)
        schema = find_schema(service, name)
        sql, parameters = page_statement(schema, read_cursor(schema, after))
        with service.runtime.read() as snapshot:
            result = snapshot.query(sql, parameters, limit=limit + 1)
            rows = result.dictionaries()
            more = len(rows) > limit
            return {
                **schema_json(schema),
                "rows": rows[:limit],
                "next": write_cursor(schema, rows[limit - 1]) if more else None,
                "snapshot": snapshot_json(snapshot),
            }

    @routes.get(
        "/explain/{view}",
        response_model=models.Explanation,
        tags=["operate"],
        summary="How a view is maintained",
    )
    def explain(view: RelationName) -> JsonObject:
        """Each operator of the view with its level: delta, group or full."""
        return {"view": view, "text": service.runtime.explain(view)}


def _receipts(routes: APIRouter, service: Service) -> None:
    @routes.get("/receipts/{receipt_id}", tags=["prove"], summary="What an answer was based on")
    def receipt(receipt_id: ReceiptId) -> dict[str, Any]:
        return service.receipt(receipt_id)

    @routes.post(
        "/receipts/{receipt_id}/verify",
        response_model=models.Verification,
        tags=["prove"],
        summary="Rebuild the context",
    )
    def verify(receipt_id: ReceiptId) -> JsonObject:
        """Rebuilds the context of the answer from the log and compares it with what the receipt says."""
        return service.verify(receipt_id)


def find_schema(service: Service, name: str) -> TableSchema:
    """The schema of a relation. Raises NotFound with the names that there are."""
    schemas = service.runtime.schemas()
    if name not in schemas:
        known = ", ".join(sorted(schemas)[:20]) or "none yet"
        raise NotFound(f"There is no table or view {name!r}.", hint=f"There are: {known}.")
    return schemas[name]


def bound(field: str, text: str, characters: int) -> None:
    if len(text) > characters:
        raise RequestTooLarge(
            f"{field} has {len(text)} characters; the most is {characters}.", hint="Send a shorter text."
        )


def bound_number(field: str, number: float, most: float) -> None:
    if number > most:
        raise RequestInvalid(
            f"{field} is {number}; the most is {most}.",
            hint="Read page by page, or raise the server's limit.",
        )


def quote(name: str) -> str:
    """One name as our SQL writes it."""
    return "`" + name.replace("`", "``") + "`"


def quote_relation(name: str) -> str:
    """A relation's full name; its parts stand between dots."""
    return ".".join(quote(part) for part in name.split("."))


def page_statement(schema: TableSchema, after: list[object] | None) -> tuple[str, dict[str, object]]:
    """The SELECT of one page in key order, and its parameters. ``after`` holds the values of the last key seen."""
    columns = [quote(schema.names[index]) for index in schema.key_indexes]
    select = f"SELECT {', '.join(quote(name) for name in schema.names)} FROM {quote_relation(schema.name)}"
    order = f" ORDER BY {', '.join(columns)}"
    if after is None:
        return select + order, {}
    # (a, b) > (:x, :y), written out because row values are not part of the SQL subset.
    parameters: dict[str, object] = {f"key{index}": value for index, value in enumerate(after)}
    alternatives = [
        " AND ".join([*(f"{columns[i]} = :key{i}" for i in range(index)), f"{columns[index]} > :key{index}"])
        for index in range(len(columns))
    ]
    return f"{select} WHERE {' OR '.join(f'({part})' for part in alternatives)}{order}", parameters


def write_cursor(schema: TableSchema, row: dict[str, object]) -> str:
    values = [row[schema.names[index]] for index in schema.key_indexes]
    return base64.urlsafe_b64encode(json.dumps(values, ensure_ascii=False).encode()).decode().rstrip("=")


def read_cursor(schema: TableSchema, after: str | None) -> list[object] | None:
    """The key values in a cursor, in stored form, which is how columns hold them. Raises RequestInvalid."""
    if after is None:
        return None
    try:
        values = json.loads(base64.urlsafe_b64decode(after + "=" * (-len(after) % 4)))
        if len(values) != len(schema.key_indexes):
            raise ValueError("another number of key columns")
        types = [schema.columns[index].type for index in schema.key_indexes]
        return [store(value, type_) for value, type_ in zip(values, types, strict=True)]
    except (ValueError, TypeError) as error:
        raise RequestInvalid(
            f"`after` is not a cursor of {schema.name!r}: {error}.",
            hint="Pass the `next` of the page before, unchanged.",
        ) from error
