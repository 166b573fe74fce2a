"""Runs inside Flink's Python: takes statements and settings as JSON from its command line, submits them, and prints as JSON the
job's id, or the rows of a query."""

from __future__ import annotations

import json
import sys

from pyflink.table import DataTypes, EnvironmentSettings, TableEnvironment
from pyflink.table.udf import udf


@udf(result_type=DataTypes.STRING())
def shout(text):  # type: ignore[no-untyped-def]
    return text.upper() + "!"


def main() -> None:
    job = json.loads(sys.argv[1])
    environment = TableEnvironment.create(EnvironmentSettings.in_streaming_mode())
    for name, value in job["settings"].items():
        environment.get_config().set(name, value)
    environment.create_temporary_function("shout", shout)
    for statement in job["statements"]:
        result = environment.execute_sql(statement)
    if job["collect"]:
        with result.collect() as rows:
            print(json.dumps([list(row) for row in rows]))
    else:
        print(json.dumps(str(result.get_job_client().get_job_id())))


if __name__ == "__main__":
    main()
