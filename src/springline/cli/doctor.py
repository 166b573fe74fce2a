"""``springline doctor``."""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
import socket
import stat
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from springline.cli import client
from springline.cli.application import DEFAULT_FILE, load_app
from springline.cli.main import DIFFERENT_STATUS
from springline.cli.options import json_option, with_settings
from springline.cli.output import is_terminal, plain_text, print_json, size, terminal_width, wrapped
from springline.errors import SpringlineError
from springline.settings import TABLE, Settings, given, unknown_variables
from springline.sources.base import Finding
from springline.storage import DataFolder

if TYPE_CHECKING:
    from springline.app import App
    from springline.core.schema import TableSchema

LITTLE_SPACE_BYTES: Final = 2 << 30
NO_SPACE_BYTES: Final = 200 << 20
COLOURS: Final = {"ok": "green", "warning": "yellow", "error": "red"}


@click.command("doctor")
@click.argument("app", required=False)
@json_option
@with_settings("data", "host", "port", "token", "model", "model_url", "model_key")
def command(settings: Settings, app: str | None, as_json: bool) -> int:
    """Look at everything that could be wrong, without changing anything, and say what to do.

    Versions, settings, secrets, the data folder, the port, the model; and for the application (APP, or app.py if there is one) its
    sources and views. Exit status 65 where something is wrong.
    """
    target = app or (DEFAULT_FILE if Path(DEFAULT_FILE).is_file() else None)
    findings = list(examine(settings, target, os.environ))
    errors = sum(one.severity == "error" for one in findings)
    if as_json:
        print_json(
            [
                {"severity": one.severity, "subject": one.subject, "message": one.message, "fix": one.fix}
                for one in findings
            ]
        )
    else:
        print_findings(findings)
        warnings = sum(one.severity == "warning" for one in findings)
        click.echo(f"\n{_counted(errors, 'error')}, {_counted(warnings, 'warning')}.")
    return DIFFERENT_STATUS if errors else 0


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def print_findings(findings: list[Finding]) -> None:
    """One finding a line, its fix below."""
    widest = max((len(one.subject) for one in findings), default=0)
    indent = 9 + widest + 2
    cells = max(30, terminal_width() - indent) if is_terminal() else None
    for one in findings:
        first, *others = wrapped(plain_text(one.message), cells) if cells else [plain_text(one.message)]
        click.echo(
            f"{click.style(one.severity.ljust(9), fg=COLOURS[one.severity])}{one.subject.ljust(widest)}  {first}"
        )
        for line in others:
            click.echo(" " * indent + line)
        if one.fix:
            # Never wrapped: it is there to be pasted.
            click.echo(" " * indent + click.style(f"→ {plain_text(one.fix)}", fg="cyan"))


def examine(settings: Settings, target: str | None, environment: Mapping[str, str]) -> Iterator[Finding]:
    """All findings, from the ground up."""
    yield from _guarded("versions", _versions)
    yield from _guarded("settings", lambda: _settings(settings, environment))
    folder = DataFolder(settings.data)
    yield from _guarded("data folder", lambda: _folder(folder))
    yield from _guarded("files", lambda: _files(folder, settings))
    yield from _guarded("port", lambda: _port(settings, folder))
    yield from _guarded("model", lambda: _model(settings))
    if target is not None:
        yield from _guarded("application", lambda: _application(settings, target))


def _guarded(subject: str, look: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    """An error while looking is a finding too."""
    try:
        yield from look()
    except SpringlineError as error:
        yield Finding("error", subject, error.message, error.hint)


def _versions() -> Iterator[Finding]:
    from springline.cli.version import versions

    found = versions()
    yield Finding(
        "ok",
        "versions",
        f"Springline {found['springline']}, Python {found['python']}, SQLite {found['sqlite']}.",
    )
    if platform.system() not in ("Linux", "Darwin"):
        yield Finding(
            "warning",
            "system",
            f"{platform.system()} is not supported; Linux, macOS, and Windows through WSL are.",
        )


def _settings(settings: Settings, environment: Mapping[str, str]) -> Iterator[Finding]:
    given_ = [f"{name} ({where})" for name, where in settings.origins.items()]
    yield Finding(
        "ok", "settings", f"Given: {', '.join(given_)}." if given_ else "All settings have their defaults."
    )
    for name, near in unknown_variables(environment).items():
        yield Finding(
            "warning",
            "settings",
            f"The variable {name} means nothing.",
            f"Rename it to {near}." if near else f"unset {name}",
        )
    for setting in TABLE:
        secret = getattr(settings, setting.name) if setting.about.kind == "secret" else None
        if secret is not None:
            yield from _guarded(setting.name, lambda secret=secret, name=setting.name: _secret(name, secret))


def _secret(name: str, secret: Any) -> Iterator[Finding]:
    secret.reveal()
    path = Path(secret.reference.removeprefix("file:")) if secret.reference.startswith("file:") else None
    if path is not None and path.expanduser().stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        yield Finding("warning", name, f"Others can read {path}.", f"chmod 600 {path}")
    else:
        yield Finding("ok", name, "The secret can be read.")


def _folder(folder: DataFolder) -> Iterator[Finding]:
    path = folder.path
    if not path.exists():
        parent = next(one for one in path.absolute().parents if one.exists())
        if not os.access(parent, os.W_OK):
            yield Finding(
                "error",
                "data folder",
                f"{path} cannot be made: {parent} is not writable.",
                "Choose another one with --data.",
            )
        else:
            yield Finding("ok", "data folder", f"{path} does not exist yet and will be made.")
        yield from _space(parent)
        return
    if not path.is_dir() or not os.access(path, os.W_OK | os.X_OK):
        yield Finding(
            "error",
            "data folder",
            f"{path} is not a folder that can be written.",
            "Choose another one with --data.",
        )
        return
    if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        yield Finding("warning", "data folder", f"Others can look into {path}.", f"chmod 700 {path}")
    who = (
        f"process {folder.owner().get('pid', 'unknown')} works on it"
        if folder.is_locked()
        else "nobody works on it"
    )
    yield Finding("ok", "data folder", f"{path}: {who}.")
    yield from _space(path)


def _space(path: Path) -> Iterator[Finding]:
    free = shutil.disk_usage(path).free
    if free < NO_SPACE_BYTES:
        yield Finding("error", "disk", f"Only {size(free)} are free where {path} is.", "Free some space.")
    elif free < LITTLE_SPACE_BYTES:
        yield Finding("warning", "disk", f"{size(free)} are free where {path} is.", "Free some space.")
    else:
        yield Finding("ok", "disk", f"{size(free)} are free.")


def _files(folder: DataFolder, settings: Settings) -> Iterator[Finding]:
    if not folder.state_path.exists() and not folder.log_path.exists():
        return
    from springline.cli.backup import check_folder
    from springline.cli.offline import open_state

    tick = check_folder(folder)
    yield Finding("ok", "files", f"log.db and state.db belong together; the last tick was {tick}.")
    with open_state(folder) as connection:
        from springline.runtime.embedded.dead_letters import left_out
        from springline.runtime.embedded.state import read_relations
        from springline.sql.sharing import is_shared

        [(dead,)] = connection.execute("SELECT count(*) FROM _dead_letters").fetchall()
        dead += sum(left_out(connection, read_relations(connection)).values())
        found = connection.execute("SELECT name, error FROM _relations WHERE state = 'stopped'").fetchall()
        stopped = [(name, error) for name, error in found if not is_shared(name)]
    if dead:
        yield Finding(
            "warning",
            "dead letters",
            f"{dead} rows or documents could not be processed.",
            "springline dead-letters",
        )
    for name, error in stopped:
        yield Finding("error", name, f"The view is stopped: {error}")
    wal = folder.path / "state.db-wal"
    if wal.exists() and wal.stat().st_size > 2 * settings.wal_limit_bytes:
        yield Finding(
            "warning",
            "files",
            f"state.db-wal has {size(wal.stat().st_size)}: some reader holds a snapshot for long.",
        )


def _port(settings: Settings, folder: DataFolder) -> Iterator[Finding]:
    if settings.port == 0:
        return
    if (url := client.running_url(folder)) is not None:
        answer = client.Client(url, settings.token.reveal() if settings.token else None).get("/healthz")
        yield Finding("ok", "port", f"The running process answers at {url}: {answer.get('status')}.")
        return
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with contextlib.closing(socket.socket(family, socket.SOCK_STREAM)) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.host, settings.port))
        except OSError as error:
            yield Finding(
                "error",
                "port",
                f"Port {settings.port} on {settings.host} cannot be used: {error.strerror}.",
                f"lsof -i :{settings.port}   # or choose another one with --port",
            )
            return
    yield Finding("ok", "port", f"Port {settings.port} on {settings.host} is free.")
    if settings.host not in ("127.0.0.1", "::1", "localhost") and settings.token is None:
        yield Finding(
            "error",
            "token",
            f"Listening on {settings.host} needs a token.",
            "export SPRINGLINE_TOKEN=$(openssl rand -hex 24)",
        )


def _model(settings: Settings) -> Iterator[Finding]:
    if settings.model is None:
        yield Finding("ok", "model", "No language model is configured: answers quote their sources.")
        return
    headers = {"Authorization": f"Bearer {settings.model_key.reveal()}"} if settings.model_key else {}
    url = f"{str(settings.model_url).rstrip('/')}/models"
    try:
        if not url.startswith(("http://", "https://")):
            raise ValueError("it is not an http URL")
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=5) as answer:
            yield Finding("ok", "model", f"{settings.model_url} answers (status {answer.status}).")
    except urllib.error.HTTPError as error:
        severity = "error" if error.code in (401, 403) else "warning"
        yield Finding(
            severity, "model", f"{url} answers with status {error.code}.", "Check model_url and model_key."
        )
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        yield Finding(
            "error",
            "model",
            f"{settings.model_url} does not answer: {reason}.",
            "Check SPRINGLINE_MODEL_URL, and that the server runs.",
        )


def _application(settings: Settings, target: str) -> Iterator[Finding]:
    flags = {
        name: str(getattr(settings, name))
        for name in ("data", "host", "port", "model", "model_url")
        if name in settings.origins
    }
    with given(flags, beside=Path(target).parent):
        app = load_app(target)
    yield Finding(
        "ok",
        "application",
        f"{target}: {app.name!r} with {_counted(len(app.sources), 'source')} and {_counted(len(app.views), 'view')}.",
    )
    schemas: dict[str, TableSchema] = {}
    for source in app.sources.values():
        try:
            yield from source.check()
            schemas.update({schema.name: schema for schema in source.tables()})
        except SpringlineError as error:
            yield Finding("error", source.name, error.message, error.hint)
        finally:
            source.close()
    if schemas:
        yield from _views(app, schemas)


def _views(app: App, schemas: dict[str, TableSchema]) -> Iterator[Finding]:
    from springline.language import language

    compiler = language(app.functions)
    for definition in app.views:
        try:
            program = compiler.compile_view(definition, schemas)
        except SpringlineError as error:
            yield Finding("error", definition.name, error.message, error.hint)
            continue
        schemas[definition.name] = program.schema
        yield Finding(
            "ok", definition.name, f"The view can be maintained; key ({', '.join(program.schema.key)})."
        )
        for warning in program.warnings:
            yield Finding("warning", definition.name, warning)
