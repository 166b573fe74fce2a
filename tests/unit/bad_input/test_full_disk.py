"""A full disk: work pauses and says why, reads go on, and when there is room again everything is there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from springline.errors import NotFresh, StorageFull
from springline.testing.lossy_vfs import LossyDisk
from tests.unit.bad_input import shop as application


@pytest.fixture
def disk() -> Iterator[LossyDisk]:
    disk = LossyDisk()
    yield disk
    disk.close()


def test_capture_pauses_while_the_log_has_no_room(tmp_path: Path, disk: LossyDisk) -> None:
    shop = application.source(rows=10)
    with application.running(application.make(tmp_path, shop, vfs=disk.name)) as runtime:
        assert application.totals(runtime) == (10, 10)
        disk.fill(only="log.db")
        application.put(shop, range(10, 2_000))
        status = application.wait_for_status(runtime, lambda one: one.sources["shop"].error is not None)
        assert status.sources["shop"].state == "retrying"
        assert "full" in str(status.sources["shop"].error)
        assert any("Free some space" in error for error in status.errors)
        with runtime.read() as snapshot:
            assert snapshot.query("SELECT COUNT(*) AS n FROM shop.items").rows == [(10,)]
        disk.free()
        assert application.totals(runtime) == (2_000, 2_000)
        status = application.wait_for_status(runtime, lambda one: one.sources["shop"].error is None)
        assert status.sources["shop"].state == "streaming"


def test_ticks_pause_while_the_state_has_no_room(tmp_path: Path, disk: LossyDisk) -> None:
    shop = application.source(rows=10)
    with application.running(application.make(tmp_path, shop, vfs=disk.name)) as runtime:
        assert application.totals(runtime) == (10, 10)
        disk.fill(only="state.db")
        application.put(shop, range(10, 5_000))
        status = application.wait_for_status(runtime, lambda one: bool(one.errors))
        assert "full" in status.errors[0]
        assert status.state == "running"
        with pytest.raises(NotFresh), runtime.read(require="now", deadline_ms=50):
            pass
        disk.free()
        assert application.totals(runtime) == (5_000, 5_000)
        assert not application.wait_for_status(runtime, lambda one: not one.errors).errors


def test_a_disk_that_fills_up_in_the_midst_of_everything(tmp_path: Path, disk: LossyDisk) -> None:
    shop = application.source(rows=100)
    expected = 100
    with application.running(application.make(tmp_path, shop, vfs=disk.name)) as runtime:
        for room in (50_000, 5_000, 200_000, 0):
            disk.fill(room)
            while not runtime.status().errors:
                application.put(shop, range(expected, expected + 500))
                expected += 500
            disk.free()
            assert application.totals(runtime) == (expected, expected)
            application.wait_for_status(runtime, lambda one: not one.errors)


def test_an_application_that_was_stopped_while_the_disk_was_full_loses_nothing(
    tmp_path: Path, disk: LossyDisk
) -> None:
    shop = application.source(rows=10)
    with application.running(application.make(tmp_path, shop, vfs=disk.name)) as runtime:
        assert application.totals(runtime) == (10, 10)
        disk.fill()
        application.put(shop, range(10, 3_000))
        application.wait_for_status(runtime, lambda one: bool(one.errors))
    disk.free()
    with application.running(application.make(tmp_path, shop, vfs=disk.name)) as runtime:
        assert application.totals(runtime) == (3_000, 3_000)


def test_a_start_on_a_full_disk_is_refused_and_can_be_repeated(tmp_path: Path, disk: LossyDisk) -> None:
    shop = application.source(rows=10)
    disk.fill()
    runtime = application.make(tmp_path, shop, vfs=disk.name)
    with pytest.raises(StorageFull, match="is full"):
        runtime.start()
    disk.free()
    with application.running(application.make(tmp_path, shop, vfs=disk.name)) as runtime:
        assert application.totals(runtime) == (10, 10)
