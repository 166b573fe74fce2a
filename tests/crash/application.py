"""The application under test: a database, a folder, four views and a knowledge base.

As a program it is the real process that gets killed: it says ``ready``, and then answers one line for each line it is told.

* ``barrier MS``: waits until everything is applied that was committed before; ``fresh`` or ``late …``
* ``status``: one line of JSON
* ``stop``: stops as Ctrl-C would; ``stopped``
"""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import os
import sys
import threading
import time
from pathlib import Path

from springline.context.knowledge import KnowledgeDefinition
from springline.errors import NotFresh, SpringlineError
from springline.inference.hashing import HashingEmbedder
from springline.language import LANGUAGE
from springline.runtime.embedded.catalog import ViewDefinition
from springline.runtime.embedded.runtime import Definition, EmbeddedRuntime, Options
from springline.sources.files import FolderSource
from springline.sources.postgres import PostgresSource
from springline.storage import DataFolder
from springline.testing.crash import crash_at
from tests.crash.declared import FOLDER, KNOWLEDGE, SOURCE, VIEWS
from tests.crash.mutants import MUTANTS

ASK_AGAIN_MS = 2_000


def build(dsn: str, folder: Path, data: Path, *, vfs: str | None = None) -> EmbeddedRuntime:
    """The application, not started."""
    shop = PostgresSource(SOURCE, dsn, tables=["customers", "orders", "marks", "ledger"], chunk_rows=1_000)
    papers = FolderSource(FOLDER, folder, patterns=("*.md",), rescan_s=5.0)
    handbook = KnowledgeDefinition(
        KNOWLEDGE, f"{FOLDER}.documents", "document", "content", "title", "format", "error", "content_hash"
    )
    definition = Definition(
        "crash",
        (shop, papers),
        tuple(ViewDefinition(name, text) for name, text in VIEWS.items()),
        ((handbook, HashingEmbedder()),),
    )
    return EmbeddedRuntime(definition, DataFolder(data), LANGUAGE, Options(vfs=vfs))


def catch_up(runtime: EmbeddedRuntime, deadline_ms: float) -> None:
    """Returns when every table is loaded and everything committed before the call is applied. Raises NotFresh at the deadline, or
    at once where a source has given up."""
    deadline = time.monotonic() + deadline_ms / 1_000
    while True:
        left_ms = max(1.0, (deadline - time.monotonic()) * 1_000)
        try:
            with runtime.read(require="now", deadline_ms=min(left_ms, ASK_AGAIN_MS)):
                return
        except NotFresh:
            stopped = [one.error for one in runtime.status().sources.values() if one.state == "stopped"]
            if stopped or time.monotonic() > deadline:
                raise


def answer(runtime: EmbeddedRuntime, command: str) -> str:
    """What the program says to one line."""
    name, _, argument = command.partition(" ")
    if name == "barrier":
        try:
            catch_up(runtime, float(argument))
        except SpringlineError as error:
            return f"late {error}"
        return "fresh"
    if name == "stop":
        runtime.stop()
        return "stopped"
    status = runtime.status()
    sources = {name: [one.state, one.error] for name, one in status.sources.items()}
    return json.dumps({"state": status.state, "sources": sources, "errors": list(status.errors)})


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--dsn", required=True)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--crash-at", default="", help="POINT:N kills the process at a crash point")
    parser.add_argument("--mutant", choices=sorted(MUTANTS))
    options = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(name)s %(message)s")
    with contextlib.ExitStack() as patches:
        if options.mutant:
            patches.enter_context(MUTANTS[options.mutant]())
        if options.crash_at:
            point, _, after = options.crash_at.partition(":")
            patches.enter_context(crash_at(point, after=int(after)))
        runtime = build(options.dsn, options.folder, options.data)
        runtime.start()
        print("ready", flush=True)
        # Commands run beside each other: a stop may be asked for, or the kill come, while a barrier waits.
        for line in sys.stdin:
            command = line.strip()
            threading.Thread(
                target=lambda command=command: print(answer(runtime, command), flush=True)
            ).start()
    # Whoever started us is gone.
    os._exit(1)


if __name__ == "__main__":
    main()
