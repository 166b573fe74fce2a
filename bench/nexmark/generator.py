"""A generator of Nexmark's events after its public specification: persons, auctions and bids in one stream of JSON lines.

Event ``n`` is a person where ``n % 50`` is 0, an auction where it is 1, 2 or 3, otherwise a bid (2, 6 and 92 %). Times follow the event number, and
events stand out of order within groups of ten, as the specification's generator does it. Seeded: upstream's is not. Two things differ. A bid carries its
event number as ``id``, since views have keys and bids have none. Bidders have the persons' ids; upstream adds the first id twice to them.
"""

from __future__ import annotations

import json
import random
import string
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

PERSONS, AUCTIONS, TOTAL = 1, 3, 50
FIRST_PERSON: Final = 1_000
FIRST_AUCTION: Final = 1_000
FIRST_CATEGORY: Final = 10
CATEGORIES: Final = 5
HOT_AUCTIONS, HOT_SELLERS, HOT_BIDDERS = 2, 4, 4
HOT_EVERY: Final = 100
IN_FLIGHT: Final = 100
ACTIVE: Final = 1_000
LEADS: Final = 10
GROUP: Final = 10
SPREAD: Final = 953
BASE_TIME_MS: Final = 1_700_000_000_000
SIDE_KEYS: Final = 10_000

STATES = "AZ CA ID OR WA WY".split()
CITIES = "Phoenix,Los Angeles,San Francisco,Boise,Portland,Bend,Redmond,Seattle,Kent,Cheyenne".split(",")
FIRST_NAMES = "Peter Paul Luke John Saul Vicky Kate Julie Sarah Deiter Walter".split()
LAST_NAMES = "Shultz Abrams Spencer White Bartels Walton Smith Jones Noris".split()
CHANNELS = "Google Facebook Baidu Apple".split()


@dataclass(frozen=True)
class Configuration:
    """``rate``: events in one second of event time."""

    events: int
    rate: int = 1_000
    seed: int = 0


class Generator:
    """Makes the events of one configuration, in order of arrival."""

    def __init__(self, configuration: Configuration) -> None:
        self._configuration = configuration
        self._random = random.Random(configuration.seed)
        self._letters = "".join(self._random.choices(string.ascii_lowercase, k=1 << 16))

    def events(self) -> Iterator[dict[str, Any]]:
        whole = self._configuration.events // GROUP * GROUP
        for number in range(self._configuration.events):
            # The last group, where it is not full, stays in order.
            yield self._event(number // GROUP * GROUP + number * SPREAD % GROUP if number < whole else number)

    def _event(self, number: int) -> dict[str, Any]:
        place = number % TOTAL
        if place < PERSONS:
            return self._person(number)
        return self._auction(number) if place < PERSONS + AUCTIONS else self._bid(number)

    def _time_ms(self, number: int) -> int:
        return BASE_TIME_MS + number * 1_000 // self._configuration.rate

    def _person(self, number: int) -> dict[str, Any]:
        pick = self._random
        first, last = pick.choice(FIRST_NAMES), pick.choice(LAST_NAMES)
        return {
            "type": "person",
            "id": FIRST_PERSON + last_person(number),
            "name": f"{first} {last}",
            "emailAddress": f"{self._text(7)}@{self._text(5)}.com",
            "creditCard": " ".join(f"{pick.randrange(10_000):04d}" for _ in range(4)),
            "city": pick.choice(CITIES),
            "state": pick.choice(STATES),
            "dateTime": self._time_ms(number),
            "extra": self._text(100),
        }

    def _auction(self, number: int) -> dict[str, Any]:
        pick, time_ms = self._random, self._time_ms(number)
        newest = last_person(number)
        is_hot = pick.randrange(HOT_SELLERS) > 0
        seller = newest // HOT_EVERY * HOT_EVERY if is_hot else self._some_person(newest)
        initial = self._price()
        horizon_ms = IN_FLIGHT * TOTAL // AUCTIONS * 1_000 // self._configuration.rate
        return {
            "type": "auction",
            "id": FIRST_AUCTION + last_auction(number),
            "itemName": self._text(20),
            "description": self._text(100),
            "initialBid": initial,
            "reserve": initial + self._price(),
            "dateTime": time_ms,
            "expires": time_ms + 1 + pick.randrange(max(1, 2 * horizon_ms)),
            "seller": FIRST_PERSON + seller,
            "category": FIRST_CATEGORY + pick.randrange(CATEGORIES),
            "extra": self._text(200),
        }

    def _bid(self, number: int) -> dict[str, Any]:
        pick = self._random
        newest_auction, newest_person = last_auction(number), last_person(number)
        if pick.randrange(HOT_AUCTIONS) > 0:
            auction = newest_auction // HOT_EVERY * HOT_EVERY
        else:
            oldest = max(0, newest_auction - IN_FLIGHT)
            auction = oldest + pick.randrange(newest_auction - oldest + 1 + LEADS)
        is_hot = pick.randrange(HOT_BIDDERS) > 0
        bidder = newest_person // HOT_EVERY * HOT_EVERY + 1 if is_hot else self._some_person(newest_person)
        channel, url = self._channel()
        return {
            "type": "bid",
            "id": number,
            "auction": FIRST_AUCTION + auction,
            "bidder": FIRST_PERSON + bidder,
            "price": self._price(),
            "channel": channel,
            "url": url,
            "dateTime": self._time_ms(number),
            "extra": self._text(20),
        }

    def _some_person(self, newest: int) -> int:
        """One of the active people, or one who is not there yet."""
        people = newest + 1
        active = min(people, ACTIVE)
        return people - active + self._random.randrange(active + LEADS)

    def _price(self) -> int:
        """Cents; log-uniform from 1 to a million units."""
        return round(10 ** (self._random.random() * 6) * 100)

    def _channel(self) -> tuple[str, str]:
        pick = self._random
        if pick.random() < 0.5:
            place = pick.randrange(len(CHANNELS))
            return CHANNELS[place], self._url(place)
        number = pick.randrange(10_000)
        url = self._url(number + len(CHANNELS))
        # Of each channel's address the same is true for ever.
        return f"channel-{number}", f"{url}&channel_id={number}" if number % 10 else url

    def _url(self, number: int) -> str:
        begin = number * 15 % 60_000
        parts = [self._letters[begin + offset : begin + offset + 5] for offset in (0, 5, 10)]
        return f"https://www.nexmark.com/{'/'.join(parts)}/item.htm?query=1"

    def _text(self, length: int) -> str:
        begin = self._random.randrange(len(self._letters) - length)
        return self._letters[begin : begin + length]


def last_person(number: int) -> int:
    """How many persons, less one, there are up to an event."""
    return number // TOTAL


def last_auction(number: int) -> int:
    """How many auctions, less one, there are up to an event; 0 before the first."""
    epoch, place = divmod(number, TOTAL)
    if place < PERSONS:
        return max(0, epoch * AUCTIONS - 1)
    return epoch * AUCTIONS + min(place - PERSONS, AUCTIONS - 1)


def write(folder: Path, configuration: Configuration) -> None:
    """``events.jsonl``, and q13's side input ``side.jsonl``."""
    with (folder / "events.jsonl").open("w") as file:
        for event in Generator(configuration).events():
            file.write(json.dumps(event, separators=(",", ":")) + "\n")
    with (folder / "side.jsonl").open("w") as file:
        for key in range(SIDE_KEYS):
            file.write(f'{{"key":{key},"value":"{value_of(key)}"}}\n')


def value_of(key: int) -> str:
    """What the side input says of a key."""
    return f"value of {key * 7919 % SIDE_KEYS}"
