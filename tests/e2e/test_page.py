"""The page in a real browser, over the fake application: what a visitor does, on a desk and on a phone."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

import pytest

from springline.testing.fake_demo import Served, serve_fake

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
from playwright.sync_api import Browser, Page, expect  # noqa: E402

from tests.e2e.chromium import IN_A_BROWSER, launched  # noqa: E402

pytestmark = IN_A_BROWSER

DESK, PHONE = {"width": 1440, "height": 900}, {"width": 390, "height": 844}

Open = Callable[..., Page]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with launched() as browser:
        yield browser


@pytest.fixture
def served() -> Iterator[Served]:
    running = serve_fake()
    yield running
    running.close()


@pytest.fixture
def serve() -> Iterator[Callable[..., Served]]:
    running: list[Served] = []

    def serve_(**options: bool) -> Served:
        running.append(serve_fake(**options))  # type: ignore[arg-type]
        return running[-1]

    yield serve_
    for each in running:
        each.close()


@pytest.fixture
def open_page(browser: Browser) -> Iterator[Open]:
    """Opens the page; at the end nothing may have been asked of another host and nothing written to the console."""
    hosts: set[str | None] = set()
    # The browser itself reports every refused request; the one that a test provokes on purpose is a 400.
    provoked = "the server responded with a status of 400"
    complaints: list[str] = []
    contexts = []

    def open_(
        url: str, *, scheme: str = "light", viewport: dict[str, int] = DESK, answered: bool = True
    ) -> Page:
        context = browser.new_context(viewport=viewport, color_scheme=scheme)  # type: ignore[arg-type]
        contexts.append(context)
        page = context.new_page()
        page.on("request", lambda request: hosts.add(urlsplit(request.url).hostname))
        page.on(
            "console",
            lambda message: (
                complaints.append(message.text)
                if message.type in ("error", "warning") and provoked not in message.text
                else None
            ),
        )
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(url)
        page.wait_for_selector('[data-ready="yes"]')
        if answered:
            expect(page.locator("#ours-body .citation").first).to_be_visible()
        return page

    yield open_
    for context in contexts:
        context.close()
    assert complaints == []
    assert hosts == {"127.0.0.1"}


def run_example(page: Page, number: int) -> str:
    page.locator("#sql-examples button").nth(number).click()
    page.click("#storm-run")
    result = page.locator("#storm-result .headline b")
    expect(result).to_be_visible()
    return result.inner_text()


def test_an_answer_cites_rows_and_passages_with_ages_and_badges(served: Served, open_page: Open) -> None:
    page = open_page(served.server.url)
    expect(page.locator("#ours-body .answer-text")).to_contain_text("is scheduled")
    expect(page.locator("#ours-body .notice")).to_contain_text("No language model is configured")
    page.locator("#ours-body .cite").first.click()
    cited = page.locator("#ours-body .citation").first
    expect(cited).to_have_attribute("open", "")
    expect(cited.locator(".age")).to_have_text(re.compile(r"[\d.]+ ms old"))
    expect(cited.locator(".where")).to_contain_text("source airline · position 0/")
    assert {badge.inner_text() for badge in cited.locator(".badge").all()} == {
        "recorded",
        "modelled",
        "generated",
    }


def test_a_receipt_can_be_verified(served: Served, open_page: Open) -> None:
    page = open_page(served.server.url)
    page.get_by_role("button", name="Verify").click()
    expect(page.locator("#ours-foot .outcome")).to_contain_text("verified")


def test_you_are_the_storm(served: Served, open_page: Open) -> None:
    page = open_page(served.server.url)
    page.locator("#ours-body .citation summary").first.click()
    took = run_example(page, 0)
    assert re.fullmatch(r"[\d.,]+ ms", took)
    expect(page.locator("#ours-body .answer-text")).to_contain_text("is cancelled")
    expect(page.locator("#ours-body mark.changed").first).to_contain_text("cancelled")
    expect(page.locator("#ours-state")).to_contain_text("after the commit")
    # What the visitor had opened is still open.
    expect(page.locator("#ours-body .citation").first).to_have_attribute("open", "")
    expect(page.locator("#twin-state .wrong")).to_contain_text("says scheduled; the database says cancelled")
    expect(page.locator("#twin-body .contradiction")).to_have_text("scheduled")


def test_a_change_by_anybody_else_updates_the_open_answer(served: Served, open_page: Open) -> None:
    page = open_page(served.server.url)
    with served.runtime.lock:
        served.runtime.source.execute(
            "UPDATE flights SET status = 'delayed', delay_minutes = 45 WHERE flight_id = 21"
        )
        served.runtime.source.commit()
    expect(page.locator("#ours-body .answer-text")).to_contain_text("is delayed by 45 minutes")
    expect(page.locator("#ours-state")).to_contain_text("after the commit")


def test_a_mistake_in_the_statement_is_explained(served: Served, open_page: Open) -> None:
    page = open_page(served.server.url)
    page.fill("#sql", "UPDATE flights SET stat = 'cancelled'")
    page.press("#sql", "Control+Enter")
    expect(page.locator("#storm-result .error")).to_contain_text("no such column: stat")


def test_a_policy_of_ones_own_is_quoted(served: Served, open_page: Open) -> None:
    page = open_page(served.server.url)
    page.get_by_role("tab", name="Policy").click()
    page.fill("#policy", "Every traveller gets a cup of hot soup.")
    page.click("#storm-run")
    expect(page.locator("#ours-body .answer-text")).to_contain_text("hot soup")
    expect(page.locator("#storm-result .headline b")).to_be_visible()


def test_the_twins_slider_sets_its_interval(served: Served, open_page: Open) -> None:
    page = open_page(served.server.url)
    page.fill("#twin-interval", "0")
    expect(page.locator("#twin-interval-text")).to_have_text("5 s")
    expect(page.locator("#twin-achieved")).to_contain_text("really achieved")
    assert served.twin is not None
    assert served.twin.status().interval_s == 5


def test_the_counter_counts_and_ours_stays_at_zero(served: Served, open_page: Open) -> None:
    page = open_page(served.server.url)
    expect(page.locator("#score-note")).to_contain_text("questions from")
    expect(page.locator("#score-twin")).not_to_have_text("0", timeout=20_000)
    assert page.inner_text("#score-ours") == "0"


def test_the_storm_can_be_paused_and_moved(served: Served, open_page: Open) -> None:
    page = open_page(served.server.url)
    page.get_by_role("button", name="Pause the storm").click()
    expect(page.get_by_role("button", name="Let the storm go on")).to_be_visible()
    before = page.inner_text("#storm-time")
    page.get_by_role("button", name="+6 h").click()
    expect(page.locator("#storm-time")).not_to_have_text(before)
    page.select_option("#storm-speed", "60")
    assert served.stage is not None
    expect(page.locator("#storm-speed")).to_have_value("60")
    page.wait_for_function("document.getElementById('storm-speed').value === '60'")
    assert served.stage.status().paused


def test_another_customer_in_another_language(served: Served, open_page: Open) -> None:
    page = open_page(served.server.url)
    page.get_by_role("button", name="林怡君").click()
    expect(page.locator("#question")).to_have_value("我的航班取消了嗎？我有哪些選擇？")
    expect(page.locator("#ours-body .answer-text")).to_contain_text("免費改搭")


def test_tables_light_up_and_are_paged(served: Served, open_page: Open) -> None:
    page = open_page(served.server.url)
    expect(page.locator("#grid tbody tr")).to_have_count(50)
    expect(page.locator("#grid td.flash").first).to_be_attached(timeout=20_000)
    page.get_by_role("button", name="Next").click()
    expect(page.locator("#grid tbody tr")).to_have_count(14)
    page.select_option("#relation", "customer_flights")
    expect(page.locator("#relation-meta")).to_contain_text("view · 40 rows")


@pytest.mark.parametrize("viewport", [DESK, PHONE], ids=["desk", "phone"])
@pytest.mark.parametrize("demo", [True, False], ids=["demo", "application"])
def test_nothing_scrolls_sideways(
    serve: Callable[..., Served], open_page: Open, viewport: dict[str, int], demo: bool
) -> None:
    served = serve(demo=demo)
    page = open_page(served.server.url, viewport=viewport, answered=demo)
    assert page.evaluate("document.documentElement.scrollWidth") == viewport["width"]


def test_an_application_without_a_demo_has_no_storm(serve: Callable[..., Served], open_page: Open) -> None:
    served = serve(demo=False, model=True)
    page = open_page(served.server.url, answered=False)
    for hidden in (".score", "#twin-body", "#storm-run", "#storm-time"):
        expect(page.locator(hidden)).to_be_hidden()
    page.fill("#subject", "C0002")
    page.fill("#question", "How late is my flight?")
    page.press("#question", "Enter")
    expect(page.locator("#ours-body .citation").first).to_be_visible()
    expect(page.locator("#ours-meta")).to_have_text("fake-model")


def test_colours_follow_the_system_and_the_toggle(served: Served, open_page: Open) -> None:
    page = open_page(served.server.url, scheme="dark")
    colour = "getComputedStyle(document.body).backgroundColor"
    dark = page.evaluate(colour)
    page.click("#theme")
    light = page.evaluate(colour)
    assert sum(map(int, re.findall(r"\d+", dark))) < 120
    assert sum(map(int, re.findall(r"\d+", light))) > 600
    page.reload()
    page.wait_for_selector('[data-ready="yes"]')
    assert page.evaluate(colour) == light


def test_text_has_enough_contrast_in_both_colours(served: Served, open_page: Open) -> None:
    for scheme in ("light", "dark"):
        page = open_page(served.server.url, scheme=scheme)
        assert page.evaluate(LOW_CONTRAST) == []


def test_live_figures_move_nothing(served: Served, open_page: Open) -> None:
    page = open_page(served.server.url)
    page.wait_for_timeout(500)
    page.evaluate(
        "window.shift = 0; new PerformanceObserver((list) => {"
        " for (const entry of list.getEntries()) window.shift += entry.value; }).observe({type: 'layout-shift'})"
    )
    page.wait_for_timeout(3_000)
    assert page.evaluate("window.shift") < 0.01


def test_every_control_has_a_name(served: Served, open_page: Open) -> None:
    page = open_page(served.server.url)
    assert page.evaluate(NAMELESS) == []


NAMELESS = """() => [...document.querySelectorAll('button, input, select, textarea')].filter((element) =>
  !(element.labels?.length || element.textContent.trim() || element.getAttribute('aria-label'))).map((element) => element.id)"""

LOW_CONTRAST = """() => {
  const numbers = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const luminance = ([r, g, b]) => [r, g, b].map((c) => c / 255)
    .map((c) => c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
    .reduce((sum, c, at) => sum + c * [0.2126, 0.7152, 0.0722][at], 0);
  const background = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const found = numbers(getComputedStyle(at).backgroundColor);
      if (found.length === 3 || found[3] === 1) return found;
    }
    return [255, 255, 255];
  };
  const low = [];
  for (const element of document.querySelectorAll('main *, header *, footer *')) {
    const text = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
    if (!text || element.disabled || element.offsetParent === null || element.closest('.flash, .came, option, .visually-hidden, .skip')) continue;
    const [a, b] = [luminance(numbers(getComputedStyle(element).color)), luminance(background(element))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) low.push(`${element.tagName}.${element.className} ${element.textContent.slice(0, 20)} ${ratio.toFixed(2)}`);
  }
  return low;
}"""
