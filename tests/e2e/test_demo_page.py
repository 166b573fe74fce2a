"""The real demo in a real browser: PostgreSQL, the storm, the twin and the page, all of it."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from springline.demo.run import Demo, Options, started

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
from playwright.sync_api import Browser, Page, expect  # noqa: E402

from tests.e2e.chromium import IN_A_BROWSER, launched  # noqa: E402

pytestmark = IN_A_BROWSER


@pytest.fixture(scope="module")
def demo() -> Iterator[Demo]:
    with tempfile.TemporaryDirectory(prefix="springline-page-", ignore_cleanup_errors=True) as folder:
        # The database's server may run as another account, which must be able to come here.
        Path(folder).chmod(0o755)
        options = Options(folder=Path(folder), port=0, embedder="hashing", paused=True, quiet=True)
        with started(options) as running:
            yield running


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with launched() as browser:
        yield browser


@pytest.fixture
def page(demo: Demo, browser: Browser) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    page = context.new_page()
    page.set_default_timeout(20_000)
    page.goto(demo.url)
    page.wait_for_selector('[data-ready="yes"]')
    expect(page.locator("#ours-body .citation").first).to_be_visible()
    yield page
    context.close()


def test_be_the_storm_and_the_open_answer_follows_while_the_twin_does_not(page: Page) -> None:
    answer = page.locator("#ours-body .answer-text")
    expect(answer).to_contain_text("is on time")
    page.get_by_role("button", name=re.compile(r"^Cancel ")).click()
    page.click("#storm-run")
    expect(page.locator("#storm-result .headline b")).to_have_text(re.compile(r"[\d,.]+ ms"), timeout=20_000)
    expect(answer).to_contain_text("is cancelled because of the weather")
    expect(answer).to_contain_text("seats.")
    expect(page.locator("#twin-state")).to_contain_text("the database says cancelled", timeout=20_000)
    page.get_by_role("button", name="Verify").click()
    expect(page.locator("#ours-foot .outcome")).to_contain_text("verified", timeout=20_000)
    page.get_by_role("button", name=re.compile(r"^Put .* back on time")).click()
    page.click("#storm-run")
    expect(answer).to_contain_text("is on time")


def test_travellers_from_taiwan_and_japan_are_answered_in_their_language(page: Page) -> None:
    for name, word in (("林怡君", "準時"), ("佐藤", "定刻")):
        page.get_by_role("button", name=re.compile(name)).click()
        expect(page.locator("#ours-body .answer-text")).to_contain_text(word)


def test_live_tables_show_what_the_storm_does(page: Page) -> None:
    page.locator("#relation").select_option("airport_board")
    expect(page.get_by_text("longest_delay_minutes")).to_be_visible()
