"""Hand-picked customers: invented people on real flights, each in another kind of trouble."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from springline.demo.facts import NEW_YORK
from springline.demo.people import Person, phone
from springline.demo.scenario import Featured


@dataclass(frozen=True, slots=True)
class Onward:
    """A flight after a change of planes. ``minimum_minutes`` is the least time that the change takes."""

    flight_code: str
    destination: str
    departure: datetime
    minimum_minutes: int


@dataclass(frozen=True, slots=True)
class Story:
    """A featured customer and the booking. ``day`` is the day of February 2013, ``flight_code`` like 'B6 155'."""

    person: Person
    tier: str | None
    reference: str
    day: int
    flight_code: str
    origin: str
    fare: str
    adults: int
    children: int
    checked_bags: int
    total_price: str
    pet: str | None
    special_request: str | None
    onward: Onward | None
    why: str
    questions: tuple[str, ...]

    def featured(self) -> Featured:
        shown = self.person.full_name
        if self.person.native_name is not None:
            shown = f"{self.person.native_name} ({shown})"
        return Featured(self.person.customer_id, shown, self.person.language, self.why, self.questions)


def _person(
    number: int, name: str, native: str | None, email: str, language: str, city: str, year: int
) -> Person:
    created = datetime(year, 5, 14, 9, 30, tzinfo=NEW_YORK)
    return Person(f"C{number:04d}", name, native, email, phone(number), language, city, created)


def _new_york(day: int, hour: int, minute: int) -> datetime:
    return datetime(2013, 2, day, hour, minute, tzinfo=NEW_YORK)


STORIES: tuple[Story, ...] = (
    Story(
        person=_person(
            1, "Maria Oliveira", None, "maria.oliveira@example.com", "en", "Brooklyn, NY", 2009
        ),
        tier="silver", reference="MCO4FM", day=8, flight_code="B6 155", origin="JFK", fare="standard",
        adults=2, children=2, checked_bags=3, total_price="812.00", pet=None, special_request=None, onward=None,
        why="A family of four on the way to Orlando on Friday evening. The storm will cancel the flight.",
        questions=(
            "Is my flight cancelled, and what are my options?",
            "Can all four of us be rebooked together without paying more?",
            "Which hotel near JFK still has rooms tonight, and who pays for it?",
        ),
    ),
    Story(
        person=_person(
            2, "James Whitfield", None, "james.whitfield@example.com", "en", "Stamford, CT", 2003
        ),
        tier="gold", reference="GLD7BG", day=8, flight_code="DL 2003", origin="LGA", fare="flex",
        adults=1, children=0, checked_bags=1, total_price="486.40", pet=None, special_request=None,
        onward=Onward("DL 5611", "BOG", _new_york(8, 13, 20), 60),
        why="A gold member who changes planes in Miami for Bogota. The first flight keeps slipping.",
        questions=(
            "Will I make my connection in Miami?",
            "What happens if I miss my connection, and does my gold tier help?",
            "How late is my flight right now?",
        ),
    ),
    Story(
        person=_person(
            3, "Yi-Chun Lin", "林怡君", "yichun.lin@example.com", "zh-TW", "Taipei", 2010
        ),
        tier="member", reference="TPE5LN", day=8, flight_code="VX 413", origin="JFK", fare="standard",
        adults=1, children=0, checked_bags=2, total_price="921.00", pet=None, special_request=None,
        onward=Onward("VX 6204", "TPE", _new_york(9, 1, 40), 75),
        why="Going home to Taipei by way of Los Angeles, on a flight that will not leave on Friday.",
        questions=(
            "我的航班取消了嗎？我有哪些選擇？",
            "我可以免費改搭其他航班嗎？",
            "今晚需要住旅館，費用由誰負擔？",
        ),
    ),
    Story(
        person=_person(
            4, "Kenichi Sato", "佐藤 健一", "kenichi.sato@example.com", "ja", "Tokyo", 2007
        ),
        tier="platinum", reference="NRT8ST", day=9, flight_code="UA 642", origin="JFK", fare="business",
        adults=1, children=0, checked_bags=2, total_price="3140.00", pet=None, special_request=None,
        onward=Onward("UA 7837", "NRT", _new_york(9, 19, 5), 60),
        why="A platinum member who wants to be in Tokyo on Monday, booked on the morning after the storm.",
        questions=(
            "私の便は欠航ですか。どのような選択肢がありますか。",
            "払い戻しを受ける場合、いつ返金されますか。",
            "ホテルの手配は利用できますか。",
        ),
    ),
    Story(
        person=_person(
            5, "Aisha Rahman", None, "aisha.rahman@example.com", "en", "Queens, NY", 2011
        ),
        tier="member", reference="LAX3AR", day=8, flight_code="AA 133", origin="JFK", fare="basic",
        adults=1, children=0, checked_bags=0, total_price="254.00", pet=None, special_request="vegetarian meal",
        onward=None,
        why="Her flight is one of the last to leave New York, on time, while almost all others are cancelled.",
        questions=(
            "Is my flight still on time?",
            "May I change to an earlier flight today, and what does it cost with a basic fare?",
            "How bad is the weather at JFK right now?",
        ),
    ),
    Story(
        person=_person(
            6, "Tomas Herrera", None, "tomas.herrera@example.com", "en", "Newark, NJ", 2008
        ),
        tier=None, reference="RDU6PT", day=9, flight_code="EV 4131", origin="EWR", fare="standard",
        adults=1, children=0, checked_bags=1, total_price="274.50", pet="small dog", special_request=None,
        onward=None,
        why="Travels with a small dog. Nearly everything before him is cancelled; his flight leaves three hours late.",
        questions=(
            "What is the status of my flight?",
            "If I am rebooked, can my dog still travel in the cabin?",
            "Which hotels near Newark take a dog tonight?",
        ),
    ),
    Story(
        person=_person(
            7, "Grace Okafor", None, "grace.okafor@example.com", "en", "White Plains, NY", 2012
        ),
        tier=None, reference="BOS2GO", day=8, flight_code="US 2136", origin="LGA", fare="basic",
        adults=1, children=0, checked_bags=0, total_price="96.00", pet=None,
        special_request="wheelchair to the gate", onward=None,
        why="A basic fare to Boston, where the storm is worst. She would rather have her money back.",
        questions=(
            "Can I get my money back although I have a basic fare?",
            "How long does a refund take?",
            "I asked for a wheelchair. Is that kept if I am rebooked?",
        ),
    ),
    Story(
        person=_person(
            8, "Walter Novak", None, "walter.novak@example.com", "en", "Denver, CO", 2005
        ),
        tier="silver", reference="DEN9WN", day=10, flight_code="F9 835", origin="LGA", fare="standard",
        adults=2, children=0, checked_bags=1, total_price="418.00", pet=None, special_request=None, onward=None,
        why="The storm is over, yet this couple's flight to Denver slips, hour by hour, by more than fourteen hours.",
        questions=(
            "How late is my flight now, and am I owed a meal voucher?",
            "From what delay on may I cancel and get a refund?",
            "Are there seats on another flight to Denver today?",
        ),
    ),
)  # fmt: skip
