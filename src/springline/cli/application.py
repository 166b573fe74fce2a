"""Finds the application in a Python file."""

from __future__ import annotations

import importlib.util
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from springline.errors import ConfigurationError, SpringlineError

if TYPE_CHECKING:
    from springline.app import App

DEFAULT_FILE = "app.py"


def split_target(target: str) -> tuple[Path, str | None]:
    """``app.py`` or ``app.py:name``."""
    path, colon, name = target.rpartition(":")
    return (Path(path), name) if colon and name.isidentifier() and path else (Path(target), None)


def load_app(target: str) -> App:
    """Imports the file and returns the one ``App`` in it, or the one named. Raises ConfigurationError with the line where the file
    fails."""
    path, name = split_target(target)
    if not path.is_file():
        raise ConfigurationError(
            f"There is no file {path}.",
            hint="Name the application's file: springline run app.py, or app.py:name.",
        )
    module = _execute(path.resolve())
    from springline.app import App

    names: dict[str, object] = vars(module)
    found = {key: value for key, value in names.items() if isinstance(value, App)}
    if name is not None:
        if name not in found:
            raise ConfigurationError(f"{path} has no application {name!r}.", hint=f"It has: {_names(found)}.")
        return found[name]
    different = {id(app): app for app in found.values()}
    if len(different) == 1:
        return next(iter(different.values()))
    if not different:
        raise ConfigurationError(
            f"{path} makes no application.", hint='Write app = springline.App("name") in it.'
        )
    raise ConfigurationError(
        f"{path} makes {len(different)} applications: {_names(found)}.",
        hint=f"Name one: {path}:{min(found)}.",
    )


def _names(found: Mapping[str, object]) -> str:
    return ", ".join(sorted(found)) or "none"


def _execute(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise ConfigurationError(f"{path} is not a Python file.", hint="Its name must end in .py.")
    module = importlib.util.module_from_spec(spec)
    # As `python app.py` has it, so that the file can import its neighbours.
    sys.path.insert(0, str(path.parent))
    sys.modules.setdefault(path.stem, module)
    try:
        spec.loader.exec_module(module)
    except SpringlineError:
        raise
    except SyntaxError as error:
        raise ConfigurationError(
            f"{error.filename}:{error.lineno}: {error.msg}.", hint="The file could not be read as Python."
        ) from error
    except Exception as error:
        raise ConfigurationError(
            f"{_where(error, path)}: {type(error).__name__}: {error}",
            hint="The application's file failed when it was imported.",
        ) from error
    return module


def _where(error: Exception, path: Path) -> str:
    """The innermost line of the application's own file in a traceback."""
    own = [frame for frame in traceback.extract_tb(error.__traceback__) if Path(frame.filename) == path]
    return f"{path}:{own[-1].lineno}" if own else str(path)
