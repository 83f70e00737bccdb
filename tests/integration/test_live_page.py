"""The live page in a real browser, beside a real worker: its numbers are those of the API.

All tests share one worker, two services and two open pages: to start them takes longer than all that is tested.
"""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, NamedTuple

import httpx
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from stream.kafka.topics import create_topics
from stream.services.process import free_port
from stream.serving.keys import add_key
from stream.settings import Settings
from stream.testing.servers import Services
from tests.bundles import save_bundle
from tests.integration.workers import Fleet, Worker, until

CHROMIUM: Final = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
AXE: Final = Path(__file__).parent / "axe" / "axe.min.js"
SHOPPERS: Final = 40
WIDE: Final = {"width": 1280, "height": 900}
PHONE: Final = {"width": 390, "height": 844}

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed: apt-get install chromium")


class Shop(NamedTuple):
    """A worker that has scored some customers of this minute, and two services beside it.

    Attributes
    ----------
    service
        Shows ids, and asks for no key.
    guarded
        Two processes that mask ids, and ask for ``key``; they may still be starting.
    """

    fleet: Fleet
    service: Worker
    guarded: Worker
    guarding: Settings
    key: str


def event(customer: str, kind: str, number: int, **fields: Any) -> dict[str, Any]:
    given = {"event_id": f"{customer}-{kind}-{number}", "type": kind, "customer_id": customer}
    return given | {"event_time": time.time_ns() // 1_000_000, "item_id": "sku-1", "price": 50.0} | fields


@pytest.fixture(scope="module")
def shop(services: Services, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    folder = tmp_path_factory.mktemp("page")
    name = f"page-{time.time_ns():x}"
    settings = Settings(
        _env_file=None, kafka=services.kafka, redis=services.redis, topic_prefix=f"test-{name}.",
        redis_prefix=f"test-{name}", group=f"test-{name}", partitions=3, http_port=0,
        bundle=save_bundle(folder / "bundle"), reasons="all", learning=False, serve_mask_ids=False,
    )  # fmt: skip
    create_topics(settings)
    keys = folder / "keys.json"
    key = add_key(keys, "page", ["read"], 1_000.0, 1)
    guarding = listening(settings.model_copy(update={"serve_keys": keys, "serve_mask_ids": True}))
    with Fleet(settings, folder) as fleet:
        worker = fleet.ready()  # first: in a new checkout it compiles for all
        service = fleet.start(settings=listening(settings), command="serve")
        guarded = fleet.start("--workers", "2", settings=guarding, command="serve")
        service.wait_ready()
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
        yield Shop(fleet, service, guarded, guarding, key)


def listening(settings: Settings) -> Settings:
    port = free_port()
    return settings.model_copy(update={"serve_port": port, "http_port": port})


def api(service: Worker) -> httpx.Client:
    return httpx.Client(base_url=address(service), timeout=30.0)


def address(service: Worker) -> str:
    return f"http://127.0.0.1:{service.port}/"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as driver:
        found = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield found
        found.close()


@pytest.fixture(scope="module")
def tab(shop: Shop, browser: Browser) -> Iterator[Page]:
    """The page without a key, open all the time; it must not complain."""
    context = browser.new_context(viewport=WIDE)
    page, complaints = watched(context)
    page.goto(address(shop.service))
    yield page
    assert complaints == []
    context.close()


@pytest.fixture
def page(tab: Page) -> Page:
    """The page with all customers, as wide as a screen."""
    tab.set_viewport_size(WIDE)
    tab.emulate_media(color_scheme="light")
    tab.evaluate("location.hash = ''")
    tab.wait_for_selector("#customers tbody tr")
    return tab


@pytest.fixture(scope="module")
def masked(shop: Shop, browser: Browser) -> Iterator[Page]:
    """The page with masked ids; its key is given."""
    context = browser.new_context(viewport=WIDE)
    page, complaints = watched(context)
    shop.guarded.wait_ready()
    page.goto(address(shop.guarded))
    page.fill("#key", shop.key)
    page.keyboard.press("Enter")
    page.wait_for_selector("#customers tbody tr")
    yield page
    assert complaints == []
    context.close()


def watched(context: BrowserContext) -> tuple[Page, list[str]]:
    """Return a new page, and what its scripts complain of; an answer such as 404 is no complaint."""
    page = context.new_page()
    page.set_default_timeout(60_000)
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on(
        "console",
        lambda said: (
            complaints.append(said.text)
            if said.type == "error" and not said.text.startswith("Failed to load resource")
            else None
        ),
    )
    return page, complaints


def open_customer(page: Page) -> None:
    page.locator("#customers tbody a").last.click()
    page.wait_for_selector("#c-features dd")


def tried(page: Page, name: str, row: int) -> None:
    page.get_by_role("button", name=name).click()
    page.wait_for_selector(f"#c-steps tbody tr:nth-child({row})")


def figure(page: Page, name: str) -> str:
    found = page.locator("#figures > div", has_text=name).locator("dd").first.inner_text()
    return found.split()[0]


def cells(page: Page, table: str, column: int) -> list[str]:
    return page.locator(f"#{table} tbody tr > :nth-child({column})").all_inner_texts()


def share(value: float) -> str:
    return f"{100 * value:.{1 if 100 * value < 10 else 0}f}%"


def test_the_numbers_on_the_page_are_those_of_the_api(shop: Shop, page: Page) -> None:
    service = shop.service
    told: dict[str, Any] = {}

    def is_complete() -> bool:
        """Whether the service has read all scores, and has asked Kafka and Redis for the lag since."""
        told.update(http.get("/v1/live").json())
        active, lag = told["active"]["customers"], told["lag"]
        return active == SHOPPERS and lag is not None and lag["total"] == 0

    with api(service) as http:
        until(is_complete, "the service has caught up")
    shown = told["customers"]
    assert shown
    until(lambda: figure(page, "About to buy") == str(told["about_to_buy"]), "the page has the same state")
    ids, more = [one["customer_id"] for one in shown], page.locator("#customers-more")
    until(lambda: more.is_visible() or cells(page, "customers", 1) == ids, "the page has the customers")
    if more.is_visible():
        more.click()
    until(lambda: cells(page, "customers", 1) == ids, "the page has all customers")
    assert [text.split()[-1] for text in cells(page, "customers", 2)] == [
        share(one["purchase_intent"]) for one in shown
    ]
    assert cells(page, "customers", 3) == [one["band"] for one in shown]
    assert cells(page, "customers", 4) == [one["segment"]["name"] for one in shown]
    active = told["active"]
    assert cells(page, "bands", 3) == [str(active["bands"][band]) for band in ("high", "medium", "low")]
    assert cells(page, "segments", 3) == [str(one["customers"]) for one in active["segments"]]
    until(lambda: figure(page, "Lag") == "0", "the page has the lag")
    assert page.locator("#outcome").inner_text() == told["actions"]["outcome"]["detail"]
    assert "Not known yet" in page.locator("#calibration").inner_text()


def test_a_row_leaves_the_page_at_the_purchase(shop: Shop, page: Page) -> None:
    service = shop.service
    buyer = cells(page, "customers", 1)[0]
    with api(service) as http:
        http.post("/v1/events", json=event(buyer, "purchase", 9, value=50.0)).raise_for_status()
    until(lambda: buyer not in cells(page, "customers", 1), "the buyer's row leaves")


def test_a_customers_page_has_the_timeline_and_says_what_would_be(shop: Shop, page: Page) -> None:
    service = shop.service
    customer = cells(page, "customers", 1)[-1]
    open_customer(page)

    def would_be() -> dict[str, float]:
        """Ask what would be if something was put into the cart now: it changes as time passes."""
        asked = {"type": "add_to_cart", "item_id": "what-if", "price": 50, "quantity": 1}
        with api(service) as http:
            said = http.post("/v1/what-if", json={"customer_id": customer, "events": [asked]}).json()
        return {when: said[when]["purchase_intent"] for when in ("before", "after")}

    with api(service) as http:
        known = http.get(f"/v1/customers/{customer}").json()
        seen = http.get(f"/v1/live/customers/{customer}").json()
    assert page.locator("#c-id").inner_text() == customer
    assert page.locator("#c-intent").inner_text() == share(known["purchase_intent"])
    assert page.locator("#c-features dd").count() == len(known["features"])
    assert page.locator("#c-timeline circle").count() == len(seen["points"]) > 0
    assert seen["points"][-1]["purchase_intent"] == known["purchase_intent"]
    steps = ["view item", "add to cart", "begin checkout"]
    named = page.locator("#c-timeline text").all_text_contents()
    assert [one for one in named if one in steps] == steps[: len(seen["points"])]
    assert page.locator("#c-sent tbody tr").count() == len(seen["actions"])
    earlier = would_be()
    tried(page, "Adds 50 to the cart", 2)
    later = would_be()
    for when, text in zip(("before", "after"), cells(page, "c-steps", 2), strict=True):
        low, high = sorted((earlier[when], later[when]))
        told = float(text.removesuffix("%")) / 100
        rounding = 0.0005 if told < 0.1 else 0.005
        assert low - rounding <= told <= high + rounding, when
    with api(service) as http:
        assert http.get(f"/v1/customers/{customer}").json()["next_offset"] == known["next_offset"]


def test_of_an_unknown_id_the_page_says_that_nothing_is_held_and_shows_nothing_else(page: Page) -> None:
    open_customer(page)  # nothing of another customer may stay
    page.evaluate("location.hash = 'customer=nobody-17'")
    page.wait_for_selector("#c-problem:not(:empty)")
    assert [line for line in page.locator("#customer").inner_text().split("\n") if line] == [
        "← All customers",
        "nobody-17",
        "Nothing is held about this id: check it. Ids are those of your events.",
    ]
    assert page.locator("#customer button:visible").count() == 0
    page.evaluate("location.hash = ''")
    page.wait_for_selector("#customers tbody tr")
    open_customer(page)
    assert page.locator("#c-problem").inner_text() == ""
    assert page.locator("#c-buttons button:visible").count() > 0


def test_a_phone_has_nothing_beside_the_page(page: Page) -> None:
    page.set_viewport_size(PHONE)
    wide = "[document.documentElement.scrollWidth, window.innerWidth]"
    assert page.evaluate(wide) == [390, 390]
    open_customer(page)
    for row, name in enumerate(("Adds 50 to the cart", "Begins the checkout", "Buys"), 2):
        tried(page, name, row)
    assert page.evaluate(wide) == [390, 390]


def test_the_keyboard_reaches_a_customer_and_comes_back(page: Page) -> None:
    page.locator("#customers tbody a").first.focus()
    page.keyboard.press("Enter")
    page.wait_for_selector("#c-features dd")
    assert page.evaluate("document.activeElement.id") == "c-id"
    page.locator("#back").focus()
    page.keyboard.press("Enter")
    page.wait_for_selector("#customers tbody tr")


def test_axe_finds_nothing_serious_in_light_and_dark(page: Page) -> None:
    page.evaluate(AXE.read_text())

    def serious(**options: Any) -> list[tuple[str, str]]:
        found = page.evaluate("options => axe.run(options)", {"resultTypes": ["violations"], **options})
        return [
            (one["id"], one["nodes"][0]["html"])
            for one in found["violations"]
            if one["impact"] in ("serious", "critical")
        ]

    for show in (lambda: None, lambda: open_customer(page)):
        show()
        page.emulate_media(color_scheme="light")
        assert serious() == []
        page.emulate_media(color_scheme="dark")  # nothing but colours is another
        assert serious(runOnly=["color-contrast"]) == []


def test_a_page_asks_for_a_key_says_why_one_is_refused_and_keeps_the_right_one_out_of_the_address(
    shop: Shop, browser: Browser
) -> None:
    context = browser.new_context(viewport=WIDE)
    page, complaints = watched(context)
    shop.guarded.wait_ready()
    page.goto(address(shop.guarded))
    page.wait_for_selector("#key-form")
    assert page.locator("#key-problem").inner_text() == ""
    assert page.evaluate("document.activeElement.id") == "key"
    page.fill("#key", "intent_wrong")
    page.keyboard.press("Enter")
    page.wait_for_selector("#key-problem:not(:empty)")
    with api(shop.guarded) as http:
        refusal = http.get("/v1/live", headers={"authorization": "Bearer intent_wrong"}).json()["detail"]
    assert page.locator("#key-problem").inner_text() == refusal
    assert page.locator("#customers tbody tr").count() == 0
    page.fill("#key", shop.key)
    page.keyboard.press("Enter")
    page.wait_for_selector("#customers tbody tr")
    assert page.locator("#key-form").is_hidden()
    page.reload()
    page.wait_for_selector("#customers tbody tr")
    assert (page.url, shop.key in page.content()) == (address(shop.guarded), False)
    assert page.evaluate("[localStorage.length, document.cookie]") == [0, ""]
    assert complaints == []
    other, _ = watched(context)
    other.goto(address(shop.guarded))
    other.wait_for_selector("#key-form")
    context.close()


def test_masked_ids_lead_to_the_same_customer_whichever_process_answers(shop: Shop, masked: Page) -> None:
    page = masked
    ids = cells(page, "customers", 1)
    assert all(re.fullmatch(r"sh…[0-9a-f]{12}", one) for one in ids)
    assert "shopper" not in page.content()
    headers = {"authorization": f"Bearer {shop.key}"}

    def asked(number: int) -> set[str]:
        """Ask on a connection of its own, which either process may take."""
        customer = ids[number % len(ids)]
        with api(shop.guarded) as http:
            answers = [
                http.get(f"{path}{customer}", headers=headers)
                for path in ("v1/customers/", "v1/live/customers/")
            ]
        assert [one.status_code for one in answers] == [200, 200]
        return {one.json()["customer_id"] for one in answers} - {customer}

    with ThreadPoolExecutor(8) as pool:
        assert set().union(*pool.map(asked, range(24))) == set()
    open_customer(page)
    assert page.locator("#c-id").inner_text() == ids[-1]
    assert "shopper" not in page.content()


def test_a_page_says_when_the_service_is_gone_and_goes_on_when_it_is_back(shop: Shop, masked: Page) -> None:
    page = masked
    shop.guarded.stop()
    page.wait_for_selector("#state[data-state=lost]")
    until(lambda: "No answer for" in page.locator("#state-text").inner_text(), "the page says so")
    assert page.locator("body.stale").count() == 1
    shop.fleet.ready(settings=shop.guarding, command="serve")
    page.wait_for_selector("#state[data-state=live]")
    assert page.locator("body.stale").count() == 0
    page.evaluate("location.hash = ''")
    page.wait_for_selector("#customers tbody tr")
    assert page.locator("#key-form").is_hidden()
