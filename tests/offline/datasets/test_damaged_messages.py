"""Files that something has damaged: each is converted with an account that adds up, or is one clear error."""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.exceptions import IntentError
from offline.datasets import SHOPIFY, WOOCOMMERCE, Dataset, load_export, load_messages, load_olist
from offline.datasets.messages import Translated
from stream.formats.contract import Message
from stream.formats.plain import PLAIN
from stream.formats.woocommerce import WooCommerce
from tests.offline.datasets.test_messages import CALLS
from tests.offline.datasets.test_shop_exports import OLIST, SHOPIFY_ROWS, WOO, WOO_ROWS
from tests.stream.formats import test_ga4, test_shopify, test_snowplow

DAMAGES = 40
ROWS = [test_ga4.row("view_item", {"x": 1}, items=[test_ga4.STAN]), test_ga4.row("purchase", {"value": 2.5})]
SOURCES: dict[str, list[Any]] = {
    "ga4": ROWS,
    "segment": CALLS,
    "snowplow": [test_snowplow.action("transaction", product=[test_snowplow.PRODUCT])],
    "shopify": [test_shopify.ORDER, test_shopify.REFUND],
    "woocommerce": [WOO, WOO | {"id": 8, "refunds": [{"total": "-1"}]}],
}


def damaged(raw: bytes, chance: random.Random) -> bytes:
    """Return the bytes of a file with something wrong in them."""
    data = bytearray(raw)
    for _ in range(chance.randint(1, 4)):
        at, kind = chance.randrange(max(len(data), 1)), chance.randrange(6)
        if kind == 0:
            del data[at:]
        elif kind == 1:
            data[at : at + 1] = chance.randbytes(1)
        elif kind == 2:
            data[at:at] = chance.choice([b'"', b"\n", b"\x00", b",", b"\xff\xfe", b"{", b"]", b"\t"])
        elif kind == 3:
            del data[at : at + chance.randint(1, 30)]
        elif kind == 4:
            data[at:at] = data[: chance.randint(1, 60)]
        else:
            data = data.replace(
                b"20", chance.choice([b"99999", b"-1", b"null", b'"x"', b""]), chance.randint(1, 3)
            )
        if not data:
            break
    return bytes(data)


def as_text(raw: bytes) -> str:
    """Return damaged bytes as text: what is no UTF-8 at all is the matter of the readers of CSV."""
    return raw.decode(errors="replace")


def check(load: Callable[[], Dataset], what: str) -> None:
    """Convert; see that the account adds up, or that the error is one sentence."""
    try:
        dataset = load()
        dataset.log()
    except IntentError as error:
        assert str(error).strip(), what
        assert "Traceback" not in str(error)
        return
    report = dataset.report
    assert report.rows == report.events + report.merged + sum(count.rows for count in report.dropped), what


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
@pytest.mark.parametrize("name", SOURCES)
def test_a_damaged_file_of_messages(tmp_path: Path, name: str, packed: bool) -> None:
    form = WooCommerce() if name == "woocommerce" else PLAIN[name]

    def translate(message: bytes) -> Any:
        found = form.translate(Message(message))
        return Translated(found.events, found.ignored, found.logins)

    raw = "".join(json.dumps(message) + "\n" for message in SOURCES[name]).encode()
    path = tmp_path / "messages.jsonl"
    for seed in range(DAMAGES):
        chance = random.Random(seed)
        whole = gzip.compress(raw) if packed else raw
        path.write_bytes(damaged(whole, chance))
        check(lambda: load_messages(path, translate, source=name), f"{name}, seed {seed}")


def test_a_damaged_file_of_parquet(tmp_path: Path) -> None:
    def translate(message: bytes) -> Any:
        found = PLAIN["ga4"].translate(Message(message))
        return Translated(found.events, found.ignored, found.logins)

    good, path = tmp_path / "good.parquet", tmp_path / "rows.parquet"
    pq.write_table(pa.Table.from_pylist(ROWS), good)
    for seed in range(DAMAGES):
        path.write_bytes(damaged(good.read_bytes(), random.Random(seed)))
        check(lambda: load_messages(path, translate, source="ga4"), f"seed {seed}")


@pytest.mark.parametrize(
    ("export", "text"), [(SHOPIFY, SHOPIFY_ROWS), (WOOCOMMERCE, WOO_ROWS)], ids=["shopify", "woo"]
)
def test_a_damaged_export(tmp_path: Path, export: Any, text: str) -> None:
    path = tmp_path / "orders.csv"
    for seed in range(DAMAGES):
        path.write_text(as_text(damaged(text.encode(), random.Random(seed))))
        check(lambda: load_export(path, export), f"seed {seed}")


def test_a_damaged_folder_of_olist(tmp_path: Path) -> None:
    for seed in range(DAMAGES):
        chance = random.Random(seed)
        hit = chance.choice(list(OLIST))
        for name, text in OLIST.items():
            raw = as_text(damaged(text.encode(), chance)) if name == hit else text
            (tmp_path / f"{name}.csv").write_text(raw)
        check(lambda: load_olist(tmp_path), f"seed {seed}, {hit}")
