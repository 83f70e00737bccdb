"""Errors as the client gets them: problem+json (RFC 9457), one class per kind.

::

    Problem
    ├── BadRequest 400          the request cannot be read
    ├── Unauthorized 401        no key, or one that is not known
    ├── Forbidden 403           the key may not do that
    ├── NotFound 404            there is no such thing
    ├── BodyTooLarge 413        the body is over the limit
    ├── WrongContentType 415    the body is in no form that is taken
    ├── Unprocessable 422       the request can be read, but makes no sense
    ├── TooManyRequests 429     the key's rate is used up
    ├── Failed 500              a fault of this program
    └── Unavailable 503         Kafka or Redis does not answer, or the service is busy or ends
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import msgspec
from starlette.responses import Response

MEDIA_TYPE = "application/problem+json"


class Problem(Exception):
    """An error that the client is told.

    Parameters
    ----------
    detail
        What was wrong, with which value, and what to do.
    headers
        Of the answer.
    more
        Further members of the JSON object.
    """

    status: ClassVar[int] = 500
    title: ClassVar[str] = "The service failed"

    def __init__(self, detail: str, headers: Mapping[str, str] | None = None, **more: Any) -> None:
        super().__init__(detail)
        self.detail = detail
        self.headers = dict(headers or {})
        self.more = more

    def response(self) -> Response:
        """Return the answer."""
        body = {"type": "about:blank", "title": self.title, "status": self.status, "detail": self.detail}
        return Response(msgspec.json.encode(body | self.more), self.status, self.headers, MEDIA_TYPE)


class BadRequest(Problem):
    """The request cannot be read."""

    status, title = 400, "The request cannot be read"


class Unauthorized(Problem):
    """There is no key, or one that is not known."""

    status, title = 401, "A key is needed"

    def __init__(self, detail: str) -> None:
        super().__init__(detail, {"WWW-Authenticate": "Bearer"})


class Forbidden(Problem):
    """The key may not do that."""

    status, title = 403, "The key may not do that"


class NotFound(Problem):
    """There is no such thing."""

    status, title = 404, "There is no such thing"


class NotAllowed(Problem):
    """The method is none of this path."""

    status, title = 405, "The method is none of this path"


class BodyTooLarge(Problem):
    """The body is over the limit."""

    status, title = 413, "The body is too large"


class WrongContentType(Problem):
    """The body is in no form that is taken."""

    status, title = 415, "The body is in no form that is taken"


class Unprocessable(Problem):
    """The request can be read, but makes no sense."""

    status, title = 422, "The request makes no sense"


class TooManyRequests(Problem):
    """The key's rate is used up."""

    status, title = 429, "Too many requests"

    def __init__(self, detail: str, seconds: int) -> None:
        super().__init__(detail, {"Retry-After": str(seconds)})


class Failed(Problem):
    """A fault of this program."""


class Unavailable(Problem):
    """Kafka or Redis does not answer, or the service is busy or ends."""

    status, title = 503, "Not available at this moment"

    def __init__(self, detail: str, seconds: int = 1) -> None:
        super().__init__(detail, {"Retry-After": str(seconds)})
