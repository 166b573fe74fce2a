"""What topics and consumer groups are called. ``docs/cluster.md`` says what each is for."""

from __future__ import annotations

import re

from springline.errors import ConfigurationError

_ALLOWED = re.compile(r"[A-Za-z0-9_-]{1,100}")


def check_application(application: str) -> None:
    """Raises ConfigurationError for a name that topics cannot begin with."""
    if not _ALLOWED.fullmatch(application):
        raise ConfigurationError(
            f"The application is called {application!r}, and its topics cannot be.",
            hint="On Kafka, name it with at most 100 letters, digits, hyphens and underscores.",
        )


def table_topic(application: str, table: str) -> str:
    """Where capture writes the changes of a table; ``table`` is ``source.table``."""
    return f"{application}.{table}"


def derived_topic(application: str, generation: int, relation: str) -> str:
    """Where the job of a generation writes a relation's rows."""
    return f"{application}.derived-{generation}.{relation}"


def capture_topic(application: str) -> str:
    """How far capture has come: one record in every transaction of capture's."""
    return f"{application}.capture"


def cuts_topic(application: str) -> str:
    """The cuts: what each completed checkpoint covers, and where its rows end in the derived topics."""
    return f"{application}.cuts"


def deployments_topic(application: str) -> str:
    """What is deployed: the newest record says which relations the job of which generation makes."""
    return f"{application}.deployments"


def barriers_topic(application: str) -> str:
    """What serving nodes ask for: a cut that covers now."""
    return f"{application}.barriers"


def job_group(application: str, generation: int) -> str:
    """The consumer group under which the job of a generation commits its offsets with each checkpoint."""
    return f"{application}-{generation}"


def transaction_prefix(application: str, generation: int, relation: str | None = None) -> str:
    """How the transactional ids of a generation's sinks begin; ``-SUBTASK-CHECKPOINT`` follows a relation's."""
    return f"{application}-{generation}-" + (relation or "")
