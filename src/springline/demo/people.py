"""Invented customers: names from many places, reserved addresses and fictional numbers, all from a seed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from random import Random

from springline.demo.facts import NEW_YORK

AREA_CODES = (
    201, 203, 212, 215, 267, 301, 305, 312, 347, 404, 408, 415, 508, 551, 617, 646, 702, 713, 718, 732, 848, 917, 929, 973,
)  # fmt: skip
"""Each has one hundred numbers, 555-0100 to 555-0199, that are reserved for fiction."""

WESTERN = (
    ("Emma", "Liam", "Olivia", "Noah", "Sofia", "Lucas", "Amelia", "Ethan", "Clara", "Hugo", "Ingrid", "Mateo",
     "Chiara", "Pawel", "Fatima", "Omar", "Priya", "Arjun", "Chidi", "Amara", "Yusuf", "Leila", "Diego", "Camila",
     "Oksana", "Dmitri", "Niamh", "Sean", "Anneke", "Joao", "Beatriz", "Kwame", "Zainab", "Ravi", "Ananya", "Thabo",
     "Grace", "Walter", "Ruth", "Samuel", "Nadia", "Elif", "Marek", "Katarzyna", "Tomas", "Isabel", "Minh", "Linh",
     "Jisoo", "Minjun"),
    ("Smith", "Garcia", "Okafor", "Novak", "Patel", "Rossi", "Muller", "Dubois", "Silva", "Haddad", "Kowalski",
     "Nguyen", "Kim", "Johansson", "O'Brien", "Mensah", "Ivanova", "Costa", "Fernandez", "Sharma", "Cohen", "Yilmaz",
     "Van Dijk", "Murphy", "Castillo", "Osei", "Bianchi", "Larsen", "Schmidt", "Moreau", "Reyes", "Khan", "Petrov",
     "Andersson", "Mbeki", "Torres", "Weber", "Lindqvist", "Banerjee", "Park", "Washington", "Baker", "Turner",
     "Diaz", "Rahman", "Choi", "Delgado", "Byrne", "Popescu", "Hassan"),
)  # fmt: skip

CHINESE_FAMILY = (
    ("Chen", "陳"), ("Lin", "林"), ("Huang", "黃"), ("Chang", "張"), ("Li", "李"), ("Wang", "王"), ("Wu", "吳"),
    ("Liu", "劉"), ("Tsai", "蔡"), ("Yang", "楊"), ("Hsu", "許"), ("Cheng", "鄭"), ("Hsieh", "謝"), ("Kuo", "郭"),
    ("Hung", "洪"), ("Chiu", "邱"), ("Tseng", "曾"), ("Liao", "廖"), ("Lai", "賴"), ("Chou", "周"),
)  # fmt: skip
CHINESE_GIVEN = (
    ("Yi-Chun", "怡君"), ("Chih-Ming", "志明"), ("Shu-Fen", "淑芬"), ("Chun-Chieh", "俊傑"), ("Mei-Ling", "美玲"),
    ("Chia-Hao", "家豪"), ("Ya-Ting", "雅婷"), ("Kuan-Yu", "冠宇"), ("Pei-Shan", "佩珊"), ("Tsung-Han", "宗翰"),
    ("Hsin-Yi", "欣怡"), ("Wei-Ting", "瑋婷"), ("Cheng-En", "承恩"), ("Szu-Han", "思涵"), ("Po-Han", "柏翰"),
    ("Yu-Hsuan", "宇軒"), ("Chiao-Yun", "巧芸"), ("Ming-Che", "明哲"), ("Hui-Chen", "惠貞"), ("Chien-Hung", "建宏"),
)  # fmt: skip
JAPANESE_FAMILY = (
    ("Sato", "佐藤"), ("Suzuki", "鈴木"), ("Takahashi", "高橋"), ("Tanaka", "田中"), ("Ito", "伊藤"),
    ("Watanabe", "渡辺"), ("Yamamoto", "山本"), ("Nakamura", "中村"), ("Kobayashi", "小林"), ("Kato", "加藤"),
    ("Yoshida", "吉田"), ("Yamada", "山田"), ("Sasaki", "佐々木"), ("Matsumoto", "松本"), ("Inoue", "井上"),
    ("Kimura", "木村"), ("Hayashi", "林"), ("Shimizu", "清水"), ("Saito", "斎藤"), ("Mori", "森"),
)  # fmt: skip
JAPANESE_GIVEN = (
    ("Kenichi", "健一"), ("Misaki", "美咲"), ("Daisuke", "大輔"), ("Yuko", "裕子"), ("Haruto", "陽翔"),
    ("Aoi", "葵"), ("Takeshi", "武"), ("Sakura", "さくら"), ("Hiroshi", "浩"), ("Naoko", "直子"), ("Ren", "蓮"),
    ("Yui", "結衣"), ("Shota", "翔太"), ("Akiko", "明子"), ("Kazuya", "和也"), ("Emi", "恵美"), ("Ryo", "亮"),
    ("Mayumi", "真由美"), ("Tetsuya", "哲也"), ("Haruka", "遥"),
)  # fmt: skip

CITIES = (
    "New York, NY", "Brooklyn, NY", "Queens, NY", "Newark, NJ", "Jersey City, NJ", "Hoboken, NJ", "White Plains, NY",
    "Stamford, CT", "New Haven, CT", "Princeton, NJ", "Philadelphia, PA", "Boston, MA", "Miami, FL", "Chicago, IL",
    "Atlanta, GA", "Los Angeles, CA", "San Francisco, CA", "Denver, CO", "London", "Toronto",
)  # fmt: skip

TIERS = ("member", "silver", "gold", "platinum")
TIER_WEIGHTS = (58, 25, 13, 4)
MEMBER_SHARE = 0.62


@dataclass(frozen=True, slots=True)
class Person:
    customer_id: str
    full_name: str
    native_name: str | None
    email: str
    phone: str
    language: str
    city: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Membership:
    member_number: str
    customer_id: str
    tier: str
    points: int
    since: date


def phone(index: int) -> str:
    """A fictional number, different for every index below 2,400."""
    return f"+1 {AREA_CODES[index // 100 % len(AREA_CODES)]} 555 01{index % 100:02d}"


def email(full_name: str, index: int) -> str:
    given, _, family = full_name.lower().replace("'", "").replace("-", "").partition(" ")
    return f"{given}.{family.replace(' ', '')}{index}@example.com"


def person(random: Random, index: int) -> Person:
    """The customer with this number; about one in ten is Taiwanese and one in ten Japanese."""
    kind = random.random()
    native: str | None = None
    language, city = "en", random.choice(CITIES)
    if kind < 0.10:
        family, given = random.choice(CHINESE_FAMILY), random.choice(CHINESE_GIVEN)
        name, native = f"{given[0]} {family[0]}", family[1] + given[1]
        language = "zh-TW" if random.random() < 0.7 else "en"
        city = random.choice(("Taipei", "Taichung", "Kaohsiung", "Flushing, NY", city))
    elif kind < 0.20:
        family, given = random.choice(JAPANESE_FAMILY), random.choice(JAPANESE_GIVEN)
        name, native = f"{given[0]} {family[0]}", f"{family[1]} {given[1]}"
        language = "ja" if random.random() < 0.7 else "en"
        city = random.choice(("Tokyo", "Osaka", "Nagoya", "Fort Lee, NJ", city))
    else:
        name = f"{random.choice(WESTERN[0])} {random.choice(WESTERN[1])}"
    created = datetime(2013, 2, 1, 12, tzinfo=NEW_YORK) - timedelta(minutes=random.randrange(3_000_000))
    return Person(f"C{index:04d}", name, native, email(name, index), phone(index), language, city, created)


def membership(random: Random, owner: Person, index: int, tier: str | None = None) -> Membership:
    """A membership of this customer, of a given tier or of one drawn at random."""
    chosen = tier or random.choices(TIERS, TIER_WEIGHTS)[0]
    most = {"member": 20_000, "silver": 60_000, "gold": 180_000, "platinum": 600_000}[chosen]
    points = random.randrange(most // 10, most)
    return Membership(f"SL-{100_000 + index}", owner.customer_id, chosen, points, owner.created_at.date())
