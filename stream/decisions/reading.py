"""Reading YAML strictly: plain values, and the line on which each of them stands.

A subset of YAML 1.2: no anchors, no tags, no repeated keys, and only true and false are booleans, so that ``21:00`` and
``no`` are the texts that they look like.
"""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any, Final, NoReturn, TypeAlias

import yaml

from stream.exceptions import PolicyError
from stream.texts import shortened

#: Where a value stands: keys and positions from the top.
Place: TypeAlias = tuple[str | int, ...]

_INTEGER: Final = re.compile(r"[-+]?[0-9]{1,18}")
_FLOAT: Final = re.compile(r"[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))(?:[eE][-+]?[0-9]+)?")
_WORDS: Final = {"true": True, "false": False, "null": None, "~": None, "": None}
_LARGEST: Final = 1_000_000  # bytes; the longest policy is some kilobytes


class Document:
    """A YAML file as plain values.

    Attributes
    ----------
    value
        What it holds: mappings, lists, texts, numbers, booleans and ``None``.
    """

    def __init__(self, text: str, name: str) -> None:
        self.name = name
        self.value: Any = None
        self._lines: dict[Place, int] = {}
        try:
            node = yaml.compose(text, Loader=_Loader)
            self.value = None if node is None else self._plain(node, ())
        except yaml.MarkedYAMLError as error:
            line, column, sentence = _told(error)
            raise PolicyError(f"{name}, line {line}, column {column}: {sentence}") from None
        except yaml.reader.ReaderError as error:
            before = text[: error.position]
            line, column = before.count("\n") + 1, error.position - before.rfind("\n")
            raise PolicyError(
                f"{name}, line {line}, column {column}: a character that cannot be shown; leave it out"
            ) from None
        except RecursionError:
            raise PolicyError(f"{name}: brackets or lists stand too deep in each other; use fewer") from None

    def fail(self, place: Place, sentence: str) -> NoReturn:
        """Raise the error for the value at a place."""
        raise PolicyError(f"{self.name}, {self.where(place)}: {sentence}")

    def where(self, place: Place) -> str:
        """Return the line of a place, or of the nearest one around it, and its path."""
        known = next(
            (self._lines[place[:end]] for end in range(len(place), -1, -1) if place[:end] in self._lines), 1
        )
        return f"line {known}" + (f" ({path_text(place, self.value)})" if place else "")

    def _plain(self, node: yaml.Node, place: Place) -> Any:
        self._lines[place] = node.start_mark.line + 1
        if not node.tag.startswith("tag:yaml.org,2002:") or node.tag.rpartition(":")[2] not in _TAGS:
            self.fail(place, f"the tag {node.tag!r} is not read here; leave it out")
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, place)
        if isinstance(node, yaml.SequenceNode):
            return [self._plain(one, (*place, at)) for at, one in enumerate(node.value)]
        return _scalar(node.value) if node.style is None else str(node.value)

    def _mapping(self, node: yaml.MappingNode, place: Place) -> dict[str, Any]:
        plain: dict[str, Any] = {}
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                self.fail(place, "a key is no word; write `name: value`")
            if key.value in plain:
                line = key.start_mark.line + 1
                raise PolicyError(f"{self.name}, line {line}: {key.value!r} stands twice; keep one of them")
            plain[key.value] = self._plain(value, (*place, key.value))
            self._lines[*place, key.value] = key.start_mark.line + 1
        return plain


# Words of the YAML library's sentences, and what people did who meet them. The first that is found is told.
_FAULTS: Final = (
    ("'\\t' that cannot start", "there is a tab; indent with spaces"),
    ("'>' that cannot start", "a value begins with >; write `at least 20` or `more than 20`"),
    (
        "chomping or indentation indicators",
        "a value begins with > or |; write `at least 20` or `more than 20`",
    ),
    (
        "that cannot start any token",
        "a value begins with a sign that YAML keeps for itself; put it into quotes",
    ),
    ("aliases (*)", "aliases (*) are not read here; write the values out"),
    ("expected alphabetic or numeric character", "a value begins with * or &; put it into quotes"),
    ("undefined tag handle", "a value begins with !; put it into quotes"),
    ("could not find expected ':'", "a colon is missing; write `name: value`"),
    (
        "mapping values are not allowed here",
        "there is a colon too many; the line is probably indented too far, or the line before it lacks a colon; "
        "a text with a colon stands in quotes",
    ),
    (
        "expected <block end>",
        "this does not belong to what stands above; indent it exactly as its neighbours, list entries with `- `",
    ),
    ("but found another document", "`---` begins a second file; leave it out"),
    ("unexpected end of stream", "a quote is opened and never closed; add the second one"),
    ("unexpected document separator", "a quote is opened and never closed; add the second one"),
    ("unknown escape character", "a backslash in double quotes means something to YAML; use single quotes"),
    ("escape sequence", "a backslash in double quotes means something to YAML; use single quotes"),
    (
        "expected ',' or",
        "a bracket opens here, and is not closed or lacks a comma; look at what stands in it",
    ),
    (
        "expected the node content",
        "a value is missing here, or a bracket is not closed; look at what stands before",
    ),
    (
        "sequence entries are not allowed here",
        "a list begins on the line of its name; begin it on the next line",
    ),
    (
        "expected '<document start>'",
        "this does not belong to what stands above; write `name: value` lines alone",
    ),
)


# Of these the library names the place where a search ended, and not where what it belongs to began.
_SEARCHED: Final = ("could not find expected ':'", "unexpected end of stream", "expected ',' or")


def _told(error: yaml.MarkedYAMLError) -> tuple[int, int, str]:
    """Return where a text is no YAML, counted from 1, and in a sentence what is probably wrong there."""
    problem = str(error.problem or error.context)
    mark = error.problem_mark or error.context_mark
    if error.context_mark is not None and any(words in problem for words in _SEARCHED):
        mark = error.context_mark
    line, column = (1, 1) if mark is None else (mark.line + 1, mark.column + 1)
    sentence = next(
        (said for words, said in _FAULTS if words in problem), "this is no YAML; look at the signs around it"
    )
    return line, column, sentence


def read_document(path: Path) -> Document:
    """Return what a YAML file holds.

    Raises
    ------
    PolicyError
        It cannot be read, or is not the YAML that is read here.
    """
    return Document(read_text(path), str(path))


def read_text(path: Path) -> str:
    """Return the text of a policy file.

    Raises
    ------
    PolicyError
        It cannot be read.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(_LARGEST + 1)
    except OSError as error:
        raise PolicyError(f"{path} cannot be read: {error.strerror or error}; name a policy file") from None
    if len(raw) > _LARGEST:
        raise PolicyError(f"{path} has more than {_LARGEST:,} bytes; name a policy file")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise PolicyError(f"{path}, line {line}: this is not UTF-8; save the file as UTF-8") from None


def path_text(place: Place, value: Any = None) -> str:
    """Return a place as text.

    Entries of lists are counted from 1, and named as far as they have a name or an action.

    Parameters
    ----------
    value
        What the file holds.

    Examples
    --------
    >>> path_text(("rules", 1, "when", "band"))
    'rule 2, when.band'
    >>> path_text(("rules", 0), {"rules": [{"name": "cart left", "action": "remind"}]})
    "rule 1 'cart left'"
    >>> path_text(("actions", "remind", "caps", 0))
    'actions.remind, cap 1'
    """
    parts: list[str] = []
    keys: list[str] = []
    for step in place:
        value = _inside(value, step)
        if isinstance(step, str):
            keys.append(step)
            continue
        entry = keys.pop() if keys else "entries"
        parts += [".".join(keys)] if keys else []
        parts.append(f"{_ENTRIES.get(entry, f'{entry}, entry')} {step + 1}{_called(value)}")
        keys = []
    return ", ".join([*parts, ".".join(keys)] if keys else parts)


# What an entry of these lists is called.
_ENTRIES: Final = {"rules": "rule", "caps": "cap", "weekdays": "weekday", "bots": "bot rule"}
_LONGEST_NAME: Final = 40


def _called(entry: Any) -> str:
    """Return the name of an entry, or else its action, as it stands behind its number."""
    if not isinstance(entry, dict):
        return ""
    name = entry.get("name") or entry.get("action")
    return f" {shortened(name, _LONGEST_NAME)!r}" if isinstance(name, str) else ""


def _inside(value: Any, step: str | int) -> Any:
    try:
        return value[step]
    except (KeyError, IndexError, TypeError):
        return None


#: What a rule or an action may be called, and the sentence for what may not.
NAME: Final = re.compile(r"\w[\w. -]{0,63}")
A_NAME: Final = "use up to 64 letters, digits, spaces, dots and hyphens"

_TAGS: Final = ("str", "map", "seq")


class _Loader(yaml.BaseLoader):
    """Takes no aliases: a few lines of them may stand for gigabytes."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            event = self.peek_event()
            raise yaml.composer.ComposerError(None, None, "aliases (*) are not read here", event.start_mark)
        return super().compose_node(parent, index)


def _scalar(text: str) -> Any:
    """Return what a text without quotes means."""
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.fullmatch(text):
        return int(text)
    if _FLOAT.fullmatch(text) and math.isfinite(number := float(text)):
        return number
    return text
