"""The tag that pages include, read once and served from memory."""

from __future__ import annotations

import gzip
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Final

from edge.request import EdgeResponse

if TYPE_CHECKING:
    from edge.request import EdgeRequest

TAG_FILE: Final = Path(__file__).parent.parent / "tag" / "tag.js"
_MISSING: Final = EdgeResponse(
    404, [("content-type", "text/plain; charset=utf-8"), ("cache-control", "no-store")], b"There is no tag.\n"
)


class Tag:
    """A script as it is served, plain and compressed. `path`: where it is; it need not be there."""

    def __init__(self, path: Path = TAG_FILE) -> None:
        self._plain = self._packed = None
        if path.exists():
            script = path.read_bytes()
            self._plain = _prepare(script, "")
            self._packed = _prepare(script, "gzip")

    def answer(self, request: EdgeRequest) -> EdgeResponse:
        """Answer GET and HEAD."""
        headers = request.headers
        packed = accepts_gzip(headers.get("accept-encoding") or "")
        response = self._packed if packed else self._plain
        if response is None:
            return _MISSING
        etag = response.headers[0][1]
        known = [tag.strip().removeprefix("W/") for tag in (headers.get("if-none-match") or "").split(",")]
        if etag in known or "*" in known:
            return EdgeResponse(304, [header for header in response.headers if header[0] in _KEPT])
        return response


_KEPT: Final = ("etag", "cache-control", "vary", "access-control-allow-origin")


def accepts_gzip(header: str) -> bool:
    """Tell whether a client takes gzip, by its Accept-Encoding."""
    for coding in header.lower().split(","):
        name, _semicolon, weight = coding.partition(";")
        if name.strip() in ("gzip", "*"):
            try:
                return float(weight.partition("=")[2] or 1) > 0
            except ValueError:
                return False
    return False


def _prepare(script: bytes, coding: str) -> EdgeResponse:
    digest = hashlib.sha256(script).hexdigest()[:16]
    headers = [
        ("etag", f'"{digest}-{coding}"' if coding else f'"{digest}"'),
        ("content-type", "text/javascript; charset=utf-8"),
        ("cache-control", "public, max-age=3600"),
        ("vary", "accept-encoding"),
        ("access-control-allow-origin", "*"),
        ("cross-origin-resource-policy", "cross-origin"),
    ]
    if not coding:
        return EdgeResponse(200, headers, script)
    return EdgeResponse(200, [*headers, ("content-encoding", coding)], gzip.compress(script, 9, mtime=0))
