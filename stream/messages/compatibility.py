"""Whether a contract still holds what an earlier one has promised.

Who reads a topic must find every field that was there, of the type it had and with the values it could have. Who writes
one must be allowed all that was allowed. The schemas are those that msgspec makes of types; no others are understood.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

Schema = dict[str, Any]

# Limits, and whether more of each admits more.
_LIMITS: Final = {
    "minimum": False, "exclusiveMinimum": False, "minLength": False, "minItems": False,
    "maximum": True, "exclusiveMaximum": True, "maxLength": True, "maxItems": True,
}  # fmt: skip


def breaks(topic: str, old: Schema, new: Schema, *, written: bool) -> list[str]:
    """Return a sentence for each way in which a topic's new contract breaks the old one.

    Parameters
    ----------
    written
        Whether others write the topic; else they read it.

    Examples
    --------
    >>> old = {"title": "Score", "type": "object", "properties": {"band": {"enum": ["low"]}}}
    >>> new = {"title": "Score", "type": "object", "properties": {"band": {"enum": ["low", "top"]}}}
    >>> breaks("scores", old, new, written=False)
    ["scores.band: readers do not know the value 'top'"]
    >>> breaks("scores", old, new, written=True)
    []
    """
    check = _Check(old.get("$defs", {}), new.get("$defs", {}), written)
    before, after = _messages(old), _messages(new)
    found = [f"{topic}: {name} was removed" for name in before if name not in after]
    for name in before.keys() & after.keys():
        place = topic if len(before) == 1 else f"{topic}.{name}"
        found += check.objects(place, before[name], after[name])
    return found


def _messages(contract: Schema) -> dict[str, Schema]:
    if "anyOf" not in contract:
        return {contract["title"]: contract}
    names = [part["$ref"].rpartition("/")[2] for part in contract["anyOf"]]
    return {name: contract["$defs"][name] for name in names}


class _Check:
    def __init__(self, old: Schema, new: Schema, written: bool) -> None:
        self._old, self._new, self._written = old, new, written

    def objects(self, place: str, old: Schema, new: Schema) -> Iterator[str]:
        """Yield what is broken of an object."""
        before, after = old.get("properties", {}), new.get("properties", {})
        for name in before:
            if name not in after:
                yield f"{place}.{name} was removed"
            else:
                yield from self.values(f"{place}.{name}", before[name], after[name])
        first, then = set(old.get("required", ())), set(new.get("required", ()))
        if self._written:
            for name in sorted(then - first):
                yield f"{place}.{name} is required now, and writers leave it out"
        else:
            for name in sorted((first & after.keys()) - then):
                yield f"{place}.{name} may be absent now, and readers count on it"

    def values(self, place: str, old: Schema, new: Schema) -> Iterator[str]:
        """Yield what is broken of a value, by each of its types."""
        before, after = _by_type(old, self._old), _by_type(new, self._new)
        # What comes in must be admitted by who reads it.
        sent, read = (before, after) if self._written else (after, before)
        for kind, schema in sent.items():
            known = read.get(kind, read.get("number") if kind == "integer" else None)
            if "any" in read:
                continue
            if known is None:
                told = "is no longer read" if self._written else "is new to readers"
                yield f"{place}: the type {kind} {told}"
                continue
            yield from self._limits(place, schema, known)
            if kind == "enum":
                for value in (value for value in schema["enum"] if value not in known["enum"]):
                    yield f"{place}: {'nobody reads' if self._written else 'readers do not know'} the value {value!r}"
            elif kind == "array":
                yield from self.values(
                    f"{place}[]", before[kind].get("items", {}), after[kind].get("items", {})
                )
            elif kind == "object":
                yield from self.objects(place, before[kind], after[kind])

    def _limits(self, place: str, sent: Schema, read: Schema) -> Iterator[str]:
        for name, more_admits_more in _LIMITS.items():
            limit, given = read.get(name), sent.get(name)
            if limit is None:
                continue
            if given is None or (given > limit if more_admits_more else given < limit):
                told = f"{name} is {limit} now, {given} before" if self._written else f"{name} was {limit}"
                yield f"{place}: {told}{'' if self._written else f', and is {given}'}"


def _by_type(schema: Schema, parts: Schema) -> dict[str, Schema]:
    """Return the alternatives of a value by their type; an enumeration is one of its own."""
    if "$ref" in schema:
        return _by_type(parts[schema["$ref"].rpartition("/")[2]], parts)
    if "anyOf" in schema:
        return {kind: own for part in schema["anyOf"] for kind, own in _by_type(part, parts).items()}
    if "enum" in schema:
        return {"enum": schema}
    return {str(schema.get("type", "any")): schema}
