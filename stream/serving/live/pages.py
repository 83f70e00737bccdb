"""The files of the live page, as they are sent: nothing but what is in the folder, and nothing from elsewhere."""

from __future__ import annotations

from hashlib import sha256
from importlib.resources import files
from typing import Final, NamedTuple

from starlette.responses import Response

from stream.serving import problems

_TYPES: Final = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}
_INDEX: Final = "index.html"
_HEADERS: Final = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "cache-control": "no-cache",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}


class _File(NamedTuple):
    content: bytes
    media_type: str
    etag: str


def _read() -> dict[str, _File]:
    found = {}
    for one in files("stream.serving.page").iterdir():
        media_type = _TYPES.get(one.name.rpartition(".")[2])
        if media_type is not None:
            content = one.read_bytes()
            path = "/" if one.name == _INDEX else f"/static/{one.name}"
            found[path] = _File(content, media_type, f'"{sha256(content).hexdigest()[:32]}"')
    return found


#: Every path that is part of the page: nobody needs a key for them, since they hold nothing of the shop.
PATHS: Final = frozenset(_read())


class Pages:
    """Sends the files."""

    def __init__(self) -> None:
        self._files = _read()

    @property
    def paths(self) -> list[str]:
        """The paths that there are."""
        return sorted(self._files)

    def answer(self, path: str, known: str | None) -> Response:
        """Return a file, or 304 where the browser has it already.

        Parameters
        ----------
        known
            The header If-None-Match.
        """
        if path not in self._files:
            raise problems.NotFound("there is no such file: see /")
        content, media_type, etag = self._files[path]
        headers = {**_HEADERS, "etag": etag}
        if known is not None and etag in known:
            return Response(status_code=304, headers=headers)
        return Response(content, media_type=media_type, headers=headers)
