"""Make the demo's compact extract of the February 2013 blizzard from the nycflights13 data set (CC0).

    python tools/extract_blizzard.py FOLDER [OUTPUT]

FOLDER holds ``flights_2013_01_09.parquet`` and ``weather_2013_01_09.csv.gz``, ``airlines.csv.gz`` and
``airports.csv.gz``. OUTPUT defaults to ``src/springline/demo/data``. Needs polars, which Springline itself does
not. The same input gives the same bytes: rows are sorted and the gzip headers carry no time.
"""

from __future__ import annotations

import gzip
import io
import sys
from pathlib import Path

import polars as pl

MONTH = 2
FIRST_DAY, LAST_DAY = 7, 10
OUTPUT = Path(__file__).parent.parent / "src" / "springline" / "demo" / "data"

# New York's four Caribbean destinations are missing from the data set's airports table.
MISSING_AIRPORTS = pl.DataFrame(
    {
        "code": ["BQN", "PSE", "SJU", "STT"],
        "name": ["Rafael Hernandez", "Mercedita", "Luis Munoz Marin Intl", "Cyril E King"],
        "latitude": [18.495, 18.008, 18.439, 18.337],
        "longitude": [-67.129, -66.563, -66.002, -64.973],
        "utc_offset_hours": [-4, -4, -4, -4],
    }
)


def flights(folder: Path) -> pl.DataFrame:
    """Every flight scheduled to leave New York on the four days, with its recorded outcome."""
    days = pl.read_parquet(folder / "flights_2013_01_09.parquet").filter(
        (pl.col("month") == MONTH) & pl.col("day").is_between(FIRST_DAY, LAST_DAY)
    )
    whole = ["dep_time", "dep_delay", "arr_time", "arr_delay", "air_time"]
    return (
        days.with_columns([pl.col(name).cast(pl.Int64) for name in whole])
        .with_columns(cancelled=pl.col("dep_time").is_null().cast(pl.Int8))
        .select(
            "year", "month", "day", "sched_dep_time", "dep_time", "dep_delay", "sched_arr_time", "arr_time",
            "arr_delay", "carrier", "flight", "tailnum", "origin", "dest", "air_time", "distance", "cancelled",
        )
        .sort("day", "sched_dep_time", "carrier", "flight", "origin")
    )  # fmt: skip


def weather(folder: Path) -> pl.DataFrame:
    """The hourly observations of the three airports on the four days. ``time_hour`` is UTC."""
    return (
        pl.read_csv(folder / "weather_2013_01_09.csv.gz", null_values=["", "NA"])
        .filter((pl.col("month") == MONTH) & pl.col("day").is_between(FIRST_DAY, LAST_DAY))
        .with_columns(pl.col("wind_speed", "wind_gust").cast(pl.Float64).round(1))
        .select(
            "origin", "time_hour", "temp", "dewp", "humid", "wind_dir", "wind_speed", "wind_gust", "precip",
            "pressure", "visib",
        )
        .sort("time_hour", "origin")
    )  # fmt: skip


def airlines(folder: Path, carriers: set[str]) -> pl.DataFrame:
    table = pl.read_csv(folder / "airlines.csv.gz").filter(pl.col("carrier").is_in(sorted(carriers)))
    return table.rename({"carrier": "code"}).sort("code")


def airports(folder: Path, codes: set[str]) -> pl.DataFrame:
    """The airports used. The offset is winter's, as no airport keeps summer time in February."""
    known = (
        pl.read_csv(folder / "airports.csv.gz")
        .filter(pl.col("faa").is_in(sorted(codes)))
        .select(
            code="faa",
            name="name",
            latitude=pl.col("lat").round(3),
            longitude=pl.col("lon").round(3),
            utc_offset_hours=pl.col("tz").cast(pl.Int64),
        )
    )
    missing = codes - set(known["code"])
    unexpected = missing - set(MISSING_AIRPORTS["code"])
    if unexpected:
        raise SystemExit(f"airports without a row in the data set: {sorted(unexpected)}")
    return pl.concat([known, MISSING_AIRPORTS.filter(pl.col("code").is_in(sorted(missing)))]).sort("code")


def write(table: pl.DataFrame, path: Path) -> None:
    text = io.StringIO()
    table.write_csv(text)
    path.write_bytes(gzip.compress(text.getvalue().encode(), compresslevel=9, mtime=0))
    print(f"{path.name}: {table.height} rows, {path.stat().st_size} bytes")


def main(arguments: list[str]) -> None:
    if not 1 <= len(arguments) <= 2:
        raise SystemExit(__doc__)
    folder = Path(arguments[0])
    output = Path(arguments[1]) if len(arguments) == 2 else OUTPUT
    output.mkdir(parents=True, exist_ok=True)
    facts = flights(folder)
    write(facts, output / "flights.csv.gz")
    write(weather(folder), output / "weather.csv.gz")
    write(airlines(folder, set(facts["carrier"])), output / "airlines.csv.gz")
    write(airports(folder, set(facts["origin"]) | set(facts["dest"])), output / "airports.csv.gz")


if __name__ == "__main__":
    main(sys.argv[1:])
