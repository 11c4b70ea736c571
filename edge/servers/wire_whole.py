"""Reads requests that arrive whole, in one piece of bytes, as nearly all requests for a link do.

llhttp decides here too what a request is, but it is asked once and calls back once: target and
headers are then taken from bytes that it has found to be in order. What is not plain (another method,
a body, two requests at once, a part of one, bytes that are not ASCII, an end of the connection) is left
to wire_reader.py, which sees the same bytes from their beginning.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import unquote

import httptools

from edge.request import EdgeRequest

_END: Final = b"\r\n\r\n"


class RawHeaders:
    """Headers of a request, looked up in its bytes when they are asked for."""

    __slots__ = ("_lower", "_text")

    def __init__(self, text: str, lower: str) -> None:
        self._text = text
        self._lower = lower

    def get(self, key: str, default: None = None, /) -> str | None:
        """Give the first value of a header, or None."""
        mark = _marks[key]
        lower = self._lower
        if mark not in lower:  # faster than find() for what is mostly absent
            return default
        start = lower.find(mark) + len(mark)
        return self._text[start : lower.find("\r", start)].strip(" \t")

    def get_all(self, key: str, /) -> list[str]:
        """Give every value of a header, in the order in which they came."""
        mark, values = _marks[key], []
        start = self._lower.find(mark)
        while start >= 0:
            start += len(mark)
            end = self._lower.find("\r", start)
            values.append(self._text[start:end].strip(" \t"))
            start = self._lower.find(mark, end)
        return values


class _Marks(dict[str, str]):
    """What a header line begins with, by its lower-case name; only names that our code asks for."""

    def __missing__(self, key: str) -> str:
        mark = self[key] = f"\r\n{key}:"
        return mark


_marks = _Marks()


class WholeReader:
    """One for all connections of a worker: between two calls it remembers nothing.

    `most_bytes`: longer requests are left to the other reader, which holds them against the limits.
    """

    def __init__(self, most_bytes: int) -> None:
        self.most_bytes = most_bytes
        self._has_ended = self._is_kept = False
        self._parser = httptools.HttpRequestParser(self)

    def on_message_complete(self) -> None:
        """Note the end of a request, and whether another may follow on its connection."""
        self._has_ended = True
        self._is_kept = self._parser.should_keep_alive()

    def read(self, data: bytes, peer: str) -> EdgeRequest | None:
        """Give the request that `data`, the beginning of a request, is; None when it is not plain."""
        if (
            len(data) > self.most_bytes
            or not data.startswith(b"GET /")
            or data.find(_END) != len(data) - len(_END)
            or not data.isascii()
        ):
            return None
        text = data.decode()
        lower = text.lower()
        end = text.find(" ", len("GET /"))
        if (
            not text.startswith(" HTTP/1.1\r\n", end)
            or lower.count("\r\nhost:") != 1
            or "\r\nexpect:" in lower
            or not self._is_in_order(data)
        ):
            return None
        path, _mark, query = text[4:end].partition("?")
        if "%" in path:
            path = unquote(path)
        return EdgeRequest("GET", path, query, "http", peer, RawHeaders(text, lower))

    def _is_in_order(self, data: bytes) -> bool:
        """Tell whether `data` is one whole request, after which the connection goes on."""
        self._has_ended = False
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._has_ended = False
        if self._has_ended and self._is_kept:
            return True
        self._parser = httptools.HttpRequestParser(self)  # the old one waits for a rest, or for nothing more
        return False
