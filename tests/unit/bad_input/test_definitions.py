"""Applications that cannot be as they are declared: refused at the start, or one view stopped while the others go on."""

from __future__ import annotations

from pathlib import Path

import pytest

from springline.context.knowledge import KnowledgeDefinition
from springline.errors import ConfigurationError, NotFound, SqlError
from springline.runtime.embedded.catalog import ViewDefinition
from tests.unit.bad_input import shop as application
from tests.unit.bad_input.shop import COUNTS

BY_N = ViewDefinition("by_n", "SELECT n, name FROM shop.items", key=("n",))
NAMES = ViewDefinition("names", "SELECT name, COUNT(*) AS n FROM by_n GROUP BY name")


def test_a_view_whose_key_is_violated_stops_and_the_others_go_on(tmp_path: Path) -> None:
    shop = application.source(rows=10)
    with application.running(application.make(tmp_path, shop, views=(COUNTS, BY_N, NAMES))) as runtime:
        assert application.totals(runtime) == (10, 10)
        shop.put("items", {"id": 99, "name": "second", "n": 3})
        assert application.totals(runtime) == (11, 11)
        states = {one.name: one for one in runtime.status().relations}
        assert states["counts"].state == "live"
        assert states["by_n"].state == "stopped"
        assert states["by_n"].error is not None
        assert "its key is not unique" in states["by_n"].error
        assert "Correct its SQL or its key" in states["by_n"].error
        assert states["names"].state == "stopped"
        assert "by_n" in str(states["names"].error)
        with pytest.raises(NotFound, match="by_n"), runtime.read() as snapshot:
            snapshot.query("SELECT n FROM by_n")


def test_a_stopped_view_does_not_keep_the_application_from_starting(tmp_path: Path) -> None:
    shop = application.source(rows=10)
    views = (COUNTS, BY_N, NAMES)
    with application.running(application.make(tmp_path, shop, views=views)) as runtime:
        shop.put("items", {"id": 99, "name": "second", "n": 3})
        assert application.totals(runtime) == (11, 11)
    with application.running(application.make(tmp_path, shop, views=views)) as runtime:
        assert application.totals(runtime) == (11, 11)
        assert {one.name for one in runtime.status().relations if one.state == "stopped"} == {"by_n", "names"}
        shop.delete("items", {"id": 99})
        assert application.totals(runtime) == (10, 10)
    with (
        application.running(application.make(tmp_path, shop, views=views)) as runtime,
        runtime.read() as snapshot,
    ):
        assert snapshot.query("SELECT SUM(n) AS n FROM names").rows == [(10,)]


def test_a_query_that_cannot_be_is_told_where(tmp_path: Path) -> None:
    wrong = ViewDefinition("wrong", "SELECT nmae FROM shop.items")
    with pytest.raises(SqlError, match="nmae") as caught:
        application.make(tmp_path, application.source(), views=(COUNTS, wrong)).start()
    assert (caught.value.line, caught.value.column) == (1, 8)


@pytest.mark.parametrize(
    ("definition", "message"),
    [
        (KnowledgeDefinition("handbook", "shop.items", "id", "body"), "has no column 'body'"),
        (KnowledgeDefinition("handbook", "shop.papers", "id", "name"), "which does not exist"),
        (KnowledgeDefinition("handbook", "shop.items", "name", "name"), "its key is"),
        (
            KnowledgeDefinition("handbook", "counts", "name", "name", metadata=("size",)),
            "has no column 'size'",
        ),
    ],
)
def test_a_knowledge_base_over_what_is_not_there(
    tmp_path: Path, definition: KnowledgeDefinition, message: str
) -> None:
    shop = application.source(rows=3)
    with pytest.raises(ConfigurationError, match=message) as caught:
        application.make(tmp_path, shop, knowledge=[definition]).start()
    assert caught.value.hint
    # Nothing was left running or locked, and nothing was changed that a correct start would miss.
    with application.running(application.make(tmp_path, shop)) as runtime:
        assert application.totals(runtime) == (3, 3)
