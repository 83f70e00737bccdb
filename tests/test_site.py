"""The site of the documents: built without a warning, and it asks nothing of any other server."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import pytest

from tests.document_blocks import ROOT

pytestmark = pytest.mark.skipif(
    find_spec("mkdocs") is None or find_spec("material") is None,
    reason="mkdocs is not installed (group docs)",
)

#: What the theme's script could load, and what a page must not have so that it never does.
ONLY_WITH: Final = {
    "https://unpkg.com/mermaid@": r'class="[^"]*mermaid',
    "https://api.github.com/": r'data-md-component="source"',
    "https://${": r'data-md-component="source"',  # GitLab, whose address the repository names
    # Browsers of before 2020, which cannot notice that an element changes its size.
    "https://unpkg.com/resize-observer-polyfill": None,
    # Named in a message to programmers.
    "https://bit.ly/2s3ChXG": None,
}

_OUTSIDE: Final = re.compile(r"^(https?:)?//")
_COMMENT: Final = re.compile(r"/\*.*?\*/|^\s*//.*?$", re.DOTALL | re.MULTILINE)
_SECONDS: Final = 240.0


class Loaded(HTMLParser):
    """What a browser loads by itself to show a page; links that people follow are not among it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self._within = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._within = tag
        for name, value in attrs:
            navigates = tag in ("a", "area") or (
                tag == "link" and dict(attrs).get("rel") in ("next", "prev", "canonical")
            )
            if name in ("src", "srcset", "poster", "data", "action") or (name == "href" and not navigates):
                self.found += (value or "").replace(",", " ").split()
            elif name == "style":
                self.found += addresses_of_css(value or "")

    def handle_endtag(self, tag: str) -> None:
        self._within = ""

    def handle_data(self, data: str) -> None:
        if self._within == "style":
            self.found += addresses_of_css(data)
        elif self._within == "script":
            self.found += re.findall(r"""["'`](https?://[^"'`]+)""", data)


def addresses_of_css(text: str) -> list[str]:
    plain = _COMMENT.sub("", text)
    return [a or b for a, b in re.findall(r"""url\(\s*["']?([^"')]+)|@import\s+["']([^"']+)""", plain)]


def outside(found: list[str]) -> list[str]:
    return [address for address in found if _OUTSIDE.match(address)]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--config-file", ROOT / ".mkdocs.yml"]
    done = subprocess.run(
        [*command, "--site-dir", folder], cwd=ROOT,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1", "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, timeout=_SECONDS, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
    return folder


def test_no_page_loads_anything_from_another_server(site: Path) -> None:
    pages = list(site.rglob("*.html"))
    assert len(pages) > 10
    for page in pages:
        loaded = Loaded(page.read_text()).found
        assert loaded, page
        assert not outside(loaded), page


def test_no_style_or_picture_loads_anything_from_another_server(site: Path) -> None:
    styles = list(site.rglob("*.css"))
    assert styles
    for style in styles:
        assert not outside(addresses_of_css(style.read_text())), style
    for picture in site.rglob("*.svg"):
        assert not re.search(r"""(href|src)=["'](https?:)?//|url\(["']?https?:""", picture.read_text()), (
            picture
        )


def test_the_scripts_know_no_other_server_that_a_page_could_make_them_ask(site: Path) -> None:
    pages = "\n".join(page.read_text() for page in site.rglob("*.html"))
    # Without lunr/, word stems of languages that the search of an English site does not load.
    scripts = [script for script in site.rglob("*.js") if "lunr" not in script.parts]
    assert len(scripts) >= 2
    for script in scripts:
        for address in re.findall(r"""https?://[^"'`\s)\\]+""", _COMMENT.sub("", script.read_text())):
            trigger = [t for known, t in ONLY_WITH.items() if address.startswith(known)]
            assert trigger, f"{script.name} may load {address}"
            assert trigger[0] is None or not re.search(trigger[0], pages), address


def test_the_site_has_the_contract_the_search_and_the_reference(site: Path) -> None:
    assert (site / "asyncapi.json").is_file()
    assert "purchase_intent" in (site / "search" / "search_index.json").read_text()
    reference = (site / "reference" / "stream.html").read_text()
    for name in (
        "EventEmitter",
        "ScoreWatcher",
        "ScoreWatcher.stop",
        "ActionWatcher.stop",
        "load_settings",
        "expires_at",
    ):
        assert name in reference


def test_a_request_to_another_server_would_be_noticed() -> None:
    page = """<link rel="stylesheet" href="https://fonts.example/css"><script src="//cdn.example/a.js"></script>
        <style>@import "https://a.example/b.css"; p { background: url(https://c.example/d.png) }</style>
        <script>fetch("https://e.example/f")</script><a href="https://doi.org/1">1</a><img src="overview.svg">"""
    found = outside(Loaded(page).found)
    assert [re.sub(r"^(https?:)?//|[./].*", "", address) for address in found] == [
        "fonts",
        "cdn",
        "a",
        "c",
        "e",
    ]
