"""Server processes end with the program that started them, however that ends; and what is fetched is fetched once."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from springline.errors import ConfigurationError
from springline.testing import artefacts
from springline.testing.processes import ServerProcess, free_ports, is_free, lock_folder

PROGRAM = """
import os, signal, sys
from pathlib import Path
from springline.testing.processes import ServerProcess, lock_folder
folder = Path(sys.argv[1])
server = ServerProcess("A server", ["sh", "-c", "sleep 600 & echo $! > child; wait"], log=folder / "log", lock=lock_folder(folder))
server.wait_until((folder / "child").exists, 30)
print(server.pid, flush=True)
sys.stdin.readline()
{end}
"""
ENDS = {
    "returns": "",
    "raises": "raise ValueError",
    "killed": "os.kill(os.getpid(), signal.SIGKILL)",
}


def gone(pid: int) -> bool:
    """Within a moment, unless it stays for ever."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
                return True
        except psutil.NoSuchProcess:
            return True
        time.sleep(0.02)
    return False


def locked(folder: Path) -> bool:
    try:
        os.close(lock_folder(folder))
    except ConfigurationError:
        return True
    return False


@pytest.mark.parametrize("end", ENDS)
def test_a_server_ends_with_its_program(end: str, tmp_path: Path) -> None:
    program = PROGRAM.format(end=ENDS[end])
    with subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as running:
        assert running.stdout is not None
        server = int(running.stdout.readline())
        child = int((tmp_path / "child").read_text())
        assert psutil.pid_exists(server)
        assert psutil.pid_exists(child)
        assert locked(tmp_path)
        running.communicate("now\n")
    assert gone(server)
    assert gone(child)
    assert not locked(tmp_path)


def start(folder: Path, script: str) -> ServerProcess:
    lock = lock_folder(folder)
    try:
        return ServerProcess("A server", ["sh", "-c", script], log=folder / "log", lock=lock)
    finally:
        os.close(lock)


def test_a_server_is_asked_to_end_and_then_killed(tmp_path: Path) -> None:
    kind = start(
        tmp_path / "kind", "trap 'echo goodbye; exit 0' TERM; echo ready; while :; do sleep 0.05; done"
    )
    stubborn = start(tmp_path / "stubborn", "trap '' TERM; echo ready; while :; do sleep 0.05; done")
    for server in (kind, stubborn):
        server.wait_until(lambda server=server: "ready" in server.log_tail(), 30)
        server.end(timeout_s=10 if server is kind else 0.1)
        assert not server.lives()
        server.end()
    assert kind.log_tail() == "ready\ngoodbye"
    assert stubborn.log_tail() == "ready"


def test_a_server_that_does_not_answer_shows_its_error_and_the_end_of_its_log(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("ERROR of an earlier life\n")
    server = start(tmp_path, "echo ERROR no such disk; seq 1 100; exit 3")
    with pytest.raises(ConfigurationError) as raised:
        server.wait_until(lambda: False, 30)
    server.kill()
    assert "A server ended with status 3" in raised.value.message
    said = raised.value.message.splitlines()
    assert said[1:4] == ["ERROR no such disk", "1", "2"]
    assert said[-2:] == ["99", "100"]
    assert "50" not in said
    slow = start(tmp_path, "sleep 600")
    with pytest.raises(ConfigurationError, match=r"A server does not answer after 0\.1 s"):
        slow.wait_until(lambda: False, 0.1)
    slow.kill()


def test_free_ports_are_free_and_different() -> None:
    ports = free_ports(50)
    assert len(set(ports)) == 50
    assert all(map(is_free, ports))


def test_what_is_fetched_is_kept_until_the_pin_changes(tmp_path: Path) -> None:
    def make(pin: str, *, fails: bool = False) -> bool:
        with artefacts._made(tmp_path / "jars", pin) as wanted:
            if wanted:
                assert list((tmp_path / "jars").iterdir()) == []
                (tmp_path / "jars" / pin).touch()
            if fails:
                raise ConfigurationError("The network is not there.")
        return wanted

    assert make("one")
    assert not make("one")
    with pytest.raises(ConfigurationError):
        make("two", fails=True)
    assert make("two")
    assert not make("two")


def test_what_is_missing_is_named_with_the_way_to_install_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SPRINGLINE_SERVICES", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    artefacts.java.cache_clear()
    try:
        with pytest.raises(ConfigurationError, match="apt install openjdk-17-jre-headless"):
            artefacts.broker()
        java = tmp_path / "java"
        java.write_text("#!/bin/sh\necho 'openjdk version \"11.0.2\" 2019-01-15' >&2\n")
        java.chmod(0o755)
        with pytest.raises(ConfigurationError, match=r'needs Java 17 .* is openjdk version "11\.0\.2"'):
            artefacts.flink()
        java.write_text("#!/bin/sh\necho 'openjdk version \"21.0.2\" 2024-01-16' >&2\n")
        with pytest.raises(ConfigurationError, match="apt install maven"):
            artefacts.broker()
    finally:
        artefacts.java.cache_clear()
