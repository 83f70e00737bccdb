"""`intent convert` from the outside."""

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from features.log import read_log
from offline.training.needs import LEAST_CUSTOMERS, USUAL_PURCHASES, needs
from stream.cli.convert import pairs, register

runner = CliRunner()
SHOP = "user,ts,event,amount\nu1,1569888002,cart,3.5\nu1,2019-10-01 02:00:03,paid,7\nu2,1569888009,scroll,\n"
OPTIONS = [
    "--columns",
    "customer_id=user,event_time=ts,type=event,price=amount",
    "--types",
    "cart=add_to_cart,paid=purchase",
]


@pytest.fixture
def app() -> typer.Typer:
    app = typer.Typer()
    register(app)
    app.command("other")(lambda: None)
    return app


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    path = tmp_path / "shop.csv"
    path.write_text(SHOP)
    return path


def test_a_file_becomes_a_log_and_the_account_is_json(app: typer.Typer, shop: Path, tmp_path: Path) -> None:
    log = tmp_path / "log.parquet"
    arguments = [
        "convert",
        "csv",
        str(shop),
        "-o",
        str(log),
        *OPTIONS,
        "--timezone",
        "Europe/Berlin",
        "--json",
    ]
    result = runner.invoke(app, arguments)
    assert result.exit_code == 0, result.output
    account = json.loads(result.stdout)
    assert account["by_type"] == {"add_to_cart": 1, "purchase": 1}
    assert account["dropped"] == [
        {"reason": "type 'scroll' is not in the mapping", "rows": 1, "example": "shop.csv, row 3"}
    ]
    assert read_log(log)["value"].to_pylist() == [None, 7.0]


def test_the_account_is_a_table_for_people(app: typer.Typer, shop: Path, tmp_path: Path) -> None:
    result = runner.invoke(app, ["convert", "csv", str(shop), "-o", str(tmp_path / "log.parquet"), *OPTIONS])
    assert result.exit_code == 0, result.output
    for text in ("rows read", "add_to_cart", "mapping", "log.parquet"):
        assert text in result.stdout
    size = "2 events, 1 customer, 1 purchase"
    assert result.stdout.splitlines()[-1] == f"This log has {size}. For `intent train`, {needs()}."
    assert "Next:" not in result.stdout


def test_a_log_of_many_customers_is_ready_to_train_on(app: typer.Typer, tmp_path: Path) -> None:
    shop, log = tmp_path / "shop.csv", tmp_path / "log.parquet"
    rows = (
        f"u{number},{1569888002 + number},{'paid' if number % 10 else 'cart'},7" for number in range(1000)
    )
    shop.write_text("\n".join(["user,ts,event,amount", *rows]))
    result = runner.invoke(app, ["convert", "csv", str(shop), "-o", str(log), *OPTIONS])
    assert result.stdout.splitlines()[-1] == f"Next: `intent train {log} -o bundle`"


@pytest.mark.parametrize(("purchases", "is_enough"), [(USUAL_PURCHASES, True), (USUAL_PURCHASES - 1, False)])
def test_what_is_needed_to_train_on_is_what_training_says(
    app: typer.Typer, tmp_path: Path, purchases: int, is_enough: bool
) -> None:
    shop, log = tmp_path / "shop.csv", tmp_path / "log.parquet"
    rows = [f"u{number % LEAST_CUSTOMERS},{1569888002 + number},paid,7" for number in range(purchases)]
    shop.write_text("\n".join(["user,ts,event,amount", *rows]))
    result = runner.invoke(app, ["convert", "csv", str(shop), "-o", str(log), *OPTIONS])
    assert ("Next: `intent train" in result.stdout) is is_enough
    assert (needs() in result.stdout) is not is_enough
    assert f"{USUAL_PURCHASES} purchases or more" in needs()


def test_orders_alone_are_to_be_predicted_within_weeks(app: typer.Typer, tmp_path: Path) -> None:
    shop, log = tmp_path / "shop.csv", tmp_path / "log.parquet"
    rows = (f"u{number},{1569888002 + number},paid,7" for number in range(1000))
    shop.write_text("\n".join(["user,ts,event,amount", *rows]))
    result = runner.invoke(app, ["convert", "csv", str(shop), "-o", str(log), *OPTIONS])
    assert result.stdout.splitlines()[-1] == f"Next: `intent train {log} -o bundle --horizon 30d`"


@pytest.mark.parametrize("command", ["online-retail", "retailrocket", "rees46", "csv"])
def test_every_subcommand_shows_an_example(app: typer.Typer, command: str) -> None:
    result = runner.invoke(app, ["convert", command, "--help"])
    assert result.exit_code == 0
    assert f"intent convert {command}" in result.stdout


def test_every_public_source_can_be_converted(app: typer.Typer, tmp_path: Path) -> None:
    sources = {
        "online-retail": "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n"
        "536365,71053,L,1,2010-12-01 08:26,3.39,17850,France\n",
        "retailrocket": "timestamp,visitorid,event,itemid,transactionid\n1433221332117,1,view,2,\n",
        "rees46": "event_time,event_type,product_id,category_id,category_code,price,user_id,user_session\n"
        "2019-10-01 00:00:00 UTC,view,11,501,,35.79,1,s-1\n",
    }
    for name, text in sources.items():
        path, log = tmp_path / f"{name}.csv", tmp_path / f"{name}.parquet"
        path.write_text(text)
        result = runner.invoke(app, ["convert", name, str(path), "-o", str(log), "--json"])
        assert result.exit_code == 0, result.output
        assert json.loads(result.stdout)["source"] == name
        assert len(read_log(log)) == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("customer_id", "is not of the form"),
        ("customer_id=", "is not of the form"),
        ("", "is not of the form"),
        ("a=b,a=c", "given twice"),
    ],
)
def test_a_mapping_that_is_none_is_misuse(app: typer.Typer, shop: Path, text: str, message: str) -> None:
    arguments = ["convert", "csv", str(shop), "-o", str(shop.with_suffix(".parquet")), "--columns", text]
    result = runner.invoke(app, arguments)
    assert result.exit_code == 2
    assert message in result.output
    assert not shop.with_suffix(".parquet").exists()


def test_a_pair_is_divided_at_the_first_sign_or_the_last() -> None:
    assert pairs(["price=a=b", "type=t"], "--columns", "") == {"price": "a=b", "type": "t"}
    assert pairs(["a=b=search"], "--types", "", last=True) == {"a=b": "search"}
