"""Nexmark's queries in Flink SQL, written after their specification in words.

Every query that shows single bids also shows the bid's ``id``, which upstream's bids do not have: it is the key of the view. Where rows tie, the id
decides, so that there is one right answer. Windows are kept for all events, late ones too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from springline.sources.json_rows import JsonTable

SOURCE: Final = "nexmark"

TABLES: Final = {
    "person": JsonTable(
        {
            "id": "BIGINT NOT NULL",
            "name": "STRING",
            "emailAddress": "STRING",
            "creditCard": "STRING",
            "city": "STRING",
            "state": "STRING",
            "dateTime": "TIMESTAMP",
            "extra": "STRING",
        },
        key=["id"],
        kept=False,
    ),
    "auction": JsonTable(
        {
            "id": "BIGINT NOT NULL",
            "itemName": "STRING",
            "description": "STRING",
            "initialBid": "BIGINT",
            "reserve": "BIGINT",
            "dateTime": "TIMESTAMP",
            "expires": "TIMESTAMP",
            "seller": "BIGINT",
            "category": "BIGINT",
            "extra": "STRING",
        },
        key=["id"],
        kept=False,
    ),
    "bid": JsonTable(
        {
            "id": "BIGINT NOT NULL",
            "auction": "BIGINT",
            "bidder": "BIGINT",
            "price": "BIGINT",
            "channel": "STRING",
            "url": "STRING",
            "dateTime": "TIMESTAMP",
            "extra": "STRING",
        },
        key=["id"],
        kept=False,
    ),
}
"""Streams: their rows only come."""

SIDE: Final = JsonTable({"key": "BIGINT NOT NULL", "value": "STRING"}, key=["key"])
"""q13's side input, in a source of its own."""


@dataclass(frozen=True)
class Query:
    """One query. ``sql`` is None where there is nothing to run; ``note``: what differs from upstream, or why it cannot be run."""

    question: str
    sql: str | None
    note: str = ""
    key: tuple[str, ...] | None = None


RANKS = (
    "price < 10000",
    "price >= 10000 AND price < 1000000",
    "price >= 1000000",
)


def _ranked(aggregate: str, name: str) -> str:
    """An aggregate in total and in the three ranks of price."""
    parts = [f"{aggregate} AS total_{name}"]
    parts += [
        f"{aggregate} FILTER (WHERE {rank}) AS rank{number}_{name}" for number, rank in enumerate(RANKS, 1)
    ]
    return ", ".join(parts)


BIDS, BIDDERS, AUCTIONS = (
    _ranked("COUNT(*)", "bids"),
    _ranked("COUNT(DISTINCT bidder)", "bidders"),
    _ranked("COUNT(DISTINCT auction)", "auctions"),
)

DAY = "DATE_FORMAT(dateTime, 'yyyy-MM-dd')"

BIDS_OF_AUCTIONS = """
    FROM nexmark.auction AS a JOIN nexmark.bid AS b ON a.id = b.auction AND b.dateTime BETWEEN a.dateTime AND a.expires
"""

WINNING = f"""
    SELECT a.id, a.seller, a.category, b.id AS bid, b.auction, b.bidder, b.price, b.dateTime,
           ROW_NUMBER() OVER (PARTITION BY a.id ORDER BY b.price DESC, b.dateTime, b.id) AS place
    {BIDS_OF_AUCTIONS}
"""

COUNTED = """
    SELECT auction, window_start, window_end, COUNT(*) AS num
    FROM TABLE(HOP(TABLE nexmark.bid, DESCRIPTOR(dateTime), INTERVAL '2' SECOND, INTERVAL '10' SECOND))
    GROUP BY auction, window_start, window_end
"""

CHANNEL_ID = """
    CASE LOWER(channel) WHEN 'apple' THEN '0' WHEN 'google' THEN '1' WHEN 'facebook' THEN '2' WHEN 'baidu' THEN '3'
    ELSE REGEXP_EXTRACT(url, '(&|^)channel_id=([^&]*)', 2) END
"""

QUERIES: Final[dict[str, Query]] = {
    "q0": Query("pass-through", "SELECT id, auction, bidder, price, dateTime, extra FROM nexmark.bid"),
    "q1": Query(
        "currency conversion",
        "SELECT id, auction, bidder, 0.908 * price AS price, dateTime, extra FROM nexmark.bid",
    ),
    "q2": Query("selection", "SELECT id, auction, price FROM nexmark.bid WHERE MOD(auction, 123) = 0"),
    "q3": Query(
        "local item suggestion",
        """SELECT p.name, p.city, p.state, a.id FROM nexmark.auction AS a JOIN nexmark.person AS p ON a.seller = p.id
           WHERE a.category = 10 AND p.state IN ('OR', 'ID', 'CA')""",
    ),
    "q4": Query(
        "average final price per category",
        f"""SELECT category, AVG(final) AS average FROM (
                SELECT a.id, a.category, MAX(b.price) AS final {BIDS_OF_AUCTIONS} GROUP BY a.id, a.category) AS q
            GROUP BY category""",
    ),
    "q5": Query(
        "hot items",
        f"""WITH counted AS ({COUNTED})
            SELECT c.auction, c.num, c.window_start, c.window_end FROM counted AS c
            JOIN (SELECT window_start, window_end, MAX(num) AS most FROM counted GROUP BY window_start, window_end) AS m
              ON c.window_start = m.window_start AND c.window_end = m.window_end AND c.num = m.most""",
        key=("auction", "window_start", "window_end"),
    ),
    "q6": Query(
        "average selling price per seller, last 10",
        f"""SELECT seller, AVG(price) AS average FROM (
                SELECT seller, price, ROW_NUMBER() OVER (PARTITION BY seller ORDER BY dateTime DESC, bid DESC) AS newest
                FROM ({WINNING}) AS w WHERE place = 1) AS n
            WHERE newest <= 10 GROUP BY seller""",
        note="Flink SQL cannot run it (FLINK-19059); the last 10, as stated, not upstream's 11",
    ),
    "q7": Query(
        "highest bid",
        """SELECT b.id, b.auction, b.bidder, b.price, b.dateTime, b.extra FROM nexmark.bid AS b
           JOIN (SELECT window_start, window_end, MAX(price) AS highest
                 FROM TABLE(TUMBLE(TABLE nexmark.bid, DESCRIPTOR(dateTime), INTERVAL '10' SECOND))
                 GROUP BY window_start, window_end) AS w
             ON b.price = w.highest AND b.dateTime >= w.window_start AND b.dateTime < w.window_end""",
        note="windows exclude their end; upstream's join includes it",
        key=("id",),
    ),
    "q8": Query(
        "new users who sell",
        """SELECT p.id, p.name, p.window_start FROM (
               SELECT id, name, window_start, window_end
               FROM TABLE(TUMBLE(TABLE nexmark.person, DESCRIPTOR(dateTime), INTERVAL '10' SECOND))
               GROUP BY id, name, window_start, window_end) AS p
           JOIN (
               SELECT seller, window_start, window_end
               FROM TABLE(TUMBLE(TABLE nexmark.auction, DESCRIPTOR(dateTime), INTERVAL '10' SECOND))
               GROUP BY seller, window_start, window_end) AS a
             ON p.id = a.seller AND p.window_start = a.window_start AND p.window_end = a.window_end""",
        key=("id", "name", "window_start"),
    ),
    "q9": Query(
        "winning bids",
        f"""SELECT id, seller, category, bid, bidder, price, dateTime FROM ({WINNING}) AS w WHERE place = 1""",
        key=("id",),
    ),
    "q10": Query(
        "log to files",
        f"""SELECT id, auction, bidder, price, dateTime, extra, {DAY} AS dt, DATE_FORMAT(dateTime, 'HH:mm') AS hm
            FROM nexmark.bid""",
        note="the rows with their partition; no files are written",
    ),
    "q11": Query(
        "user sessions",
        """SELECT bidder, COUNT(*) AS bids, window_start, window_end
           FROM TABLE(SESSION(TABLE nexmark.bid PARTITION BY bidder, DESCRIPTOR(dateTime), INTERVAL '10' SECOND))
           GROUP BY bidder, window_start, window_end""",
    ),
    "q12": Query(
        "processing-time windows",
        None,
        note="windows of processing time: the answer depends on when a row was read; such views are refused",
    ),
    "q13": Query(
        "enrichment from a side input",
        """SELECT b.id, b.auction, b.bidder, b.price, b.dateTime, s.`value`
           FROM nexmark.bid AS b JOIN side.side AS s ON MOD(b.auction, 10000) = s.key""",
        note="a join that follows the side input too; upstream looks it up at processing time",
    ),
    "q14": Query(
        "calculation",
        """SELECT id, auction, bidder, 0.908 * price AS price,
               CASE WHEN HOUR(dateTime) >= 8 AND HOUR(dateTime) <= 18 THEN 'dayTime'
                    WHEN HOUR(dateTime) <= 6 OR HOUR(dateTime) >= 20 THEN 'nightTime'
                    ELSE 'otherTime' END AS bidTimeType,
               dateTime, extra, CHAR_LENGTH(extra) - CHAR_LENGTH(REPLACE(extra, 'c', '')) AS c_counts
           FROM nexmark.bid WHERE 0.908 * price > 1000000 AND 0.908 * price < 50000000""",
        note="counts letters with REPLACE; upstream has a Java function",
    ),
    "q15": Query(
        "bidding statistics per day",
        f"SELECT {DAY} AS `day`, {BIDS}, {BIDDERS}, {AUCTIONS} FROM nexmark.bid GROUP BY {DAY}",
    ),
    "q16": Query(
        "channel statistics per day",
        f"""SELECT channel, {DAY} AS `day`, MAX(DATE_FORMAT(dateTime, 'HH:mm')) AS newest_minute, {BIDS}, {BIDDERS}, {AUCTIONS}
            FROM nexmark.bid GROUP BY channel, {DAY}""",
    ),
    "q17": Query(
        "auction statistics per day",
        f"""SELECT auction, {DAY} AS `day`, {BIDS}, MIN(price) AS min_price, MAX(price) AS max_price, AVG(price) AS avg_price,
                SUM(price) AS sum_price
            FROM nexmark.bid GROUP BY auction, {DAY}""",
    ),
    "q18": Query(
        "last bid of each bidder and auction",
        """SELECT auction, bidder, price, channel, url, dateTime, extra FROM (
               SELECT *, ROW_NUMBER() OVER (PARTITION BY bidder, auction ORDER BY dateTime DESC, id DESC) AS place
               FROM nexmark.bid) AS b
           WHERE place <= 1""",
        key=("bidder", "auction"),
    ),
    "q19": Query(
        "top ten bids of each auction",
        """SELECT id, auction, bidder, price, dateTime, place FROM (
               SELECT *, ROW_NUMBER() OVER (PARTITION BY auction ORDER BY price DESC, id) AS place FROM nexmark.bid) AS b
           WHERE place <= 10""",
        key=("id",),
    ),
    "q20": Query(
        "bids with their auction",
        """SELECT b.id, b.auction, b.bidder, b.price, b.channel, b.url, b.dateTime, a.itemName, a.initialBid, a.reserve,
                  a.expires, a.seller, a.category
           FROM nexmark.bid AS b JOIN nexmark.auction AS a ON b.auction = a.id WHERE a.category = 10""",
    ),
    "q21": Query(
        "channel id",
        f"""SELECT id, auction, bidder, price, channel, {CHANNEL_ID} AS channel_id FROM nexmark.bid
            WHERE REGEXP_EXTRACT(url, '(&|^)channel_id=([^&]*)', 2) IS NOT NULL
               OR LOWER(channel) IN ('apple', 'google', 'facebook', 'baidu')""",
    ),
    "q22": Query(
        "url directories",
        """SELECT id, auction, bidder, price, channel, SPLIT_INDEX(url, '/', 3) AS dir1, SPLIT_INDEX(url, '/', 4) AS dir2,
                  SPLIT_INDEX(url, '/', 5) AS dir3 FROM nexmark.bid""",
    ),
    "q23": Query(
        "bids by people who also sell",
        """SELECT b.id, a.id AS auction_id, p.id AS person, b.auction, b.price, b.dateTime, a.itemName, a.category, p.name, p.city,
                  p.state
           FROM nexmark.bid AS b JOIN nexmark.person AS p ON p.id = b.bidder JOIN nexmark.auction AS a ON a.seller = b.bidder""",
        note="a selection of the columns",
    ),
}
