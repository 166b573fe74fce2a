"""Transactions whose commit was promised to their producers and whose records cannot be read yet.

A broker answers a producer's commit when it has noted it, and writes the markers that make the records readable after that (KIP-98, "EndTxnRequest"). So
for a moment a record is committed and lies behind the last stable offset. librdkafka cannot ask for that state; kafka-python can.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from typing import Any, Final

from springline.kafka_admin import NAMES, connected
from springline.secret import redact

_STATE: Final = "PrepareCommit"
_MECHANISMS: Final = frozenset(("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"))
_PREFIXES: Final = ("sasl.", "ssl.", "security.")
_PAUSE_S: Final = 0.002

_logger = logging.getLogger("springline.kafka")


class Commits:
    """Asks for commits under way. Used by one thread at a time."""

    def __init__(self, source: str, bootstrap: str, options: Mapping[str, Any]) -> None:
        self._source = source
        self._settings = _settings(bootstrap, options)
        self._admin: Any = None
        self._can_ask = self._settings is not None

    def wait(self, deadline_s: float) -> bool:
        """Waits until the commits that are under way now are done, or until the monotonic ``deadline_s``. False where they cannot be asked
        for: options that only librdkafka knows, or a user who may not see transactions."""
        pending: set[str] | None = None
        while self._can_ask:
            try:
                now = self._under_way()
            except (
                Exception
            ) as error:  # What kafka-python raises is not of one kind, and there is another way.
                _logger.warning("source %s cannot ask for transactions: %s", self._source, redact(str(error)))
                self.close()
                self._can_ask = False
                return False
            pending = now if pending is None else pending & now
            if not pending or time.monotonic() >= deadline_s:
                return True
            time.sleep(_PAUSE_S)
        return False

    def close(self) -> None:
        """Idempotent."""
        admin, self._admin = self._admin, None
        if admin is not None:
            admin.close()

    def _under_way(self) -> set[str]:
        if self._admin is None:
            assert self._settings is not None
            self._admin = connected(self._settings)
        found = self._admin.list_transactions(state_filters=[_STATE])
        return {f"{one.transactional_id}/{one.producer_id}" for many in found.values() for one in many}


def _settings(bootstrap: str, options: Mapping[str, Any]) -> dict[str, Any] | None:
    """The same options for kafka-python; None where they cannot be told to it."""
    named = {name: value for name, value in options.items() if name.startswith(_PREFIXES)}
    mechanism = str(named.get("sasl.mechanism", named.get("sasl.mechanisms", "PLAIN"))).upper()
    if not named.keys() <= NAMES.keys() or mechanism not in _MECHANISMS:
        return None
    made = {NAMES[name]: value for name, value in named.items()}
    if "security_protocol" in made:
        made["security_protocol"] = str(made["security_protocol"]).upper()
    return {
        "bootstrap_servers": [one.strip() for one in bootstrap.split(",")],
        "client_id": "springline",
        "request_timeout_ms": 5_000,
        **made,
    }
