"""Kafka and Flink themselves, fetched once: the broker's jars and Flink's connector by Maven, Flink as its Python package.

They lie in ``.services`` of the checkout, or where ``SPRINGLINE_SERVICES`` says. What is fetched is pinned: the jars in
``deploy/services/pom.xml``, Flink here. A changed pin is fetched anew. Where something that is needed is not there, the
ConfigurationError says what to install.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from springline.errors import ConfigurationError

FLINK_VERSION: Final = "2.2.1"

_ROOT: Final = Path(__file__).parents[3]
_POM: Final = _ROOT / "deploy" / "services" / "pom.xml"
_PACKAGES: Final = (f"apache-flink=={FLINK_VERSION}", "setuptools<81")
_PYTHONS: Final = (sys.executable, "python3.11", "python3.12", "python3.10")
_SUITS: Final = "import sys, ensurepip, venv; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 12))"
_JAVA: Final = 17
_FETCH_S: Final = 1_200


@dataclass(frozen=True, slots=True)
class Flink:
    """A whole distribution. ``lib`` is its class path together with the connector to Kafka and Flink's Python side;
    ``python`` the interpreter of the environment that has it."""

    home: Path
    lib: Path
    python: Path


def folder() -> Path:
    """Where the artefacts lie, or will."""
    return Path(os.environ.get("SPRINGLINE_SERVICES") or _ROOT / ".services").expanduser().resolve()


def fetch() -> None:
    """Fetches what is not there yet. Idempotent; several processes may do it at once."""
    broker()
    flink()


def broker() -> Path:
    """The folder with the broker's jars; fetched where they are not there. Raises ConfigurationError."""
    java()
    return _jars() / "broker"


def flink() -> Flink:
    """Flink with its connector to Kafka; fetched where it is not there. Raises ConfigurationError."""
    java()
    connector = _jars() / "connector"
    environment = folder() / "flink"
    with _made(environment, "\n".join(_PACKAGES)) as wanted:
        if wanted:
            _install(environment)
    home = next(environment.glob("lib/python*/site-packages/pyflink"))
    lib = folder() / "flink-lib"
    jars = sorted([*home.glob("lib/*.jar"), *home.glob("opt/flink-python-*.jar"), *connector.glob("*.jar")])
    with _made(lib, "\n".join(map(str, jars))) as wanted:
        if wanted:
            for jar in jars:
                (lib / jar.name).symlink_to(jar)
    return Flink(home, lib, environment / "bin" / "python")


@cache
def java() -> Path:
    """The Java to run with: that of ``JAVA_HOME``, or the first on the path. Raises ConfigurationError."""
    hint = f"Install Java {_JAVA} (Debian, Ubuntu: apt install openjdk-17-jre-headless), or set JAVA_HOME."
    home = os.environ.get("JAVA_HOME")
    found = str(Path(home, "bin", "java")) if home else shutil.which("java")
    if found is None:
        raise ConfigurationError("Kafka and Flink need Java, and there is none.", hint=hint)
    try:
        said = subprocess.run([found, "-version"], check=True, capture_output=True, text=True).stderr
    except (OSError, subprocess.CalledProcessError) as error:
        raise ConfigurationError(f"The Java in {found} does not run: {error}.", hint=hint) from error
    version = re.search(r'version "(\d+)', said)
    if version is None or int(version[1]) < _JAVA:
        first = said.partition("\n")[0]
        raise ConfigurationError(f"Kafka needs Java {_JAVA} or newer; {found} is {first}.", hint=hint)
    return Path(found)


def _jars() -> Path:
    if not _POM.exists():
        raise ConfigurationError(
            f"There is no {_POM}, which says what to fetch.",
            hint="Run the services from a checkout of Springline.",
        )
    jars = folder() / "jars"
    with _made(jars, _POM.read_text()) as wanted:
        if wanted:
            maven = shutil.which("mvn")
            if maven is None:
                raise ConfigurationError(
                    "Kafka's jars are fetched with Maven, and there is none.",
                    hint="Install it (Debian, Ubuntu: apt install maven).",
                )
            quiet = ("--quiet", "--batch-mode", "--strict-checksums")
            _run("Kafka", [maven, *quiet, f"--file={_POM}", f"-Dtarget={jars}", "initialize"])
    return jars


def _install(environment: Path) -> None:
    base = next((python for name in _PYTHONS if (python := shutil.which(name)) and _suits(python)), None)
    if base is None:
        raise ConfigurationError(
            f"Flink {FLINK_VERSION} wants Python 3.10, 3.11 or 3.12 with its venv module, and there is none.",
            hint="Install one (Debian, Ubuntu: apt install python3.11 python3.11-venv).",
        )
    _run("Flink", [base, "-m", "venv", str(environment)])
    pip = [str(environment / "bin" / "python"), "-m", "pip", "--disable-pip-version-check"]
    _run("Flink", [*pip, "install", "--quiet", *_PACKAGES])


def _suits(python: str) -> bool:
    return subprocess.run([python, "-c", _SUITS], check=False, capture_output=True).returncode == 0


def _run(what: str, command: Sequence[str]) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    try:
        done = subprocess.run(
            command, check=False, capture_output=True, text=True, timeout=_FETCH_S, env=environment
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ConfigurationError(
            f"{what} could not be fetched: {error}.", hint="Is the network there?"
        ) from error
    if done.returncode != 0:
        said = (done.stderr.strip() or done.stdout.strip())[-1_000:]
        raise ConfigurationError(
            f"{what} could not be fetched by {' '.join(command[:4])} ...: {said}",
            hint="See what it says about the network or the repository, then try again.",
        )


@contextlib.contextmanager
def _made(target: Path, content: str) -> Iterator[bool]:
    """Whether ``target`` has to be filled: it is then empty, and counts as made from ``content`` if the block succeeds.
    One process at a time; the others find it made."""
    mark = target.with_name(f"{target.name}.made")
    fingerprint = hashlib.sha256(f"{target}\n{content}".encode()).hexdigest()
    target.parent.mkdir(parents=True, exist_ok=True)
    with (target.parent / f"{target.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if target.is_dir() and mark.exists() and mark.read_text() == fingerprint:
            yield False
            return
        mark.unlink(missing_ok=True)
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir()
        yield True
        mark.write_text(fingerprint)
