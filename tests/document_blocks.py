"""Code blocks of README and docs, and what a block of bash is made of."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Final, NamedTuple

ROOT: Final = Path(__file__).parent.parent

#: What becomes of a block: these two are run, JSON is parsed, text is compared with what the block before it printed.
LANGUAGES: Final = ("bash", "python", "json", "text", "yaml")

# Behind an option or a redirection; a shelf; the keys of the service.
_OUTPUT: Final = re.compile(
    r"(?:\s(?:-o|--output|--file|>)\s+|^intent bundle add |^export INTENT_SERVE_KEYS=)([\w./-]+)"
)
_FENCE: Final = re.compile(r"^( *)(```+|~~~+) *(.*)$")


class Block(NamedTuple):
    """A fenced block: where its first line stands, its language and what it holds."""

    path: Path
    line: int
    language: str
    text: str

    @property
    def place(self) -> str:
        """``file:line``, for people."""
        return f"{self.path.relative_to(ROOT) if self.path.is_relative_to(ROOT) else self.path}:{self.line}"


class Command(NamedTuple):
    """One command of a block of bash; continued lines are joined."""

    text: str

    @property
    def words(self) -> list[str]:
        """Its words; settings in front of it, and what stands behind a pipe, a redirection or a comment, left out."""
        lexer = shlex.shlex(self.text, posix=True, punctuation_chars="|<>&;")
        lexer.whitespace_split = True
        words = []
        for word in lexer:
            if set(word) <= set("|<>&;"):
                break
            words.append(word)
        while words and re.match(r"[A-Z_]+=", words[0]):
            words.pop(0)
        return words

    @property
    def outputs(self) -> list[str]:
        """The files and folders that it makes by name."""
        return _OUTPUT.findall(self.text)


def documents() -> list[Path]:
    """Return README and docs, in the order in which a reader goes through them."""
    return [ROOT / "README.md", *(ROOT / "docs" / name for name in _reading_order())]


def _reading_order() -> list[str]:
    """Return the pages as the site's navigation lists them, then all others."""
    docs = ROOT / "docs"
    listed = re.findall(r"^ +- .*?([\w/.-]+\.md)$", (ROOT / ".mkdocs.yml").read_text(), re.MULTILINE)
    found = {str(path.relative_to(docs)) for path in docs.rglob("*.md")}
    return [*(name for name in listed if name in found), *sorted(found - set(listed))]


def blocks(path: Path) -> list[Block]:
    """Return the fenced blocks of a document.

    Raises
    ------
    ValueError
        A block has no end.
    """
    found: list[Block] = []
    fence, begin, language, indent, held = "", 0, "", 0, list[str]()
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        match = _FENCE.match(line)
        if not fence and match:
            indent, fence, begin, held = len(match[1]), match[2], number + 1, []
            language = match[3].split(" ")[0]
        elif fence and line.strip() == fence:
            found.append(Block(path, begin, language, "\n".join(held) + "\n"))
            fence = ""
        elif fence:
            held.append(line[indent:])
    if fence:
        raise ValueError(f"{path}:{begin}: the block has no end")
    return found


def commands(text: str) -> list[Command]:
    """Return the commands of a block of bash: one a line, but for lines that end in a backslash or within quotes."""
    found, held = [], ""
    for line in re.sub(r"\\\n *", "", text).splitlines():
        if not held and (not line.strip() or line.lstrip().startswith("#")):
            continue
        held += line if not held else f"\n{line}"
        if _quotes_end(held):
            found.append(Command(held.strip()))
            held = ""
    if held:
        raise ValueError(f"a quotation has no end: {held!r}")
    return found


def _quotes_end(text: str) -> bool:
    try:
        shlex.split(text, comments=True)
    except ValueError:
        return False
    return True


def spoken_commands(path: Path) -> list[Command]:
    """Return the commands ``intent ...`` that stand between the lines, as inline code."""
    whole = path.read_text(encoding="utf-8")
    between = re.sub(r"^( *)(```+|~~~+).*?^\1\2$", "", whole, flags=re.MULTILINE | re.DOTALL)
    codes = re.findall(r"`([^`\n]+)`", between)
    return [Command(code) for code in codes if re.match(r"([A-Z_]+=\S+ )*intent [a-z]", code)]
