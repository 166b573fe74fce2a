"""The right answer to each of Nexmark's queries, in plain Python over all events at once: nothing here comes from the engine that is checked.

Rows have the columns of the queries in ``queries.py``, in their order: times are datetimes, prices of q1 and q14 Decimals, averages of whole numbers
are cut towards zero, as Flink's are.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from bench.nexmark.generator import SIDE_KEYS, value_of

Row = tuple[Any, ...]
Event = dict[str, Any]

EPOCH: Final = datetime(1970, 1, 1)
WINDOW_MS: Final = 10_000
SLIDE_MS: Final = 2_000
RATE: Final = Decimal("0.908")


@dataclass
class Streams:
    persons: list[Event] = field(default_factory=list[Event])
    auctions: list[Event] = field(default_factory=list[Event])
    bids: list[Event] = field(default_factory=list[Event])

    @staticmethod
    def read(path: Path) -> Streams:
        found = Streams()
        places = {"person": found.persons, "auction": found.auctions, "bid": found.bids}
        with path.open() as file:
            for line in file:
                event = json.loads(line)
                places[event["type"]].append(event)
        return found


def moment(milliseconds: int) -> datetime:
    return EPOCH + timedelta(milliseconds=milliseconds)


def day(bid: Event) -> str:
    return f"{moment(bid['dateTime']):%Y-%m-%d}"


def minute(bid: Event) -> str:
    return f"{moment(bid['dateTime']):%H:%M}"


def grouped(events: Iterable[Event], key: Callable[[Event], Any]) -> dict[Any, list[Event]]:
    found: dict[Any, list[Event]] = defaultdict(list)
    for event in events:
        found[key(event)].append(event)
    return found


def columns(event: Event, names: str) -> Row:
    """The named fields; times as datetimes."""
    return tuple(
        moment(event[name]) if name in ("dateTime", "expires") else event[name] for name in names.split()
    )


BID = "id auction bidder price dateTime extra"


def q0(all_: Streams) -> Iterable[Row]:
    return [columns(bid, BID) for bid in all_.bids]


def q1(all_: Streams) -> Iterable[Row]:
    return [
        (bid["id"], bid["auction"], bid["bidder"], bid["price"] * RATE, *columns(bid, "dateTime extra"))
        for bid in all_.bids
    ]


def q2(all_: Streams) -> Iterable[Row]:
    return [columns(bid, "id auction price") for bid in all_.bids if bid["auction"] % 123 == 0]


def q3(all_: Streams) -> Iterable[Row]:
    near = {one["id"]: one for one in all_.persons if one["state"] in ("OR", "ID", "CA")}
    for auction in all_.auctions:
        if auction["category"] == 10 and (seller := near.get(auction["seller"])) is not None:
            yield seller["name"], seller["city"], seller["state"], auction["id"]


def valid_bids(all_: Streams) -> Iterator[tuple[Event, list[Event]]]:
    """Each auction that has bids in its time, with them."""
    bids = grouped(all_.bids, lambda bid: bid["auction"])
    for auction in all_.auctions:
        valid = [
            bid
            for bid in bids.get(auction["id"], ())
            if auction["dateTime"] <= bid["dateTime"] <= auction["expires"]
        ]
        if valid:
            yield auction, valid


def winners(all_: Streams) -> Iterator[tuple[Event, Event]]:
    """Each auction with its winning bid: the highest, of these the earliest."""
    for auction, valid in valid_bids(all_):
        yield auction, min(valid, key=lambda bid: (-bid["price"], bid["dateTime"], bid["id"]))


def q4(all_: Streams) -> Iterable[Row]:
    finals: dict[int, list[int]] = defaultdict(list)
    for auction, valid in valid_bids(all_):
        finals[auction["category"]].append(max(bid["price"] for bid in valid))
    return [(category, sum(prices) // len(prices)) for category, prices in finals.items()]


def q5(all_: Streams) -> Iterable[Row]:
    counts: dict[int, dict[int, int]] = defaultdict(lambda: defaultdict(int))
    for bid in all_.bids:
        newest = bid["dateTime"] // SLIDE_MS * SLIDE_MS
        for begin in range(newest - WINDOW_MS + SLIDE_MS, newest + 1, SLIDE_MS):
            counts[begin][bid["auction"]] += 1
    for begin, auctions in counts.items():
        most = max(auctions.values())
        for auction, count in auctions.items():
            if count == most:
                yield auction, count, moment(begin), moment(begin + WINDOW_MS)


def q6(all_: Streams) -> Iterable[Row]:
    won: dict[int, list[Event]] = defaultdict(list)
    for auction, bid in winners(all_):
        won[auction["seller"]].append(bid)
    for seller, bids in won.items():
        newest = sorted(bids, key=lambda bid: (bid["dateTime"], bid["id"]))[-10:]
        yield seller, sum(bid["price"] for bid in newest) // len(newest)


def q7(all_: Streams) -> Iterable[Row]:
    for bids in grouped(all_.bids, lambda bid: bid["dateTime"] // WINDOW_MS).values():
        highest = max(bid["price"] for bid in bids)
        yield from (columns(bid, BID) for bid in bids if bid["price"] == highest)


def q8(all_: Streams) -> Iterable[Row]:
    sold = {(one["seller"], one["dateTime"] // WINDOW_MS) for one in all_.auctions}
    for person in all_.persons:
        window = person["dateTime"] // WINDOW_MS
        if (person["id"], window) in sold:
            yield person["id"], person["name"], moment(window * WINDOW_MS)


def q9(all_: Streams) -> Iterable[Row]:
    for auction, bid in winners(all_):
        yield (
            *columns(auction, "id seller category"),
            bid["id"],
            *columns(bid, "bidder price dateTime"),
        )


def q10(all_: Streams) -> Iterable[Row]:
    return [(*columns(bid, BID), day(bid), minute(bid)) for bid in all_.bids]


def q11(all_: Streams) -> Iterable[Row]:
    for bidder, bids in grouped(all_.bids, lambda bid: bid["bidder"]).items():
        session: list[int] = []
        for time_ms in sorted(bid["dateTime"] for bid in bids):
            if session and time_ms - session[-1] >= WINDOW_MS:
                yield bidder, len(session), moment(session[0]), moment(session[-1] + WINDOW_MS)
                session = []
            session.append(time_ms)
        yield bidder, len(session), moment(session[0]), moment(session[-1] + WINDOW_MS)


def q13(all_: Streams) -> Iterable[Row]:
    for bid in all_.bids:
        yield (*columns(bid, "id auction bidder price dateTime"), value_of(bid["auction"] % SIDE_KEYS))


def q14(all_: Streams) -> Iterable[Row]:
    labels = {hour: "dayTime" if 8 <= hour <= 18 else "nightTime" for hour in range(24)}
    labels[7] = labels[19] = "otherTime"
    for bid in all_.bids:
        price = bid["price"] * RATE
        if 1_000_000 < price < 50_000_000:
            at = moment(bid["dateTime"])
            yield (
                *columns(bid, "id auction bidder"),
                price,
                labels[at.hour],
                at,
                bid["extra"],
                bid["extra"].count("c"),
            )


def rank(bid: Event) -> int:
    return 1 if bid["price"] < 10_000 else 2 if bid["price"] < 1_000_000 else 3


def ranked(bids: list[Event], measure: Callable[[list[Event]], int]) -> Row:
    """A measure of all bids, and of those of each rank."""
    return (
        measure(bids),
        *(measure([bid for bid in bids if rank(bid) == number]) for number in (1, 2, 3)),
    )


def distinct(name: str) -> Callable[[list[Event]], int]:
    return lambda bids: len({bid[name] for bid in bids})


def twelve(bids: list[Event]) -> Row:
    return (
        *ranked(bids, len),
        *ranked(bids, distinct("bidder")),
        *ranked(bids, distinct("auction")),
    )


def q15(all_: Streams) -> Iterable[Row]:
    return [(date, *twelve(bids)) for date, bids in grouped(all_.bids, day).items()]


def q16(all_: Streams) -> Iterable[Row]:
    for (channel, date), bids in grouped(all_.bids, lambda bid: (bid["channel"], day(bid))).items():
        yield channel, date, max(map(minute, bids)), *twelve(bids)


def q17(all_: Streams) -> Iterable[Row]:
    for (auction, date), bids in grouped(all_.bids, lambda bid: (bid["auction"], day(bid))).items():
        prices = [bid["price"] for bid in bids]
        total = sum(prices)
        yield (
            auction,
            date,
            *ranked(bids, len),
            min(prices),
            max(prices),
            total // len(prices),
            total,
        )


def q18(all_: Streams) -> Iterable[Row]:
    for bids in grouped(all_.bids, lambda bid: (bid["bidder"], bid["auction"])).values():
        newest = max(bids, key=lambda bid: (bid["dateTime"], bid["id"]))
        yield columns(newest, "auction bidder price channel url dateTime extra")


def q19(all_: Streams) -> Iterable[Row]:
    for bids in grouped(all_.bids, lambda bid: bid["auction"]).values():
        best = sorted(bids, key=lambda bid: (-bid["price"], bid["id"]))[:10]
        for place, bid in enumerate(best, 1):
            yield *columns(bid, "id auction bidder price dateTime"), place


def q20(all_: Streams) -> Iterable[Row]:
    wanted = {one["id"]: one for one in all_.auctions if one["category"] == 10}
    for bid in all_.bids:
        if (auction := wanted.get(bid["auction"])) is not None:
            yield (
                *columns(bid, "id auction bidder price channel url dateTime"),
                *columns(auction, "itemName initialBid reserve expires seller category"),
            )


def q21(all_: Streams) -> Iterable[Row]:
    known = {"apple": "0", "google": "1", "facebook": "2", "baidu": "3"}
    for bid in all_.bids:
        given = parse_qs(urlsplit(str(bid["url"])).query).get("channel_id", [""])[0]
        if found := known.get(bid["channel"].lower(), given):
            yield (*columns(bid, "id auction bidder price channel"), found)


def q22(all_: Streams) -> Iterable[Row]:
    for bid in all_.bids:
        directories = urlsplit(str(bid["url"])).path.split("/")[1:4]
        yield (*columns(bid, "id auction bidder price channel"), *directories)


def q23(all_: Streams) -> Iterable[Row]:
    people = {one["id"]: one for one in all_.persons}
    sold = grouped(all_.auctions, lambda one: one["seller"])
    for bid in all_.bids:
        if (person := people.get(bid["bidder"])) is not None:
            for auction in sold.get(bid["bidder"], ()):
                yield (
                    bid["id"],
                    auction["id"],
                    person["id"],
                    *columns(bid, "auction price dateTime"),
                    *columns(auction, "itemName category"),
                    *columns(person, "name city state"),
                )


ANSWERS: Final[dict[str, Callable[[Streams], Iterable[Row]]]] = {
    answer.__name__: answer
    for answer in (
        *(q0, q1, q2, q3, q4, q5, q6, q7, q8, q9, q10, q11),
        *(q13, q14, q15, q16, q17, q18, q19, q20, q21, q22, q23),
    )
}
