"""Customers by country on a map that needs no server: shapes come with the package, the projection is computed here.

Plotly's own maps fetch their shapes from the network when the page is opened; here countries are plain polygons.
"""

from __future__ import annotations

import re
from typing import Final

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from numpy.typing import NDArray
from plotly.colors import sample_colorscale

from features.counts import counted
from offline.chapters.exploration.country_names import Country, country_code, world
from offline.chapters.exploration.findings import Findings
from offline.lab.differences import LEAST, Claim, highest_values, median_interval
from offline.report.section import Picture, Table
from offline.report.theme import SEQUENTIAL, scale
from offline.views.log_view import LogView

_LAND, _COAST, _SEA = "#e6e9ed", "#ffffff", "#f7fafc"
# From this share on of customers in one country, colours run over logarithms, or all others would look alike.
_DOMINANT: Final = 0.5
# Coefficients of the Equal Earth projection [Savric, Patterson and Jenny 2018, doi 10.1080/13658816.2018.1504949].
_A: Final = (1.340264, -0.081106, 0.000893, 0.003796)
# What is seen, in plane coordinates (west, south, east, north): the oceans' edges would only cost room.
_WORLD_VIEW: Final = (-2.35, -1.02, 2.55, 1.27)
_EUROPE_VIEW: Final = (-0.42, 0.69, 0.68, 1.21)
_EUROPE: Final = (-25.0, 34.0, 45.0, 72.0)  # degrees
_MANY: Final = 5
#: What half of a country's buyers spent more than, in the table of countries.
MEDIAN: Final = "median spent"


def countries(view: LogView) -> Findings:
    """Count customers, orders and revenue by country and draw the customers on a map."""
    if view.events["country"].isna().all():
        return Findings("countries", ["The log names no countries."], figures=[])
    events = view.events.dropna(subset="country")
    # A customer with several countries counts where the latest event came from.
    home = events.drop_duplicates("customer", keep="last").set_index("customer")["country"].astype(str)
    frame = pd.DataFrame({"country": home.value_counts().index, "customers": home.value_counts().to_numpy()})
    value = view.orders.dropna(subset="country").groupby(view.orders["country"].astype(object))["value"]
    frame["orders"] = frame["country"].map(value.size()).fillna(0).astype(int)
    frame["revenue"] = frame["country"].map(value.sum()).fillna(0.0)
    spent = _spent_by_country(view, home)
    buyers = home.reindex(view.customers.index).value_counts()
    frame["buyers"] = frame["country"].map(buyers).fillna(0).astype(int)
    solid = {name: own for name, own in spent.items() if len(own) >= LEAST}
    middle = {name: (float(np.median(own)), *median_interval(own)) for name, own in solid.items()}
    for at, column in enumerate((MEDIAN, "median from", "median to")):
        frame[column] = (
            frame["country"].map({name: found[at] for name, found in middle.items()}).astype("float64")
        )
    claims = _claims(spent, frame, view.currency)
    frame["share of customers"] = frame["customers"] / frame["customers"].sum()
    frame["code"] = frame["country"].map(country_code)
    frame["country"] = _with_names(frame)
    unknown = frame[frame["code"].isna()]
    summary = [
        _where_from(frame, len(frame) - len(unknown))
        + (
            f" Not on the map, being no countries: {', '.join(unknown['country'][:5])}."
            if len(unknown)
            else ""
        )
    ]
    parts: list[Table | Picture] = []
    known = frame.dropna(subset="code").groupby("code", sort=False)["customers"].sum()
    if len(known):
        logged = bool(known.max() > _DOMINANT * known.sum()) and len(known) > 2  # noqa: PLR2004
        parts.append(
            Picture(
                "Customers by country",
                draw_map(known, "customers", logged=logged),
                ("Colours are logarithmic. " if logged else "")
                + (
                    "Dots are countries too small to be seen. "
                    if any(not world()[0][code].shape for code in known.index)
                    else ""
                )
                + "Shapes: Natural Earth.",
            )
        )
        european = [code for code in known.index if _in_europe(world()[0][code])]
        if len(european) >= _MANY and len(european) > len(known) / 2:
            parts.append(
                Picture("Customers in Europe", draw_map(known, "customers", logged=logged, europe=True))
            )
    shown = frame.drop(columns="code")
    parts.append(
        Table(
            "Countries",
            shown,
            f"Money in {view.currency}. Median spent: half of the country's buyers spent more; from and to are its "
            f"95% interval. It is told from {LEAST} buyers on.",
            {"share of customers": ".1%"}
            | dict.fromkeys(("revenue", MEDIAN, "median from", "median to"), ",.0f"),
        )
    )
    return Findings("countries", summary, parts, frame, claims)


def _where_from(frame: pd.DataFrame, countries: int) -> str:
    """Return from where most customers come; of a few, a share would be an anecdote."""
    named, most, total = (
        counted(countries, "country"),
        int(frame["customers"][0]),
        int(frame["customers"].sum()),
    )
    if most < LEAST:
        return f"The log names {named}, none with {LEAST} customers or more."
    share = f"{most:,} of {counted(total, 'customer')} ({most / total:.0%})"
    return f"{share} come from {frame['country'][0]}, {named} in all."


def _spent_by_country(view: LogView, home: pd.Series) -> dict[str, NDArray[np.float64]]:
    """Return what every buyer spent, as far as it is known, by the buyer's country."""
    spent = view.customers["monetary"].dropna()
    of = home.reindex(spent.index).dropna()
    return {str(name): own.to_numpy(np.float64) for name, own in spent[of.index].groupby(of)}


def _claims(spent: dict[str, NDArray[np.float64]], frame: pd.DataFrame, currency: str) -> list[Claim]:
    """Return the country whose buyers spend more than those of all others."""
    best = highest_values(spent)
    if best is None:
        return []
    row = frame.set_index("country").loc[best.group]
    others = np.median(np.concatenate([own for name, own in spent.items() if name != best.group]))
    name = _with_names(frame)[int(np.flatnonzero(frame["country"] == best.group)[0])]
    sentence = (
        f"Buyers from {name} spend more than those from elsewhere: the one in the middle spent {row[MEDIAN]:,.0f} "
        f"{currency} (95% interval {row['median from']:,.0f} to {row['median to']:,.0f}), elsewhere {others:,.0f}."
    )
    return [Claim(sentence, best.p_value)]


def _with_names(frame: pd.DataFrame) -> list[str]:
    """Return countries as they are logged; where they are codes, by name, which is read more easily."""
    names = world()[0]
    texts = []
    for text in frame["country"]:
        code = country_code(text)
        coded = code is not None and re.fullmatch("[A-Z]{2,3}", text)
        texts.append(f"{names[code].name} ({text})" if coded and code is not None else text)
    return texts


def draw_map(values: pd.Series, what: str, *, logged: bool = False, europe: bool = False) -> go.Figure:
    """Return a map with countries coloured by value.

    Parameters
    ----------
    values
        Indexed by ISO 3166-1 alpha-2 code, positive.
    what
        What the values count, for labels.
    logged
        Whether colours run over logarithms.
    europe
        Whether to show Europe only, where countries are many and small.
    """
    table, other = world()
    grey = [ring for code, country in table.items() if code not in values.index for ring in country.shape]
    figure = go.Figure()
    _polygons(figure, grey + other, _LAND, None)
    levels = np.log10(values) if logged else values.astype("float64")
    low, high = (float(levels.min()), float(levels.max())) if logged else (0.0, float(levels.max()))
    # The lightest tenth of the scale would vanish among the grey of countries without customers.
    shades = dict(zip(values.index, 0.12 + 0.88 * (levels - low) / max(high - low, 1e-12), strict=True))
    colours = dict(zip(shades, sample_colorscale(scale(SEQUENTIAL), list(shades.values())), strict=True))
    labels = {code: f"{table[code].name}: {value:,.0f} {what}" for code, value in values.items()}
    for code in values.index:
        if table[code].shape:
            _polygons(figure, table[code].shape, colours[code], labels[code])
    small = [table[code] for code in values.index if not table[code].shape]
    if small:
        _dots(figure, small, colours, labels)
    _colour_bar(figure, low, high, logged, what)
    west, south, east, north = _EUROPE_VIEW if europe else _WORLD_VIEW
    figure.update_xaxes(visible=False, range=[west, east])
    figure.update_yaxes(visible=False, range=[south, north], scaleanchor="x", scaleratio=1)
    figure.update_layout(
        height=480, plot_bgcolor=_SEA, margin={"l": 0, "r": 0, "t": 10, "b": 10}, hovermode="closest"
    )
    return figure


def project(
    longitude: NDArray[np.float64], latitude: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return plane coordinates of degrees in the Equal Earth projection, which keeps areas.

    Examples
    --------
    >>> x, y = project(np.array([0.0, 180.0]), np.array([0.0, 0.0]))
    >>> x.round(3).tolist(), y.tolist()
    ([0.0, 2.707], [0.0, 0.0])
    """
    a1, a2, a3, a4 = _A
    root = np.sqrt(3) / 2
    theta = np.arcsin(root * np.sin(np.radians(latitude)))
    square = theta**2
    sixth = square**3
    x = (
        np.radians(longitude)
        * np.cos(theta)
        / (root * (a1 + 3 * a2 * square + sixth * (7 * a3 + 9 * a4 * square)))
    )
    y = theta * (a1 + a2 * square + sixth * (a3 + a4 * square))
    return x, y


def _in_europe(country: Country) -> bool:
    west, south, east, north = _EUROPE
    return west <= country.at[0] <= east and south <= country.at[1] <= north


def _polygons(figure: go.Figure, rings: list[list[float]], colour: str, label: str | None) -> None:
    xs: list[float | None] = []
    ys: list[float | None] = []
    for ring in rings:
        x, y = project(np.array(ring[0::2]), np.array(ring[1::2]))
        xs += [*x.round(4).tolist(), float(x[0].round(4)), None]
        ys += [*y.round(4).tolist(), float(y[0].round(4)), None]
    figure.add_scatter(
        x=xs,
        y=ys,
        mode="lines",
        fill="toself",
        fillcolor=colour,
        line={"color": _COAST, "width": 0.6},
        showlegend=False,
        hoveron="fills",
        text=label,
        hoverinfo="skip" if label is None else "text",
    )


def _dots(figure: go.Figure, small: list[Country], colours: dict[str, str], labels: dict[str, str]) -> None:
    x, y = project(np.array([c.at[0] for c in small]), np.array([c.at[1] for c in small]))
    figure.add_scatter(
        x=x, y=y, mode="markers", showlegend=False, text=[labels[c.code] for c in small], hoverinfo="text",
        marker={"size": 9, "color": [colours[c.code] for c in small], "line": {"color": "#5b6573", "width": 1}},
    )  # fmt: skip


def _colour_bar(figure: go.Figure, low: float, high: float, logged: bool, what: str) -> None:
    # The scale's colours begin where those of the countries do.
    start = low - 0.12 / 0.88 * (high - low)
    bar: dict[str, object] = {
        "title": {"text": what},
        "thickness": 12,
        "len": 0.55,
        "x": 0.02,
        "xanchor": "left",
        "y": 0.32,
    }
    if logged:
        ticks = np.unique(np.append(np.arange(np.ceil(low), np.floor(high) + 1), [low, high]))
        bar |= {"tickvals": ticks, "ticktext": [f"{10**tick:,.0f}" for tick in ticks]}
    figure.add_scatter(
        x=[None],
        y=[None],
        mode="markers",
        showlegend=False,
        hoverinfo="skip",
        marker={
            "colorscale": scale(SEQUENTIAL),
            "cmin": start,
            "cmax": high,
            "color": [low],
            "showscale": True,
            "colorbar": bar,
        },
    )
