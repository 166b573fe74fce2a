"""The program that Flink's own Python runs: reads a compiled job and submits it.

It imports the standard library and PyFlink, and nothing of Springline: the environment of Flink has packages of its own. What it
prints last is one line of JSON: ``{"job_id": …}``, ``{"plan": …}`` or ``{"error": …, "about": …}``.

``python job.py JOB.json [--explain]``
"""

from __future__ import annotations

import argparse
import datetime
import decimal
import importlib
import json
import os
import sys
import traceback
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

FAILS = "_fails"
"""Ends the name of the function that says whether a function raises for the same arguments."""

WORKERS = "_python_worker_execution_mode"
"""PyFlink's variable that says where Python functions run."""

RANGES = {"SMALLINT": 2**15, "INT": 2**31, "BIGINT": 2**63}

PYTHON_TYPES: dict[str, type | tuple[type, ...]] = {
    "BOOLEAN": bool,
    "STRING": str,
    "BYTES": (bytes, bytearray),
    "DATE": datetime.date,
    "TIME": datetime.time,
    "TIMESTAMP": datetime.datetime,
    "TIMESTAMP_LTZ": datetime.datetime,
    "ARRAY": (list, tuple),
}


class Refused(Exception):
    """What is wrong, and with which relation or function."""

    def __init__(self, message: str, about: str) -> None:
        super().__init__(message)
        self.message = message
        self.about = about


def main() -> int:
    parser = argparse.ArgumentParser(description="Submits a compiled job to Flink.")
    parser.add_argument("job", type=Path, help="the job as JSON")
    parser.add_argument("--explain", action="store_true", help="print Flink's plan and submit nothing")
    arguments = parser.parse_args()
    try:
        answer = run(json.loads(arguments.job.read_text(encoding="utf-8")), explain=arguments.explain)
    except Refused as error:
        answer = {"error": error.message, "about": error.about}
    # Whatever Flink's Java side raises is told in the one line that is read.
    except Exception as error:
        answer = {"error": reason(error), "about": "", "trace": traceback.format_exc(limit=-3)}
    print(json.dumps(answer))
    return 0 if "error" not in answer else 1


def run(job: dict[str, Any], *, explain: bool) -> dict[str, Any]:
    """Defines everything, then submits all INSERTs as one job."""
    # Or PyFlink takes the cluster for one in this process, whose Python functions would be called back here.
    os.environ[WORKERS] = "process"
    # PyFlink is not among our packages: only here is it known.
    table: Any = importlib.import_module("pyflink.table")
    configuration = importlib.import_module("pyflink.common").Configuration()
    for key, value in {"pipeline.name": job["name"], **job["configuration"]}.items():
        configuration.set_string(key, value)
    settings = table.EnvironmentSettings.new_instance().in_streaming_mode().with_configuration(configuration)
    environment = table.TableEnvironment.create(settings.build())
    for function in job["functions"]:
        register(environment, function)
    statements = environment.create_statement_set()
    for one in job["statements"]:
        try:
            if one["kind"] == "insert":
                statements.add_insert_sql(one["sql"])
            else:
                environment.execute_sql(one["sql"])
        except Exception as error:
            raise Refused(reason(error), one["about"]) from error
    if explain:
        return {"plan": statements.explain()}
    client = statements.execute().get_job_client()
    if client is None:
        raise Refused("Flink started no job.", "")
    return {"job_id": str(client.get_job_id())}


def reason(error: BaseException) -> str:
    """The innermost message of a Java exception: the outer ones say that something failed."""
    lines = [line.strip() for line in str(error).splitlines()]
    causes = [line for line in lines if line.startswith("Caused by: ")]
    text = (
        causes[-1].removeprefix("Caused by: ")
        if causes
        else next((line for line in lines if line), repr(error))
    )
    if text.startswith("An error occurred while calling"):
        text = next((line.removeprefix(": ") for line in lines if line.startswith(": ")), text)
    return text


# -- functions ---------------------------------------------------------------------------------------------------------


def sent(module: str, file: Path) -> Path:
    """What is sent for a module: its file, or for one of a package an archive of the outermost package."""
    package = module if file.name == "__init__.py" else module.rpartition(".")[0]
    if not package:
        return file
    outermost = file.parents[package.count(".")]
    archive = Path(f"{outermost.name}.zip").resolve()
    if not archive.exists():
        with zipfile.ZipFile(archive, "w") as written:
            # Folders too: without their entries a package that has no __init__.py is not found in an archive.
            for one in sorted([outermost, *outermost.rglob("*/"), *outermost.rglob("*.py")]):
                if "__pycache__" not in one.parts:
                    written.write(one, one.relative_to(outermost.parent))
    return archive


def register(environment: Any, function: dict[str, Any]) -> None:
    """A function under its name, and one that says whether it raises. Where it raises, the first gives NULL or no rows."""
    made_of: Any = importlib.import_module("pyflink.table.udf")
    name, kinds = function["sql_name"], [kind for _, kind in function["returns"]]
    module, path = function["module"], function["name"]
    if function["file"] is not None:
        shipped = sent(module, Path(function["file"]))
        environment.add_python_file(str(shipped))
        sys.path.insert(0, str(shipped.parent if shipped.suffix == ".py" else shipped))
    try:
        found(module, path)
    # An application's module may do anything when it is imported.
    except Exception as error:
        message = f"{module}:{path} cannot be imported by Flink's Python: {type(error).__name__}: {error}"
        raise Refused(message, name) from error
    if function["returns"][0][0]:
        value, fails = rows_of(module, path, kinds)
        made = made_of.udtf(value, input_types=function["arguments"], result_types=kinds)
    else:
        value, fails = value_of(module, path, kinds[0])
        made = made_of.udf(value, input_types=function["arguments"], result_type=kinds[0])
    asked = made_of.udf(fails, input_types=function["arguments"], result_type="BOOLEAN")
    environment.create_temporary_system_function(name, made)
    environment.create_temporary_system_function(name + FAILS, asked)


def found(module: str, path: str) -> Callable[..., Any]:
    """What is called ``path`` in a module."""
    value: Any = importlib.import_module(module)
    for part in path.split("."):
        value = getattr(value, part)
    return value


def value_of(module: str, path: str, kind: str) -> tuple[Callable[..., Any], Callable[..., bool]]:
    """A scalar function that is NULL where it raises, and the one that says so."""

    def attempt(*arguments: Any) -> tuple[Any, bool]:
        try:
            return fitting(found(module, path)(*arguments), kind), False
        except Exception:
            return None, True

    return lambda *arguments: attempt(*arguments)[0], lambda *arguments: attempt(*arguments)[1]


def rows_of(
    module: str, path: str, kinds: list[str]
) -> tuple[Callable[..., Iterator[Any]], Callable[..., bool]]:
    """The same for a table function, whose rows are of no use where one of them fails."""

    def attempt(*arguments: Any) -> tuple[list[Any], bool]:
        try:
            rows = found(module, path)(*arguments)
            made = [[fitting(value, kind) for value, kind in zip(row, kinds, strict=True)] for row in rows]
            return [tuple(row) if len(kinds) > 1 else row[0] for row in made], False
        except Exception:
            return [], True

    def rows(*arguments: Any) -> Iterator[Any]:
        yield from attempt(*arguments)[0]

    return rows, lambda *arguments: attempt(*arguments)[1]


def fitting(value: Any, kind: str) -> Any:
    """The value as one of a type. Raises TypeError or ValueError where it is none: Flink would fail on it later."""
    if value is None:
        return None
    base = kind.partition("(")[0].partition("<")[0]
    if base in RANGES:
        if isinstance(value, bool) or not isinstance(value, int):
            raise TypeError(f"{type(value).__name__} is not {kind}")
        if not -RANGES[base] <= value < RANGES[base]:
            raise ValueError(f"{value} is beyond {kind}")
        return value
    if base in ("FLOAT", "DOUBLE"):
        return float(value)
    if base == "DECIMAL":
        precision, scale = (int(part) for part in kind[len("DECIMAL(") : -1].split(","))
        rounded = decimal.Decimal(value).quantize(
            decimal.Decimal(1).scaleb(-scale), decimal.ROUND_HALF_UP, decimal.Context(prec=100)
        )
        if abs(rounded) >= decimal.Decimal(10) ** (precision - scale):
            raise ValueError(f"{value} is beyond {kind}")
        return rounded
    if not isinstance(value, PYTHON_TYPES[base]):
        raise TypeError(f"{type(value).__name__} is not {kind}")
    return value


if __name__ == "__main__":
    raise SystemExit(main())
