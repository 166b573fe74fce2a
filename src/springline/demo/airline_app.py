"""The blizzard's application: what Springline keeps live from the airline's database, and what the assistant is given of it."""

from __future__ import annotations

from springline.context.definition import Rows
from springline.demo.airline import provenance_of

ORGANISATION = "Springline Air Desk"
TRY_QUERY = "SELECT origin, service_date, cancelled, delayed FROM airport_board"
"""What the demo suggests to try on the command line."""

VIEWS: tuple[tuple[str, str, tuple[str, ...] | None], ...] = (
    (
        "customer_profile",
        """
        SELECT c.customer_id, c.full_name, c.native_name, c.preferred_language, c.home_city,
               l.tier, l.points, l.member_number
        FROM airline.customers AS c
        LEFT JOIN airline.loyalty AS l ON l.customer_id = c.customer_id
        """,
        ("customer_id",),
    ),
    (
        "customer_flights",
        """
        SELECT bf.booking_flight_id, b.customer_id, b.booking_reference, b.fare, b.status AS booking_status,
               b.adults, b.children, b.pet, bf.cabin, bf.seats,
               f.flight_code || ' · ' || CAST(f.service_date AS STRING) AS flight,
               f.flight_id, f.flight_code, f.origin, f.destination, a.name AS destination_name, f.service_date,
               f.scheduled_departure, f.estimated_departure, f.actual_departure, f.status, f.delay_minutes, f.gate,
               f.cancel_reason
        FROM airline.booking_flights AS bf
        JOIN airline.bookings AS b ON b.booking_reference = bf.booking_reference
        JOIN airline.flights AS f ON f.flight_id = bf.flight_id
        JOIN airline.airports AS a ON a.airport_code = f.destination
        """,
        ("booking_flight_id",),
    ),
    (
        "customer_connections",
        """
        SELECT n.connection_id, b.customer_id, n.booking_reference, n.airport_code, n.onward_flight_code,
               n.onward_destination, n.onward_departure, n.minimum_minutes
        FROM airline.connections AS n
        JOIN airline.bookings AS b ON b.booking_reference = n.booking_reference
        """,
        ("connection_id",),
    ),
    (
        "rebooking_options",
        """
        SELECT cf.booking_flight_id, o.flight_id AS option_id, cf.customer_id, cf.flight_code AS instead_of,
               o.flight_code, o.origin, o.destination, o.scheduled_departure, o.status, o.delay_minutes,
               o.seats_available, o.price
        FROM customer_flights AS cf
        JOIN airline.flights AS o ON o.origin = cf.origin AND o.destination = cf.destination
        WHERE cf.status IN ('cancelled', 'delayed') AND o.flight_id <> cf.flight_id
          AND o.status IN ('scheduled', 'delayed', 'boarding') AND o.seats_available > 0
          AND o.scheduled_departure > cf.scheduled_departure
        """,
        ("booking_flight_id", "option_id"),
    ),
    (
        "hotel_offers",
        """
        SELECT r.hotel_id, r.night, h.name, h.airport_code AS origin, h.distance_km, h.shuttle, h.pets_allowed,
               h.stars, h.distress_rate, r.price, r.rooms_available
        FROM airline.hotel_rooms AS r
        JOIN airline.hotels AS h ON h.hotel_id = r.hotel_id
        WHERE r.rooms_available > 0
        """,
        ("hotel_id", "night"),
    ),
    (
        "customer_vouchers",
        """
        SELECT voucher_id, customer_id, booking_reference, kind, amount, status, reason, issued_at, expires_at
        FROM airline.vouchers
        """,
        None,
    ),
    (
        "airport_board",
        """
        SELECT origin, service_date, COUNT(*) AS flights,
               COUNT(*) FILTER (WHERE status = 'cancelled') AS cancelled,
               COUNT(*) FILTER (WHERE status = 'delayed') AS delayed,
               COUNT(*) FILTER (WHERE status IN ('departed', 'arrived', 'diverted')) AS departed,
               MAX(delay_minutes) AS longest_delay_minutes, AVG(delay_minutes) AS mean_delay_minutes
        FROM airline.flights
        GROUP BY origin, service_date
        """,
        None,
    ),
)

_WORDS = {
    "en": {
        "scheduled": "on time", "boarding": "boarding now", "meal": "Meal voucher", "hotel": "Hotel voucher",
        "travel_credit": "Travel credit", "weather": "the weather", "operations": "operational reasons",
    },
    "zh-TW": {
        "scheduled": "準時", "delayed": "延誤", "cancelled": "已取消", "boarding": "登機中", "departed": "已起飛",
        "arrived": "已抵達", "diverted": "已轉降", "weather": "天候", "operations": "營運因素", "meal": "餐券",
        "hotel": "住宿券", "travel_credit": "旅行抵用金", "issued": "已發放", "used": "已使用", "expired": "已過期",
    },
    "ja": {
        "scheduled": "定刻", "delayed": "遅延", "cancelled": "欠航", "boarding": "搭乗中", "departed": "出発済み",
        "arrived": "到着済み", "diverted": "目的地変更", "weather": "悪天候", "operations": "運航上の都合", "meal": "お食事券",
        "hotel": "宿泊券", "travel_credit": "旅行クレジット", "issued": "発行済み", "used": "使用済み", "expired": "期限切れ",
    },
}  # fmt: skip


def _badge(table: str, **renamed: str):
    """Badges of a part's columns, as the airline's schema states them. ``renamed``: column of the view → table.column."""

    def badge(column: str, value: object):
        try:
            return provenance_of(renamed.get(column, f"{table}.{column}"), value)
        except KeyError:
            return None

    return badge


ROWS: tuple[Rows, ...] = (
    Rows(
        "customer_profile",
        subject_column="customer_id",
        identifies=True,
        title="Customer {customer_id}",
        describe={
            "en": "{full_name}[ ({native_name})][, {tier} member with {points} points].",
            "zh-TW": "{full_name}[（{native_name}）][，{tier} 會員，{points} 點]。",
            "ja": "{full_name}[（{native_name}）][、{tier} 会員、{points} ポイント]。",
        },
        topics=("loyalty",),
        priority=3,
        limit=1,
        badges=_badge(
            "customers", tier="loyalty.tier", points="loyalty.points", member_number="loyalty.member_number"
        ),
    ),
    Rows(
        "customer_flights",
        subject_column="customer_id",
        title={
            "en": "Flight {flight_code} {origin}–{destination}, {scheduled_departure:day}",
            "zh-TW": "{flight_code} 航班 {origin}–{destination}，{scheduled_departure:day}",
            "ja": "{flight_code} 便 {origin}–{destination}、{scheduled_departure:day}",
        },
        describe={
            "en": "Flight {flight_code} from {origin} to {destination_name}, scheduled for {scheduled_departure:datetime},"
            " is {status:word}[{status=cancelled} because of {cancel_reason:word}][{status=delayed} by {delay_minutes} minutes]"
            "[{status=delayed}; it is expected to leave at {estimated_departure:time}][{status=scheduled}; gate {gate}]"
            "[{status=boarding}; gate {gate}].",
            "zh-TW": "{flight_code} 航班（{origin} 飛往 {destination_name}，原訂 {scheduled_departure:datetime}）{status:word}"
            "[{status=cancelled}，原因：{cancel_reason:word}][{status=delayed} {delay_minutes} 分鐘]"
            "[{status=delayed}，預計 {estimated_departure:time} 起飛][{status=scheduled}，登機門 {gate}]"
            "[{status=boarding}，登機門 {gate}]。",
            "ja": "{flight_code} 便（{origin} 発 {destination_name} 行き、{scheduled_departure:datetime} 出発予定）は{status:word}です"
            "[{status=cancelled}。理由：{cancel_reason:word}][{status=delayed}。遅れは {delay_minutes} 分]"
            "[{status=delayed}、出発見込みは {estimated_departure:time}][{status=scheduled}。搭乗口 {gate}]"
            "[{status=boarding}。搭乗口 {gate}]。",
        },
        search_terms={
            "en": "[{status=cancelled}flight cancelled rebooking refund][{status=delayed}delayed flight long delay]"
            "[{pet?}pet in the cabin]",
            "zh-TW": "[{status=cancelled}航班取消 改搭 退款][{status=delayed}航班延誤][{pet?}寵物]",
            "ja": "[{status=cancelled}欠航 振り替え 払い戻し][{status=delayed}遅延][{pet?}ペット]",
        },
        words=_WORDS,
        order_by="scheduled_departure",
        badges=_badge(
            "flights",
            booking_reference="bookings.booking_reference",
            fare="bookings.fare",
            seats="booking_flights.seats",
            cabin="booking_flights.cabin",
            pet="bookings.pet",
            destination_name="airports.name",
        ),
    ),
    Rows(
        "customer_connections",
        subject_column="customer_id",
        title="Onward flight {onward_flight_code}",
        describe={
            "en": "Your onward flight {onward_flight_code} leaves {airport_code} for {onward_destination} at"
            " {onward_departure:datetime}; the change takes at least {minimum_minutes} minutes.",
            "zh-TW": "您的轉機航班 {onward_flight_code} 於 {onward_departure:datetime} 由 {airport_code} 飛往"
            " {onward_destination}，轉機至少需 {minimum_minutes} 分鐘。",
            "ja": "乗り継ぎの {onward_flight_code} 便は {onward_departure:datetime} に {airport_code} を出発し、"
            "{onward_destination} へ向かいます。乗り継ぎには最低 {minimum_minutes} 分必要です。",
        },
        search_terms={"en": "missed connection onward flight", "zh-TW": "轉機 銜接", "ja": "乗り継ぎ"},
        topics=("connection", "status"),
        order_by="onward_departure",
        badges=_badge("connections"),
    ),
    Rows(
        "rebooking_options",
        subject_column="customer_id",
        title="Option {flight_code}, {scheduled_departure:datetime}",
        describe={
            "en": "{flight_code} leaves {origin} for {destination} on {scheduled_departure:datetime} and has"
            " {seats_available} seats[{status=delayed}; it is delayed by {delay_minutes} minutes].",
            "zh-TW": "{flight_code} 於 {scheduled_departure:datetime} 由 {origin} 飛往 {destination}，尚有"
            " {seats_available} 個座位[{status=delayed}，目前延誤 {delay_minutes} 分鐘]。",
            "ja": "{flight_code} 便は {scheduled_departure:datetime} に {origin} から {destination} へ出発、残り"
            " {seats_available} 席です[{status=delayed}。{delay_minutes} 分遅れの見込み]。",
        },
        topics=("rebooking", "status"),
        order_by="scheduled_departure",
        limit=3,
        priority=2,
        badges=_badge("flights"),
    ),
    Rows(
        "customer_vouchers",
        subject_column="customer_id",
        title="Voucher {voucher_id}",
        describe={
            "en": "{kind:word} {voucher_id} over {amount} dollars is {status:word}; it is valid until {expires_at:datetime}.",
            "zh-TW": "{kind:word} {voucher_id}，金額 {amount} 美元，{status:word}，有效至 {expires_at:datetime}。",
            "ja": "{kind:word} {voucher_id}、{amount} ドル、{status:word}、有効期限は {expires_at:datetime} です。",
        },
        words=_WORDS,
        topics=("voucher", "hotel", "refund"),
        badges=_badge("vouchers"),
    ),
    Rows(
        "hotel_offers",
        public=True,
        match=("origin",),
        title="{name}, night of {night:day}",
        describe={
            "en": "{name}, {distance_km} km from {origin}, has {rooms_available} rooms for the night of {night:day}: distress"
            " rate {distress_rate} dollars, public price {price} dollars[{shuttle?}; free shuttle][{pets_allowed?}; pets allowed].",
            "zh-TW": "{name}（距 {origin} {distance_km} 公里）{night:day}當晚尚有 {rooms_available} 間客房：優惠房價"
            " {distress_rate} 美元，公開價 {price} 美元[{shuttle?}，免費接駁][{pets_allowed?}，可攜寵物]。",
            "ja": "{name}（{origin} から {distance_km} km）は {night:day} の夜に {rooms_available} 室空きがあります。特別料金"
            " {distress_rate} ドル、通常料金 {price} ドル[{shuttle?}、無料シャトル][{pets_allowed?}、ペット可]。",
        },
        topics=("hotel",),
        order_by="night, distress_rate",
        limit=4,
        priority=3,
        badges=_badge(
            "hotels",
            price="hotel_rooms.price",
            rooms_available="hotel_rooms.rooms_available",
            night="hotel_rooms.night",
        ),
    ),
)
