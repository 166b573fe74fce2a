"""Settings: a flag goes before an environment variable, that before the file ``springline.toml``, that before the default.

The fields of :class:`Settings` are the one table of settings: ``--help``, ``docs/settings.md`` and the messages here come from
them. Secrets are given by reference (``env:NAME``, ``file:PATH``), read when they are needed, and never shown.
"""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import os
import re
import sys
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, cast, get_type_hints

from springline.errors import ConfigurationError
from springline.secret import Secret

if TYPE_CHECKING:
    from springline.runtime.embedded.runtime import Options

FILE_NAME: Final = "springline.toml"
PREFIX: Final = "SPRINGLINE_"
FILE_VARIABLE: Final = "SPRINGLINE_CONFIG"
"""Names the settings file; the flag ``--config`` goes before it."""

Kind = Literal["text", "path", "integer", "number", "choice", "list", "secret"]


@dataclass(frozen=True, slots=True)
class Setting:
    """One row of the table of settings."""

    name: str
    default: object
    about: About

    @property
    def variable(self) -> str:
        return PREFIX + self.name.upper()

    @property
    def flag(self) -> str:
        return "--" + {"allow_hosts": "allow-host"}.get(self.name, self.name).replace("_", "-")

    @property
    def expects(self) -> str:
        """What a value must be, as a phrase."""
        if self.about.kind in ("integer", "number"):
            noun = "a whole number" if self.about.kind == "integer" else "a number"
            low, high = (
                None if one is None else _shown(one) for one in (self.about.minimum, self.about.maximum)
            )
            limits = f"from {low} to {high}" if low and high else f"of at least {low}" if low else ""
            return f"{noun} {limits}".strip()
        if self.about.kind == "choice":
            return f"one of {', '.join(self.about.choices)}"
        return {
            "text": "a text",
            "path": "a path",
            "list": "a list of texts",
            "secret": "env:NAME or file:PATH",
        }[self.about.kind]

    @property
    def default_text(self) -> str:
        match self.default:
            case None | ():
                return "none"
            case float() as number:
                return _shown(number)
            case other:
                return str(other)


def _shown(number: float) -> str:
    return str(int(number)) if number == int(number) else str(number)


@dataclass(frozen=True, slots=True)
class About:
    """What a setting's annotation says beside its type."""

    kind: Kind
    description: str
    choices: tuple[str, ...] = ()
    minimum: float | None = None
    maximum: float | None = None


@dataclass(frozen=True)
class Settings:
    """All settings of a process, checked. ``Settings.load()`` reads them; ``Settings(port=0)`` states them."""

    data: Annotated[
        Path, About("path", "Folder that holds the log and the state; one process works on it at a time.")
    ] = Path(".springline")
    host: Annotated[str, About("text", "Address to listen on; beyond this machine a token is required.")] = (
        "127.0.0.1"
    )
    port: Annotated[int, About("integer", "Port to listen on; 0 takes a free one.", (), 0, 65_535)] = 8400
    token: Annotated[
        Secret | None, About("secret", "Secret that every request must carry as a bearer token.")
    ] = None
    allow_hosts: Annotated[
        tuple[str, ...], About("list", "Further host names that clients may use, such as a reverse proxy's.")
    ] = ()
    model: Annotated[
        str | None,
        About("text", "Name of the language model that answers; without one, answers are quotations."),
    ] = None
    model_url: Annotated[
        str | None,
        About("text", "Base URL of an OpenAI-compatible server, such as http://localhost:8080/v1."),
    ] = None
    model_key: Annotated[Secret | None, About("secret", "Key for that server.")] = None
    embedder: Annotated[
        str,
        About(
            "choice",
            "What turns passages into vectors: a local model, hashed words, or the model where it is installed (auto).",
            ("auto", "local", "hashing"),
        ),
    ] = "auto"
    deadline_ms: Annotated[
        float,
        About("number", "How long a question waits for the recency barrier, in milliseconds.", (), 1, 60_000),
    ] = 2_000.0
    maximum_snapshot_age_s: Annotated[
        float, About("number", "How long one read may hold its snapshot, in seconds.", (), 0.1, 3_600)
    ] = 10.0
    wal_limit_bytes: Annotated[
        int,
        About(
            "integer",
            "Size of state.db's write-ahead log from which readers wait for a checkpoint.",
            (),
            1 << 20,
        ),
    ] = 64 << 20
    page_cache_bytes: Annotated[
        int,
        About(
            "integer",
            "Memory for pages of state.db that each of its connections may use: one writes, up to eight read.",
            (),
            1 << 20,
        ),
    ] = 16 << 20
    temp_memory_bytes: Annotated[
        int,
        About(
            "integer",
            "Memory for what a tick or a query works with, for each connection; beyond it temporary files are used.",
            (),
            1 << 20,
        ),
    ] = 64 << 20
    log_retention_s: Annotated[
        float,
        About(
            "number",
            "How long applied changes stay in the log, in seconds; receipts can be verified that long.",
            (),
            0,
        ),
    ] = 7 * 24 * 3_600.0
    log_retention_bytes: Annotated[
        int,
        About("integer", "Size of the log from which its oldest applied changes go earlier.", (), 1 << 20),
    ] = 4 << 30
    kafka: Annotated[
        str | None,
        About("text", "Kafka's bootstrap servers, host:port with commas, for an application on a cluster."),
    ] = None
    kafka_config: Annotated[
        Path | None,
        About(
            "path",
            "File with the Kafka client's options, name=value on each line (security.protocol, sasl.username …).",
        ),
    ] = None
    kafka_partitions: Annotated[
        int, About("integer", "Partitions of the topics that are made for tables.", (), 1, 10_000)
    ] = 4
    flink: Annotated[
        str | None,
        About("text", "REST address of the Flink cluster, such as http://127.0.0.1:8081."),
    ] = None
    flink_python: Annotated[
        Path | None,
        About("path", "Interpreter of an environment with apache-flink, from which jobs are submitted."),
    ] = None
    flink_jars: Annotated[
        tuple[str, ...],
        About("list", "Jars that are sent with the job: the Kafka SQL connector, unless the cluster has it."),
    ] = ()
    flink_parallelism: Annotated[
        int,
        About(
            "integer",
            "Parallel subtasks of each part of the job; `deploy --restart` brings a change of it to a running job.",
            (),
            1,
            10_000,
        ),
    ] = 1
    flink_config: Annotated[
        Path | None,
        About(
            "path", "File with Flink's options for the job, name=value on each line (state.backend.type …)."
        ),
    ] = None
    cut_interval_s: Annotated[
        float,
        About(
            "number",
            "How often the job is asked for a checkpoint that serving nodes follow, in seconds.",
            (),
            0.05,
            3_600,
        ),
    ] = 1.0
    log_level: Annotated[
        str,
        About(
            "choice", "Least severity of the messages that are logged.", ("debug", "info", "warning", "error")
        ),
    ] = "info"
    log_format: Annotated[
        str,
        About(
            "choice",
            "Messages on standard error as lines for people or as JSON, one a line.",
            ("text", "json"),
        ),
    ] = "text"
    origins: Mapping[str, str] = field(default_factory=dict[str, str], compare=False, repr=False)
    """Where each value that is not the default came from."""

    @staticmethod
    def load(
        *,
        flags: Mapping[str, object] | None = None,
        environment: Mapping[str, str] | None = None,
        config: Path | None = None,
        beside: Path | None = None,
    ) -> Settings:
        """Reads the settings. Raises ConfigurationError that names the flag, variable or line of a bad value.

        ``config`` is the settings file; otherwise SPRINGLINE_CONFIG names it; otherwise it is ``springline.toml`` in the folder
        ``beside`` (that of the application's file) or in the current one, if there is one. Inside :func:`given` the command line's
        values are the defaults of these arguments.
        """
        context = _given.get()
        flags = context.flags if flags is None else flags
        environment = os.environ if environment is None else environment
        path = find_file(config or context.config, environment, beside or context.beside)
        found: dict[str, Any] = {}
        origins: dict[str, str] = {}
        for setting in TABLE:
            for value, origin in _candidates(setting, flags, environment, _read_file(path)):
                found[setting.name] = _convert(setting, value, origin, path)
                origins[setting.name] = origin.where
                break
        settings = Settings(**found, origins=origins)
        settings._check()
        return settings

    def _check(self) -> None:
        if self.model is not None and self.model_url is None:
            raise ConfigurationError(
                f"The model {self.model!r} is set, but not the server that offers it.",
                hint="Set SPRINGLINE_MODEL_URL, for example to https://api.openai.com/v1 or http://localhost:8080/v1.",
            )

    def where(self, name: str) -> str:
        """Where a setting's value came from, for people."""
        return self.origins.get(name, "the default")

    def reveal(self, text: str) -> str:
        """A connection string for use: ``text``, or what ``env:NAME`` / ``file:PATH`` refers to. Raises ConfigurationError."""
        return Secret.parse(text, what="connection string", plain=True).reveal()

    def runtime_options(self) -> Options:
        """The embedded runtime's limits."""
        from springline.runtime.embedded.maintenance import Retention
        from springline.runtime.embedded.runtime import Options
        from springline.storage import Memory

        return Options(
            maximum_snapshot_age_s=self.maximum_snapshot_age_s,
            wal_limit_bytes=self.wal_limit_bytes,
            memory=Memory(self.page_cache_bytes, self.temp_memory_bytes),
            retention=Retention(log_age_s=self.log_retention_s, log_bytes=self.log_retention_bytes),
        )


def _rows() -> Iterator[Setting]:
    hints = get_type_hints(Settings, include_extras=True)
    for one in dataclasses.fields(Settings):
        for about in getattr(hints[one.name], "__metadata__", ()):
            yield Setting(one.name, one.default, about)


TABLE: Final[tuple[Setting, ...]] = tuple(_rows())


@dataclass(frozen=True, slots=True)
class _Given:
    flags: Mapping[str, object] = field(default_factory=dict[str, object])
    config: Path | None = None
    beside: Path | None = None


_NOTHING: Final = _Given()
_given: ContextVar[_Given] = ContextVar("given", default=_NOTHING)


@contextlib.contextmanager
def given(
    flags: Mapping[str, object], *, config: Path | None = None, beside: Path | None = None
) -> Iterator[None]:
    """While the body runs, ``Settings.load()`` takes these flags, this file, and looks beside the application. The command line
    imports an application's file inside, so that ``App("name")`` in it has the flags."""
    token = _given.set(
        _Given({name: value for name, value in flags.items() if value is not None}, config, beside)
    )
    try:
        yield
    finally:
        _given.reset(token)


def find_file(config: Path | None, environment: Mapping[str, str], beside: Path | None) -> Path | None:
    """The settings file to read, if any. Raises ConfigurationError where the one that was named does not exist."""
    named = config or (Path(environment[FILE_VARIABLE]) if environment.get(FILE_VARIABLE) else None)
    if named is not None:
        if not named.is_file():
            by = "--config" if config else FILE_VARIABLE
            raise ConfigurationError(f"There is no settings file {named} ({by}).", hint="Check the path.")
        return named
    main = getattr(sys.modules.get("__main__"), "__file__", None)
    folders = [beside or (Path(main).parent if main else None), Path.cwd()]
    return next((folder / FILE_NAME for folder in folders if folder and (folder / FILE_NAME).is_file()), None)


def unknown_variables(environment: Mapping[str, str]) -> dict[str, str | None]:
    """Variables that begin with our prefix and mean nothing, with the one that was perhaps meant."""
    known = [FILE_VARIABLE, *(setting.variable for setting in TABLE)]
    return {
        name: next(iter(difflib.get_close_matches(name, known, 1)), None)
        for name in sorted(environment)
        if name.startswith(PREFIX) and name not in known
    }


@dataclass(frozen=True, slots=True)
class _Origin:
    kind: Literal["flag", "variable", "file"]
    where: str


@dataclass(frozen=True, slots=True)
class _File:
    path: Path
    values: Mapping[str, object]
    lines: Mapping[str, int]


def _read_file(path: Path | None) -> _File | None:
    if path is None:
        return None
    try:
        text = path.read_text()
        values = tomllib.loads(text)
    except OSError as error:
        raise ConfigurationError(f"The settings file {path} cannot be read: {error.strerror}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"The settings file {path} is not TOML: {error}.") from error
    lines = _lines(text, values)
    known = {setting.name for setting in TABLE}
    for name in values:
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            hint = f"Did you mean {near[0]!r}?" if near else f"Known settings: {', '.join(sorted(known))}."
            raise ConfigurationError(f"{path}:{lines.get(name, 1)}: there is no setting {name!r}.", hint=hint)
    return _File(path, values, lines)


def _lines(text: str, names: Sequence[str] | Mapping[str, object]) -> dict[str, int]:
    found: dict[str, int] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        key = re.match(r"""\s*\[*\s*["']?([\w-]+)["']?""", line)
        if key and key[1] in names:
            found.setdefault(key[1], number)
    return found


def _candidates(
    setting: Setting, flags: Mapping[str, object], environment: Mapping[str, str], file: _File | None
) -> Iterator[tuple[object, _Origin]]:
    value = flags.get(setting.name)
    if value is not None and value != ():
        yield value, _Origin("flag", setting.flag)
    if environment.get(setting.variable, "") != "":
        yield environment[setting.variable], _Origin("variable", setting.variable)
    if file is not None and setting.name in file.values:
        yield file.values[setting.name], _Origin("file", f"{file.path}:{file.lines.get(setting.name, 1)}")


def _convert(setting: Setting, value: object, origin: _Origin, path: Path | None) -> object:
    """The value in its type. Raises ConfigurationError that says where it stands."""
    if setting.about.kind == "secret":
        if not isinstance(value, str):
            raise _bad(setting, origin, "something that is not text")
        # Everybody can see another process's arguments, and files are copied and committed; the environment is neither.
        return Secret.parse(value, what=f"{origin.where} ({setting.name})", plain=origin.kind == "variable")
    try:
        converted = _CONVERTERS[setting.about.kind](value)
    except (TypeError, ValueError):
        raise _bad(setting, origin, repr(value)) from None
    if setting.about.kind == "choice" and converted not in setting.about.choices:
        raise _bad(setting, origin, repr(value))
    if isinstance(converted, int | float):
        low, high = setting.about.minimum, setting.about.maximum
        if (
            (low is not None and converted < low)
            or (high is not None and converted > high)
            or converted != converted
        ):
            raise _bad(setting, origin, repr(value))
    if isinstance(converted, Path) and origin.kind == "file" and path is not None:
        # A path in a file is meant from where the file stands.
        return path.parent / converted.expanduser()
    return converted


def _bad(setting: Setting, origin: _Origin, got: str) -> ConfigurationError:
    return ConfigurationError(
        f"{origin.where}: {setting.name} must be {setting.expects}; got {got}.",
        hint=setting.about.description,
    )


def _text(value: object) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError("not a text")
    return value.strip()


def _path(value: object) -> Path:
    return value if isinstance(value, Path) else Path(_text(value))


def _integer(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ValueError("not a whole number")
    return int(value)


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError("not a number")
    return float(value)


def _list(value: object) -> tuple[str, ...]:
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    if not isinstance(value, list | tuple):
        raise ValueError("not a list")
    return tuple(_text(part) for part in cast("Sequence[object]", value))


_CONVERTERS: Final[Mapping[Kind, Callable[[object], object]]] = {
    "text": _text,
    "choice": _text,
    "path": _path,
    "integer": _integer,
    "number": _number,
    "list": _list,
}
