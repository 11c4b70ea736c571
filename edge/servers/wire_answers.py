"""Answers as bytes, and the answers of the server itself to what is no request for the handler."""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

from edge.request import MOST_BODY_BYTES, EdgeResponse

CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"

KEEP: Final = ""
"""HTTP/1.1 keeps a connection without saying so."""
KEEP_OLD: Final = "connection: keep-alive\r\n"
CLOSE: Final = "connection: close\r\n"

_STATUS_LINES: Final = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n" for status in HTTPStatus}
_TEXT: Final = ("content-type", "text/plain; charset=utf-8")


def _refuse(status: HTTPStatus, sentence: str) -> EdgeResponse:
    return EdgeResponse(status.value, [_TEXT], f"{sentence}\n".encode())


BAD_REQUEST: Final = _refuse(HTTPStatus.BAD_REQUEST, "This is not an HTTP/1.1 request.")
NO_HOST: Final = _refuse(HTTPStatus.BAD_REQUEST, "A request has exactly one Host header.")
OLD_AND_CHUNKED: Final = _refuse(HTTPStatus.BAD_REQUEST, "HTTP/1.0 has no Transfer-Encoding.")
TOO_SLOW: Final = _refuse(HTTPStatus.REQUEST_TIMEOUT, "The request took too long to arrive.")
BODY_TOO_LARGE: Final = _refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "The body is too large.")
KEPT_BODY_TOO_LARGE: Final = _refuse(
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"The body is larger than {MOST_BODY_BYTES} bytes."
)
LENGTH_REQUIRED: Final = _refuse(
    HTTPStatus.LENGTH_REQUIRED, "A body that is not JSON needs a Content-Length: else its end is not known."
)
NO_ROOM: Final = _refuse(HTTPStatus.SERVICE_UNAVAILABLE, "Too many bodies are on their way.")
TARGET_TOO_LONG: Final = _refuse(HTTPStatus.REQUEST_URI_TOO_LONG, "The request target is too long.")
EXPECTATION_FAILED: Final = _refuse(HTTPStatus.EXPECTATION_FAILED, "Only 100-continue can be expected.")
HEADER_TOO_LARGE: Final = _refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "The header is too large.")
BROKEN: Final = _refuse(HTTPStatus.INTERNAL_SERVER_ERROR, "Something went wrong here.")
UNKNOWN_METHOD: Final = _refuse(HTTPStatus.NOT_IMPLEMENTED, "This method is not known here.")
UNKNOWN_CODING: Final = _refuse(HTTPStatus.NOT_IMPLEMENTED, "The only transfer coding here is chunked.")
WRONG_VERSION: Final = _refuse(HTTPStatus.HTTP_VERSION_NOT_SUPPORTED, "This server speaks HTTP/1.1 and 1.0.")


class RefusedError(Exception):
    """A request that is none, or went past a limit. `response`: the answer that says so."""

    def __init__(self, response: EdgeResponse) -> None:
        self.response = response


def render(response: EdgeResponse, is_head: bool, date_line: str, ending: str) -> bytes:
    """Give the bytes of an answer. `ending`: KEEP, KEEP_OLD or CLOSE."""
    head = _STATUS_LINES[response.status]
    for name, value in response.headers:
        head += f"{name}: {value}\r\n"
    head += f"{date_line}{ending}content-length: {len(response.body)}\r\n\r\n"
    raw = head.encode("utf-8", "replace")
    return raw + response.body if response.body and not is_head else raw
