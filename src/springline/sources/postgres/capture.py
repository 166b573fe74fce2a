"""One run of the source: from connecting to the end of the stream. Everything here belongs to one thread."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from springline.core.change import Entry, Operation, schema_entry
from springline.core.position import PostgresPosition
from springline.log.base import CaptureWriter
from springline.sources.postgres import pgoutput, setup
from springline.sources.postgres.catalog import Capture, Shape, fingerprints, shapes_by_oid
from springline.sources.postgres.connection import Connection, Connector, rows
from springline.sources.postgres.loader import Loader
from springline.sources.postgres.pgoutput import Relation
from springline.sources.postgres.reader import LOCAL_COMMIT, ChunkReader, emit
from springline.sources.postgres.snapshot import BagLoad, KeyedLoad
from springline.sources.postgres.stream import Readers, Stream
from springline.sources.postgres.tables import Evolution, Table, decide

LOOK_EVERY_S: Final = 2.0
"""How often the catalog is looked at for changes that sent nothing: a table rewritten or dropped, a column added."""

SERVER: Final = "server"
MASK_KEY: Final = "mask_key"


def table_progress(relation: str) -> str:
    """The name under which a table's progress is saved."""
    return f"table:{relation}"


class Session:
    """Implements ``stream.Handler``; owns the connections of one run."""

    def __init__(
        self,
        connector: Connector,
        writer: CaptureWriter,
        *,
        slot: str,
        publication: str,
        chunk_rows: int,
        reload: Sequence[str] = (),
    ) -> None:
        self.tables: dict[int, Table] = {}
        self.trackers: dict[bytes, KeyedLoad | BagLoad] = {}
        self.readers: Readers = {pgoutput.INSERT: {}, pgoutput.UPDATE: {}, pgoutput.DELETE: {}}
        self.stream: Stream | None = None
        self.slot: setup.Slot | None = None
        self.server_position: int | None = None
        self._connector = connector
        self._writer = writer
        self._slot_name = slot
        self._publication = publication
        self._control: Connection = connector.query()
        rows(self._control, LOCAL_COMMIT)
        self.reader = ChunkReader(connector, slot)
        self._loader = Loader(self.reader, chunk_rows)
        self._saves: dict[str, object | None] = {}
        self._looked_at = time.monotonic()
        self._is_looking = False
        self._mask_key = b""
        self._replication: Any = None
        self._reload: list[str] = []
        self._reload_lock = threading.Lock()

    def start(self, captures: Sequence[tuple[Capture, Shape]], stop: threading.Event) -> bool:
        """Prepares the database and begins to stream; False if ``stop`` was set before. ``captures``: the tables asked for,
        already examined."""
        position = self._start_position(captures, stop)
        if position is None:
            return False
        self._replication = self._connector.replication()
        self.stream = Stream(
            self._connector.source, self._slot_name, self._replication, self._writer, self, position
        )
        self._adopt(captures)
        self.stream.start(self._publication)
        return True

    def run(self, stop: threading.Event) -> None:
        assert self.stream is not None
        self.stream.run(stop)

    def close(self) -> None:
        """Idempotent."""
        self.reader.stop()
        for connection in (self._replication, self._control):
            if connection is not None:
                connection.close()

    def request_reload(self, relations: Iterable[str]) -> None:
        """Asks for tables to be loaded again. Thread-safe."""
        with self._reload_lock:
            self._reload += relations

    # What the stream calls.

    def on_relation(self, relation: Relation, *, delivered_before: bool) -> list[Entry]:
        table = self.tables.get(relation.oid)
        if table is None:
            self._set_readers(relation.oid, None)
            return []
        if delivered_before:
            return []
        catalog = self._shapes([table]).get(relation.oid)
        return self._evolve(table, decide(table.shape, relation, catalog))

    def on_token(self, content: dict[str, str]) -> Iterable[list[Entry]]:
        if "chunk" in content:
            received = self._loader.receive(content["chunk"])
            if received is not None:
                table, entries = received
                if entries is None:
                    yield self._look_at(table, is_moved=True)
                else:
                    yield from entries
                    self._remember(table)
                self.trackers = self._loader.trackers()
        elif "look" in content and content["look"] == self.reader.run_id:
            self._is_looking = False
            known = self._shapes(list(self.tables.values()))
            for table in list(self.tables.values()):
                yield self._evolve(table, decide(table.shape, None, known.get(table.shape.oid)))

    def on_truncate(self, oids: tuple[int, ...]) -> list[tuple[bytes, Entry]]:
        return [
            (
                oid.to_bytes(4, "big"),
                (Operation.TRUNCATE.value, self.tables[oid].capture.relation, None, None),
            )
            for oid in oids
            if oid in self.tables
        ]

    def progress_to_save(self) -> dict[str, object | None]:
        for table in self._loader.save_incomplete() if self.trackers else ():
            self._remember(table)
        saves, self._saves = self._saves, {}
        return saves

    def on_pause(self, *, is_between_transactions: bool) -> None:
        if self.reader.error is not None:
            raise self.reader.error
        now = time.monotonic()
        if now - self._looked_at >= LOOK_EVERY_S:
            self._looked_at = now
            self._look()
        if self._reload and is_between_transactions:
            with self._reload_lock:
                wanted, self._reload = set(self._reload), []
            assert self.stream is not None
            for table in self.tables.values():
                if table.capture.relation in wanted and table.phase == "live":
                    self.stream.append_now(self._begin(table))

    # How it is done.

    def _start_position(
        self, captures: Sequence[tuple[Capture, Shape]], stop: threading.Event
    ) -> PostgresPosition | None:
        """Where streaming goes on; the first time, where it begins, made durable before anything else. The publication is set up
        on the way: a slot sees only what was published when it began. None: stopped."""
        progress, position = self._writer.progress(), self._writer.position()
        now = setup.identity(self._connector)
        slot = setup.read_slot(self._control, self._slot_name)
        assert position is None or isinstance(position, PostgresPosition)
        server: Any = progress.get(SERVER)
        setup.require_continuity(self._connector.source, self._slot_name, position, server, now, slot)
        saved_key: Any = progress.get(MASK_KEY)
        self._mask_key = bytes.fromhex(saved_key) if saved_key else secrets.token_bytes(32)
        if slot is not None:
            setup.require_usable(self._connector, slot, self._slot_name)
        setup.ensure_publication(self._connector, self._control, self._publication, captures)
        if position is not None:
            return position
        position = setup.ensure_slot(self._connector, self._control, self._slot_name, stop)
        if position is None:
            return None
        self._writer.save(SERVER, now.to_json())
        self._writer.save(MASK_KEY, self._mask_key.hex())
        self._writer.advance(position)
        self._writer.commit()
        return position

    def _adopt(self, captures: Sequence[tuple[Capture, Shape]]) -> None:
        """Takes up what the log says of each table, begins the loads that are due, and drops what is not asked for."""
        assert self.stream is not None
        progress: Mapping[str, Any] = self._writer.progress()
        version = self._control.server_version
        asked = {capture.relation for capture, _ in captures}
        entries: list[Entry] = []
        for name in list(progress):
            if name.startswith("table:") and name.removeprefix("table:") not in asked:
                self._saves[name] = None
                entries.append((Operation.DROP.value, name.removeprefix("table:"), None, None))
        for capture, found in captures:
            shape = setup.narrowed(capture, found, version)
            saved = progress.get(table_progress(capture.relation))
            table = Table(capture, shape, self._mask_key)
            if saved is not None and Shape.from_json(saved["shape"]).oid == shape.oid:
                table = self._resumed(capture, saved, entries)
            self.tables[shape.oid] = table
            if table.phase == "new":
                entries += self._begin(table)
            elif table.phase == "loading":
                self._loader.resume(table)
            self._set_readers(shape.oid, table)
        self.trackers = self._loader.trackers()
        if entries:
            self.stream.append_now(entries)

    def _resumed(self, capture: Capture, saved: Mapping[str, Any], entries: list[Entry]) -> Table:
        """A table with its progress. Other columns kept or masked than before: its rows must be read again."""
        table = Table.resume(capture, saved, self._mask_key)
        options = _options(capture)
        if saved.get("options") not in (None, options):
            table.phase = "new"
        return table

    def _begin(self, table: Table) -> list[Entry]:
        entries = self._loader.begin(table)
        self.trackers = self._loader.trackers()
        self._remember(table)
        return entries

    def _remember(self, table: Table) -> None:
        self._saves[table_progress(table.capture.relation)] = {
            **table.describe_progress(),
            "options": _options(table.capture),
        }

    def _shapes(self, tables: Sequence[Table]) -> dict[int, Shape]:
        version = self._control.server_version
        found = shapes_by_oid(self._control, [table.shape.oid for table in tables])
        captures = {table.shape.oid: table.capture for table in tables}
        return {oid: setup.narrowed(captures[oid], shape, version) for oid, shape in found.items()}

    def _look_at(self, table: Table, *, is_moved: bool = False) -> list[Entry]:
        evolution = decide(table.shape, None, self._shapes([table]).get(table.shape.oid))
        return self._evolve(table, Evolution(evolution.shape, evolution.reload or is_moved))

    def _evolve(self, table: Table, evolution: Evolution) -> list[Entry]:
        """Carries out what ``decide`` decided; the entries that say so."""
        if evolution.shape is None:
            self._loader.forget(table)
            self.tables.pop(table.shape.oid, None)
            self._set_readers(table.shape.oid, None)
            self._saves[table_progress(table.capture.relation)] = None
            self.trackers = self._loader.trackers()
            return [(Operation.DROP.value, table.capture.relation, None, None)]
        before = table.schema.to_json()
        reload = evolution.reload
        if evolution.shape != table.shape:
            has_new_columns = self._has_new_columns(table, evolution.shape)
            was, now = table.shape.published(), evolution.shape.published()
            table.take_shape(evolution.shape)
            self._set_readers(table.shape.oid, table)
            if has_new_columns:
                # Until now rows came without these columns.
                self._publish_again()
                reload = True
            if was != now or before != table.schema.to_json():
                self._loader.reshape(table)
            self._remember(table)
        if reload:
            return self._begin(table)
        self.trackers = self._loader.trackers()
        return [schema_entry(table.schema)] if table.schema.to_json() != before else []

    def _has_new_columns(self, table: Table, shape: Shape) -> bool:
        """Whether the publication's column list lacks some."""
        if not setup.uses_column_list(table.capture, shape, self._control.server_version):
            return False
        return not {column.number for column in shape.columns} <= {
            column.number for column in table.shape.columns
        }

    def _publish_again(self) -> None:
        captures = [(table.capture, table.shape) for table in self.tables.values()]
        setup.ensure_publication(self._connector, self._control, self._publication, captures)

    def _look(self) -> None:
        """Compares the catalog with what is known; a difference is taken up when the stream has come to it."""
        now = fingerprints(self._control, list(self.tables))
        differs = any(
            now.get(oid) != (table.shape.files, table.shape.attributes) for oid, table in self.tables.items()
        )
        if differs and not self._is_looking:
            self._is_looking = True
            emit(self._control, self._slot_name, {"look": self.reader.run_id})
        self.slot = setup.read_slot(self._control, self._slot_name)
        [(lsn,)] = rows(self._control, "SELECT pg_current_wal_lsn()::text")
        self.server_position = PostgresPosition.from_text(str(lsn)).lsn

    def _set_readers(self, oid: int, table: Table | None) -> None:
        key = oid.to_bytes(4, "big")
        decoder = None if table is None else table.decoder
        self.readers[pgoutput.INSERT][key] = decoder.insert if decoder else _ignore
        self.readers[pgoutput.UPDATE][key] = decoder.update if decoder else _ignore
        self.readers[pgoutput.DELETE][key] = decoder.delete if decoder else _ignore


def _ignore(payload: bytes) -> None:
    """Reads rows of a table that is in the publication and was not asked for."""


def _options(capture: Capture) -> str:
    """What decides how rows are kept; a change of it means reading them again."""
    return msgspec.json.encode([sorted(capture.exclude), sorted(capture.mask.items())]).decode()
