"""Bestsellers and categories: customers, orders, pieces and money, less what was given back."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from numpy.typing import NDArray
from scipy import stats

from features.counts import counted
from features.events import MAX_ITEMS
from features.items import named
from offline.chapters.products.findings import Findings
from offline.lab.differences import LEAST, summed_p_value
from offline.lab.statistics import ALPHA
from offline.report.section import Picture, Table
from offline.report.spreadsheets import write_csv
from offline.report.theme import BLUE
from offline.report.words import short

#: Where the figures of every product go in the report's folder.
PRODUCTS_FILE: Final = "products.csv"
_SHOWN: Final = 15
_FORMATS: Final = {"money": ",.0f", "share of money": ".1%", "given back": ",.0f", "pieces": ",.0f"}
_UNKNOWN: Final = "not given"


def sellers(lines: pd.DataFrame, names: Mapping[str, str], currency: str, directory: Path) -> Findings:
    """Return the bestsellers, and write all products.

    Parameters
    ----------
    lines
        Of `offline.chapters.products.lines.order_lines`.
    names
        Of items.
    directory
        The report's.
    """
    frame = sold(lines, "item")
    frame.insert(0, "product", [named(str(item), names) for item in frame.index])
    write_csv(frame.reset_index().round(4), directory / PRODUCTS_FILE)
    by_customers = frame.sort_values("customers", ascending=False, kind="stable").head(_SHOWN)
    by_money = frame.head(_SHOWN)
    unpriced = float(lines.loc[~lines["refund"], "money"].isna().mean())
    note = f" {unpriced:.1%} of the lines have no price in {currency}; they count as customers and pieces only." if (
        unpriced
    ) else ""  # fmt: skip
    if cut := int((lines["event"].value_counts() >= MAX_ITEMS).sum()):
        note += (
            f" {counted(cut, 'order')} hold {MAX_ITEMS} lines, the most that an event has: what an order held "
            f"beyond them is "
            "not counted."
        )
    if not names:
        note += (
            " Products are named by their ids: names stand in a file beside the log, LOG.items.parquet, where "
            "intent convert found any."
        )
    caption = (
        f"Money: paid for the product less what was given back, in {currency}; share: of all products. {{}} "
        f"All {counted(len(frame), 'product')}: {PRODUCTS_FILE}."
    )
    parts: list[Table | Picture] = [
        Picture(
            "Products that most customers bought", _bars(by_customers), "Customers with at least one order of it."
        ),
        Table(
            "Products by customers", _people(by_customers), caption.format(note).replace("  ", " "), _FORMATS, "open"
        ),
    ]  # fmt: skip
    summary = _most_bought(frame, lines)
    if frame["money"].sum() > 0:
        parts.append(
            Table("Products by money", _people(by_money), caption.format(note).replace("  ", " "), _FORMATS)
        )
        summary.append(_most_money(frame, lines, currency))
    figures = {
        "products": len(frame),
        "by_customers": by_customers.reset_index(),
        "by_money": by_money.reset_index(),
        "file": PRODUCTS_FILE,
    }
    return Findings("products", summary, parts, figures)


def categories(lines: pd.DataFrame, currency: str) -> Findings:
    """Return the same by category; nothing where the log names fewer than two."""
    if lines["category"].nunique() < 2:  # noqa: PLR2004  (one category has nothing beside it)
        return Findings("categories", figures=[])
    frame = sold(lines.assign(category=lines["category"].fillna(_UNKNOWN)), "category")
    caption = f"Money: paid less what was given back, in {currency}. Customers and orders may be in several."
    table = Table("Categories", frame.reset_index(), caption, _FORMATS)
    return Findings("categories", [], [table], frame.reset_index())


def sold(lines: pd.DataFrame, by: str) -> pd.DataFrame:
    """Return what was sold of each item or category, most money first.

    Returns
    -------
    DataFrame
        ``customers``, ``orders``, ``pieces``, ``money`` (less refunds), ``share of money``, ``given back``.
    """
    bought, back = lines[~lines["refund"]], lines[lines["refund"]]
    grouped = bought.groupby(by, observed=True)
    frame = pd.DataFrame(
        {
            "customers": grouped["customer"].nunique(),
            "orders": grouped["event"].nunique(),
            "pieces": grouped["quantity"].sum(),
            "money": grouped["money"].sum(),
        }
    )
    given = back.groupby(by, observed=True)["money"].sum()
    frame.index, given.index = frame.index.astype(object), given.index.astype(object)
    given = given.reindex(frame.index).fillna(0.0)
    frame["money"] = frame["money"] - given
    frame["share of money"] = frame["money"] / max(float(frame["money"].sum()), 1e-12)
    frame["given back"] = given
    return frame.sort_values(["money", "customers"], ascending=False, kind="stable")


def _people(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.reset_index(drop=True)


def _most_bought(frame: pd.DataFrame, lines: pd.DataFrame) -> list[str]:
    """Return the product with most buyers, as far as that is more than chance among equal products."""
    bought = lines[~lines["refund"]]
    buyers = bought["customer"].nunique()
    if buyers < LEAST or len(frame) < 2:  # noqa: PLR2004  (one product has no rank)
        return []
    ordered = frame.sort_values("customers", ascending=False, kind="stable")
    first, second = ordered.iloc[0], ordered.iloc[1]
    if _alike(frame["customers"].to_numpy(np.float64), buyers):
        return [
            f"{counted(len(frame), 'product')} have about as many buyers each as chance would give them: none is a "
            f"bestseller "
            "for certain."
        ]
    said = (
        f"The product with most buyers is {first['product']}: {first['customers']:,} of {counted(buyers, 'customer')} "
        f"({first['customers'] / buyers:.0%}), in {counted(first['orders'], 'order')}"
    )
    own, other = (
        set(bought.loc[(bought["item"] == item).to_numpy(np.bool_), "customer"]) for item in ordered.index[:2]
    )
    only, others = len(own - other), len(other - own)
    if not only + others or stats.binomtest(only, only + others).pvalue >= ALPHA:
        return [f"{said}; that it is ahead of {second['product']} ({second['customers']:,}) may be chance."]
    return [f"{said}."]


def _alike(customers: NDArray[np.float64], buyers: int) -> bool:
    """Return whether products differ in their buyers no more than equal products would (test of dispersion)."""
    mean = float(customers.mean())
    within = mean * (1 - min(mean / buyers, 1.0))
    if within <= 0:
        return True
    spread = float(np.square(customers - mean).sum()) / within
    return bool(stats.chi2.sf(spread, len(customers) - 1) >= ALPHA)


def _most_money(frame: pd.DataFrame, lines: pd.DataFrame, currency: str) -> str:
    """Return how many products bring half of the money, and which brings most where that is more than chance."""
    best = frame.iloc[0]
    paid = frame["money"].clip(lower=0)
    half = int(np.searchsorted(np.cumsum(paid.to_numpy()), paid.sum() / 2)) + 1
    said = f"Half of the money comes from {half:,} of {counted(len(frame), 'product')}."
    if len(frame) < 2 or best["customers"] < LEAST or not _ahead(frame.index[:2], lines):  # noqa: PLR2004
        return said
    return (
        f"{best['product']} brought most money: {best['money']:,.0f} {currency} ({best['share of money']:.1%} of all) "
        f"from {counted(best['customers'], 'customer')}. {said}"
    )


def _ahead(items: pd.Index, lines: pd.DataFrame) -> bool:
    """Return whether the first of two products brought more than the second beyond chance, customer by customer."""
    own, other = (
        lines.loc[(lines["item"] == item).to_numpy(np.bool_)].assign(
            money=lambda of: of["money"].fillna(0.0) * np.where(of["refund"], -1, 1)
        ).groupby("customer")["money"].sum()
        for item in items
    )  # fmt: skip
    return summed_p_value(own.sub(other, fill_value=0.0)) < ALPHA


def _bars(frame: pd.DataFrame) -> go.Figure:
    figure = go.Figure(
        go.Bar(
            y=[short(name) for name in frame["product"]], x=frame["customers"], orientation="h", marker_color=BLUE,
            hovertemplate="%{y}: %{x:,} customers<extra></extra>",
        )
    )  # fmt: skip
    figure.update_yaxes(autorange="reversed", type="category")
    figure.update_xaxes(title_text="customers", rangemode="tozero")
    figure.update_layout(height=110 + 30 * len(frame), margin={"t": 20})
    return figure
