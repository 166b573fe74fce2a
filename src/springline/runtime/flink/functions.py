"""An application's Python functions as Flink's Python finds them: by module and name."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from springline.core.types import SqlType
from springline.errors import ConfigurationError
from springline.runtime.flink.ddl import flink_type
from springline.runtime.flink.definition import PythonFunction
from springline.runtime.flink.gaps import REFUSED
from springline.sql.user_functions import Functions


def python_functions(functions: Functions) -> tuple[PythonFunction, ...]:
    """Every function of an application. Raises ConfigurationError for one that cannot be imported by module and name."""
    scalars = [
        _found(one.name, one.function, one.arguments, (("", one.returns),))
        for one in functions.scalars.values()
    ]
    tables = [_found(one.name, one.function, one.arguments, one.columns) for one in functions.tables.values()]
    return (*scalars, *tables)


def _found(
    sql_name: str,
    function: Callable[..., Any],
    arguments: tuple[SqlType, ...],
    returns: tuple[tuple[str, SqlType], ...],
) -> PythonFunction:
    module = _module(function)
    name = str(getattr(function, "__qualname__", ""))
    if module is None or not name or "<" in name or _looked_up(module, name) is not function:
        gap = REFUSED["functions that are not of a module"]
        raise ConfigurationError(
            f"Function {sql_name!r} cannot run on Flink: {function!r} has no module and name. {gap.why}",
            hint=gap.instead,
        )
    file = _file(module)
    return PythonFunction(
        sql_name.lower(),
        module,
        name,
        tuple(flink_type(one) for one in arguments),
        tuple((column, flink_type(kind)) for column, kind in returns),
        None if file is None else str(file),
    )


def _file(module: str) -> Path | None:
    """The module's file, which is sent with the job; None for what is installed: Flink's Python has to have it too."""
    found = None if module in sys.stdlib_module_names else getattr(sys.modules.get(module), "__file__", None)
    if found is None and module not in sys.modules:
        found = getattr(sys.modules["__main__"], "__file__", None)
    if found is None or "site-packages" in Path(found).parts:
        return None
    return Path(found).resolve()


def _module(function: Callable[..., Any]) -> str | None:
    """A method of a built-in type has no module of its own, its type has."""
    module = getattr(function, "__module__", None) or getattr(
        getattr(function, "__objclass__", None), "__module__", None
    )
    if module == "__main__":
        file = getattr(sys.modules["__main__"], "__file__", None)
        return None if file is None else Path(file).stem
    return None if module is None else str(module)


def _looked_up(module: str, name: str) -> object:
    found: Any = sys.modules.get(module) or sys.modules["__main__"]
    for part in name.split("."):
        found = getattr(found, part, None)
    return found
