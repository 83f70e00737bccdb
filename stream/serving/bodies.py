"""Bodies and parameters of requests: which are taken, and how bodies become messages."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final, TypeVar

import msgspec
from starlette.requests import ClientDisconnect, Request

from features.decoding import Undecodable, decoded
from stream.serving import problems
from stream.serving.answers import MOST

JSON: Final = "application/json"
LINES: Final = "application/x-ndjson"

_array: Final = msgspec.json.Decoder(list[msgspec.Raw]).decode
_any: Final = msgspec.json.Decoder(msgspec.Raw).decode

Body = TypeVar("Body")


async def body_of(request: Request, *media_types: str) -> bytes:
    """Return the body of a request.

    Raises
    ------
    WrongContentType
        It is of another media type.
    """
    said = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if said not in media_types:
        raise problems.WrongContentType(
            f"the content type is {said[:100] or 'missing'!r}: use {' or '.join(media_types)}"
        )
    try:
        return await request.body()
    except ClientDisconnect:
        raise problems.BadRequest("the body ended too early") from None


async def question_of(request: Request, decoder: msgspec.json.Decoder[Body]) -> Body:
    """Return what a JSON body asks.

    Raises
    ------
    Unprocessable
        It is JSON, but not the question that it should be.
    BadRequest
        It is no JSON.
    """
    raw = await body_of(request, JSON)
    try:
        return decoded(decoder.decode, raw)
    except Undecodable as error:
        if isinstance(error.__context__, msgspec.ValidationError):
            raise problems.Unprocessable(f"the body: {error}") from None
        raise problems.BadRequest(f"the body is no JSON: {error}") from None


async def messages_of(request: Request) -> list[bytes]:
    """Return the messages of a body: one JSON object, an array of them, or a line for each.

    Raises
    ------
    BadRequest
        It is no JSON.
    Unprocessable
        There are too many of them, or none.
    """
    raw = await body_of(request, JSON, LINES)
    if request.headers["content-type"].lower().startswith(LINES):
        found = [line for line in raw.split(b"\n") if line.strip()]
    else:
        try:
            if raw.lstrip()[:1] == b"[":
                found = [bytes(one) for one in decoded(_array, raw)]
            else:
                found = [bytes(decoded(_any, raw))]
        except Undecodable as error:
            raise problems.BadRequest(f"the body is no JSON: {error}") from None
    if not 0 < len(found) <= MOST:
        raise problems.Unprocessable(f"the body holds {len(found):,} messages: send 1 to {MOST:,}")
    return found


def check_parameters(request: Request, known: Collection[str]) -> None:
    """Refuse a parameter that is not there: without a filter that was misspelt, an answer would hold too much.

    Raises
    ------
    Unprocessable
        There is one.
    """
    for name in request.query_params:
        if name not in known:
            use = f"use {', '.join(known)}" if known else "this path takes none"
            raise problems.Unprocessable(f"there is no parameter {name[:100]!r}: {use}")


def flag_of(request: Request, name: str, default: bool) -> bool:
    """Return a parameter that is ``true`` or ``false``.

    Raises
    ------
    Unprocessable
        It is something else.
    """
    said = parameter_of(request, name)
    if said not in (None, "true", "false"):
        raise problems.Unprocessable(f"{name} is {said[:100]!r}: use true or false")
    return default if said is None else said == "true"


def parameter_of(request: Request, name: str) -> str | None:
    """Return a parameter that may be there once.

    Raises
    ------
    Unprocessable
        It is there several times.
    """
    found: list[Any] = request.query_params.getlist(name)
    if len(found) > 1:
        raise problems.Unprocessable(f"{name} is given {len(found)} times: give it once")
    return str(found[0]) if found else None
