"""The live page in a real browser, beside a real worker: its numbers are those of the API."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from stream.kafka.topics import create_topics
from stream.services.process import free_port
from stream.settings import Settings
from stream.testing.servers import Services
from tests.bundles import save_bundle
from tests.integration.workers import Fleet, Worker, until

CHROMIUM: Final = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
AXE: Final = Path(__file__).parent / "axe" / "axe.min.js"
SHOPPERS: Final = 40

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed: apt-get install chromium")


def event(customer: str, kind: str, number: int, **fields: Any) -> dict[str, Any]:
    given = {"event_id": f"{customer}-{kind}-{number}", "type": kind, "customer_id": customer}
    return given | {"event_time": time.time_ns() // 1_000_000, "item_id": "sku-1", "price": 50.0} | fields


@pytest.fixture(scope="module")
def shop(
    services: Services, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Settings, Fleet, Worker, Worker]]:
    """A worker that has scored some customers of this minute, and the service beside it."""
    folder = tmp_path_factory.mktemp("page")
    name = f"page-{time.time_ns():x}"
    settings = Settings(
        _env_file=None, kafka=services.kafka, redis=services.redis, topic_prefix=f"test-{name}.",
        redis_prefix=f"test-{name}", group=f"test-{name}", partitions=3, http_port=0,
        bundle=save_bundle(folder / "bundle"), reasons="all", learning=False, serve_mask_ids=False,
    )  # fmt: skip
    create_topics(settings)
    with Fleet(settings, folder) as fleet:
        worker = fleet.ready()
        port = free_port()
        own = settings.model_copy(update={"serve_port": port, "http_port": port})
        service = fleet.ready(settings=own, command="serve")
        kinds = ("view_item", "add_to_cart", "begin_checkout")
        sent = [
            event(f"shopper-{at}", kind, number, quantity=1)
            for at in range(SHOPPERS)
            for number, kind in enumerate(kinds[: 1 + at % 3])
        ]
        with api(service) as http:
            http.post("/v1/events", json=sent).raise_for_status()
            http.post("/v1/events", json=event("eve", "view_item", 0, event_time=1)).read()
        fleet.finish(worker)
        yield settings, fleet, worker, service


Shop = tuple[Settings, Fleet, Worker, Worker]


def api(service: Worker) -> httpx.Client:
    return httpx.Client(base_url=f"http://127.0.0.1:{service.port}", timeout=30.0)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as driver:
        found = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield found
        found.close()


@pytest.fixture(params=["light", "dark"])
def scheme(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def opened(browser: Browser, service: Worker, **options: Any) -> Page:
    """Open the page and wait for its first rows; what the browser complains about fails the test."""
    page = browser.new_context(**options).new_page()
    page.set_default_timeout(60_000)
    page.on("pageerror", lambda error: pytest.fail(f"the page failed: {error}"))
    page.goto(f"http://127.0.0.1:{service.port}/")
    page.wait_for_selector("#customers tbody tr")
    return page


def figure(page: Page, name: str) -> str:
    found = page.locator("#figures > div", has_text=name).locator("dd").first.inner_text()
    return found.split()[0]


def cells(page: Page, table: str, column: int) -> list[str]:
    return page.locator(f"#{table} tbody tr > :nth-child({column})").all_inner_texts()


def share(value: float) -> str:
    return f"{100 * value:.{1 if 100 * value < 10 else 0}f}%"


def test_the_numbers_on_the_page_are_those_of_the_api(shop: Shop, browser: Browser) -> None:
    service = shop[3]
    page = opened(browser, service)
    if page.locator("#customers-more").is_visible():
        page.click("#customers-more")
    with api(service) as http:
        until(
            lambda: http.get("/v1/live").json()["lag"] is not None, "Kafka and Redis were asked for the lag"
        )
        told = http.get("/v1/live").json()
    shown = told["customers"]
    assert shown
    until(lambda: figure(page, "About to buy") == str(told["about_to_buy"]), "the page has the same state")
    assert cells(page, "customers", 1) == [one["customer_id"] for one in shown]
    assert [text.split()[-1] for text in cells(page, "customers", 2)] == [
        share(one["purchase_intent"]) for one in shown
    ]
    assert cells(page, "customers", 3) == [one["band"] for one in shown]
    assert cells(page, "customers", 4) == [one["segment"]["name"] for one in shown]
    active = told["active"]
    assert active["customers"] == SHOPPERS
    assert cells(page, "bands", 3) == [str(active["bands"][band]) for band in ("high", "medium", "low")]
    assert cells(page, "segments", 3) == [str(one["customers"]) for one in active["segments"]]
    assert told["lag"]["total"] == 0
    until(lambda: figure(page, "Lag") == "0", "the page has the lag")
    assert page.locator("#outcome").inner_text() == told["actions"]["outcome"]["detail"]
    assert "Not known yet" in page.locator("#calibration").inner_text()


def test_a_row_leaves_the_page_at_the_purchase(shop: Shop, browser: Browser) -> None:
    service = shop[3]
    page = opened(browser, service)
    buyer = cells(page, "customers", 1)[0]
    with api(service) as http:
        http.post("/v1/events", json=event(buyer, "purchase", 9, value=50.0)).raise_for_status()
    until(lambda: buyer not in cells(page, "customers", 1), "the buyer's row leaves")


def test_a_customers_page_has_the_timeline_and_says_what_would_be(shop: Shop, browser: Browser) -> None:
    service = shop[3]
    page = opened(browser, service)
    customer = cells(page, "customers", 1)[-1]
    page.locator("#customers tbody a").last.click()
    page.wait_for_selector("#c-features dd")
    with api(service) as http:
        known = http.get(f"/v1/customers/{customer}").json()
        seen = http.get(f"/v1/live/customers/{customer}").json()
        asked = {"type": "add_to_cart", "item_id": "what-if", "price": 50, "quantity": 1}
        would = http.post("/v1/what-if", json={"customer_id": customer, "events": [asked]}).json()
    assert page.locator("#c-id").inner_text() == customer
    assert page.locator("#c-intent").inner_text() == share(known["purchase_intent"])
    assert page.locator("#c-features dd").count() == len(known["features"])
    assert page.locator("#c-timeline circle").count() == len(seen["points"]) > 0
    assert seen["points"][-1]["purchase_intent"] == known["purchase_intent"]
    page.get_by_role("button", name="Adds 50 to the cart").click()
    page.wait_for_selector("#c-steps tbody tr:nth-child(2)")
    told = cells(page, "c-steps", 2)
    assert told[0] == share(would["before"]["purchase_intent"])
    assert told[1] == share(would["after"]["purchase_intent"])
    with api(service) as http:
        assert http.get(f"/v1/customers/{customer}").json()["next_offset"] == known["next_offset"]


def test_a_phone_has_nothing_beside_the_page(shop: Shop, browser: Browser) -> None:
    page = opened(browser, shop[3], viewport={"width": 390, "height": 844})
    wide = "[document.documentElement.scrollWidth, window.innerWidth]"
    assert page.evaluate(wide) == [390, 390]
    page.locator("#customers tbody a").first.click()
    page.wait_for_selector("#c-features dd")
    assert page.evaluate(wide) == [390, 390]


def test_the_keyboard_reaches_a_customer_and_comes_back(shop: Shop, browser: Browser) -> None:
    page = opened(browser, shop[3])
    page.locator("#customers tbody a").first.focus()
    page.keyboard.press("Enter")
    page.wait_for_selector("#c-features dd")
    assert page.evaluate("document.activeElement.id") == "c-id"
    page.locator("#back").focus()
    page.keyboard.press("Enter")
    page.wait_for_selector("#customers tbody tr")


def test_axe_finds_nothing_serious(shop: Shop, browser: Browser, scheme: str) -> None:
    page = opened(browser, shop[3], color_scheme=scheme, bypass_csp=True)
    page.add_script_tag(path=str(AXE))

    def serious() -> list[tuple[str, str]]:
        found = page.evaluate("axe.run()")["violations"]
        return [
            (one["id"], one["nodes"][0]["html"]) for one in found if one["impact"] in ("serious", "critical")
        ]

    assert serious() == []
    page.locator("#customers tbody a").first.click()
    page.wait_for_selector("#c-features dd")
    assert serious() == []


def test_a_page_says_when_the_service_is_gone(shop: Shop, browser: Browser) -> None:
    settings, fleet, _, _ = shop
    port = free_port()
    own = settings.model_copy(update={"serve_port": port, "http_port": port, "serve_mask_ids": True})
    masked = fleet.ready(settings=own, command="serve")
    page = opened(browser, masked)
    ids = cells(page, "customers", 1)
    assert all("…" in one and "shopper" not in one for one in ids)
    page.locator("#customers tbody a").first.click()
    page.wait_for_selector("#c-features dd")
    assert "shopper" not in page.content()
    masked.stop()
    page.wait_for_selector("#state[data-state=lost]")
    until(lambda: "Last answered" in page.locator("#state-text").inner_text(), "the page says so")
