"""Options that commands share. The flags of settings come from the table of settings."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from springline.settings import TABLE, Setting, Settings

Command = TypeVar("Command", bound=Callable[..., Any])

ROWS = {setting.name: setting for setting in TABLE}


def setting_option(setting: Setting) -> Callable[[Command], Command]:
    """The flag of one setting. Its value is checked with all others, by ``Settings.load``."""
    default = "" if setting.default_text == "none" else f"; default: {setting.default_text}"
    metavar = {"choice": "|".join(setting.about.choices), "path": "PATH", "secret": "REFERENCE"}.get(
        setting.about.kind
    )
    return click.option(
        setting.flag,
        setting.name,
        metavar=metavar or ("NUMBER" if setting.about.kind in ("integer", "number") else "TEXT"),
        multiple=setting.about.kind == "list",
        help=f"{setting.about.description}  [{setting.variable}{default}]",
    )


def config_option(command: Command) -> Command:
    return click.option(
        "--config",
        type=click.Path(path_type=Path),
        help="The settings file.  [SPRINGLINE_CONFIG; default: springline.toml, if there is one]",
    )(command)


def with_settings(*names: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Adds the flags of the settings named, and ``--config``; the command gets the settings as its first argument."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def call(**values: Any) -> Any:
            flags = {name: values.pop(name) for name in names}
            return function(Settings.load(flags=flags, config=values.pop("config")), **values)

        decorated: Callable[..., Any] = config_option(call)
        for name in reversed(names):
            decorated = setting_option(ROWS[name])(decorated)
        return decorated

    return decorate


json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON document; errors too, on standard error."
)

url_option = click.option(
    "--url", metavar="URL", help="Talk to this server instead of the process on the data folder."
)

require_option = click.option(
    "--require",
    type=click.Choice(["now", "none"]),
    help="now: reflect every change committed before; none: take what is there.",
)

on_miss_option = click.option(
    "--on-miss",
    type=click.Choice(["refuse", "state_age"]),
    default="refuse",
    show_default=True,
    help="When the deadline is missed: refuse, or answer and state the ages.",
)


def freshness(settings: Settings, require: str | None, on_miss: str, *, default: str) -> dict[str, object]:
    """What a request says about freshness."""
    return {"require": require or default, "on_miss": on_miss, "deadline_ms": settings.deadline_ms}
