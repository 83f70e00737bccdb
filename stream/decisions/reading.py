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
        self._lines: dict[Place, int] = {}
        try:
            node = yaml.compose(text, Loader=_Loader)
            self.value: Any = None if node is None else self._plain(node, ())
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            where = "" if mark is None else f", line {mark.line + 1}"
            problem = str(error.problem or error.context)
            raise PolicyError(f"{name}{where}: {problem}; {_remedy(problem)}") from None
        except (yaml.YAMLError, RecursionError) as error:
            detail = " ".join(str(error).split())
            raise PolicyError(f"{name}: {detail}; this is no YAML that is read here") from None

    def fail(self, place: Place, sentence: str) -> NoReturn:
        """Raise the error for the value at a place."""
        raise PolicyError(f"{self.name}, {self.where(place)}: {sentence}")

    def where(self, place: Place) -> str:
        """Return the line of a place, or of the nearest one around it, and its path."""
        known = next(
            (self._lines[place[:end]] for end in range(len(place), -1, -1) if place[:end] in self._lines), 1
        )
        return f"line {known}" + (f" ({path_text(place)})" if place else "")

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


def _remedy(problem: str) -> str:
    """Return what to do about a fault that people make often."""
    if "'\\t'" in problem:
        return "indent with spaces, not with tabs"
    if "'>'" in problem or "'<'" in problem:
        return "write `at least 20` or `less than 20`"
    return "this is no YAML"


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


def path_text(place: Place) -> str:
    """Return a place as text.

    Examples
    --------
    >>> path_text(("rules", 2, "when", "band"))
    'rules[2].when.band'
    """
    parts = [f"[{part}]" if isinstance(part, int) else f".{part}" for part in place]
    return "".join(parts).removeprefix(".")


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
