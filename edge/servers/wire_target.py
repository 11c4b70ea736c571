"""The target of a request line, in each form that RFC 9112 allows."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import unquote

_NOT_ASCII: Final = re.compile(rb"[\x80-\xff]")


def split_target(target: bytes) -> tuple[str, str, str]:
    """Give path (percent-decoded), query (raw) and host of a request target; "" for what it has not.

    Origin form (`/path?query`), absolute form (`http://host/path?query`), and the forms without a
    path, `*` and `host:port`, which stand for themselves.
    """
    text, host = target.decode(errors="replace"), ""
    if not text.startswith("/"):
        _scheme, separator, rest = text.partition("://")
        if separator:
            slash, mark = rest.find("/"), rest.find("?")
            end = min((position for position in (slash, mark) if position >= 0), default=len(rest))
            host, text = rest[:end].rpartition("@")[2], rest[end:]
            if not text.startswith("/"):
                text = "/" + text
    path, _mark, query = text.partition("?")
    return (unquote(path) if "%" in path else path), query, host


def escape_text(line: bytes) -> bytes:
    """Percent-encode the bytes that are not ASCII: RFC 3986 has none in a target, some clients do."""
    return _NOT_ASCII.sub(lambda match: b"%%%02X" % match[0][0], line)
