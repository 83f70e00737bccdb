"""Which country a text means: ISO codes, English names, and what shops write instead."""

from __future__ import annotations

import json
import re
import unicodedata
from functools import lru_cache
from importlib.resources import files
from typing import Any, Final, NamedTuple

#: What shops write and no standard knows. Channel Islands: Jersey stands for them on the map.
_ALIASES: Final = {
    "eire": "IE",
    "rsa": "ZA",
    "uk": "GB",
    "great britain": "GB",
    "britain": "GB",
    "england": "GB",
    "scotland": "GB",
    "wales": "GB",
    "northern ireland": "GB",
    "uae": "AE",
    "america": "US",
    "usa": "US",
    "us of a": "US",
    "channel islands": "JE",
    "holland": "NL",
    "korea": "KR",
    "macau": "MO",
    "ivory coast": "CI",
    "burma": "MM",
    "cape verde": "CV",
    "swaziland": "SZ",
    "macedonia": "MK",
    "vatican": "VA",
    "palestine": "PS",
    "congo": "CG",
    "reunion": "FR",
    "guadeloupe": "FR",
    "martinique": "FR",
    "deutschland": "DE",
    "espana": "ES",
    "osterreich": "AT",
    "schweiz": "CH",
    "suisse": "CH",
    "italia": "IT",
    "brasil": "BR",
    "nederland": "NL",
    "belgie": "BE",
    "belgique": "BE",
    "turkey": "TR",
    "czech republic": "CZ",
    "viet nam": "VN",
    "hong kong sar": "HK",
}

#: Apostrophes of typographers and keyboards: Côte d’Ivoire.
_APOSTROPHES: Final = str.maketrans(dict.fromkeys("\u2019\u2018\u02bc\u00b4`", "'"))


class Country(NamedTuple):
    """A country: ISO code, English name, where it lies (degrees east, north), outlines (one ring of degrees each)."""

    code: str
    name: str
    at: tuple[float, float]
    shape: list[list[float]]


@lru_cache(maxsize=1)
def world() -> tuple[dict[str, Country], list[list[float]]]:
    """Return all countries by ISO 3166-1 alpha-2 code, and outlines of land that has no code."""
    text = files("offline.chapters.exploration").joinpath("countries.json").read_text(encoding="utf-8")
    table: dict[str, Any] = json.loads(text)
    countries = {
        code: Country(code, entry["names"][0], (entry["at"][0], entry["at"][1]), entry["shape"])
        for code, entry in table["countries"].items()
    }
    return countries, table["other_land"]


@lru_cache(maxsize=1)
def _by_name() -> dict[str, str]:
    text = files("offline.chapters.exploration").joinpath("countries.json").read_text(encoding="utf-8")
    names = {}
    for code, entry in json.loads(text)["countries"].items():
        for name in (code, entry["iso3"], *entry["names"]):
            names[_key(name)] = code
    return names | _ALIASES


def country_code(text: str) -> str | None:
    """Return the ISO code that a text means, None where it means no country ("Unspecified", "European Community").

    Examples
    --------
    >>> [country_code(text) for text in ("EIRE", "de", "United States of America", "Unspecified")]
    ['IE', 'DE', 'US', None]
    """
    return _by_name().get(_key(text))


def _key(text: str) -> str:
    text = text.translate(_APOSTROPHES)
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    words = re.sub(r"[^a-z ]+", " ", plain.replace(".", "")).split()
    return " ".join(word for word in words if word != "the")
