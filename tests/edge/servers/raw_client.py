"""A client that sends bytes as they are and reads answers one by one."""

from __future__ import annotations

import contextlib
import socket
from typing import Self

import msgspec


class Answer(msgspec.Struct):
    """One answer; `headers` by lower-case name."""

    status: int
    headers: dict[str, str]
    body: bytes = b""


class RawClient:
    """`address`: host and port, or the path of a Unix socket."""

    def __init__(self, address: tuple[str, int] | str, *, timeout_s: float = 10) -> None:
        family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
        self.socket = socket.socket(family, socket.SOCK_STREAM)
        self.socket.settimeout(timeout_s)
        self.socket.connect(address)
        self._received = b""

    def send(self, *parts: bytes) -> Self:
        for part in parts:
            self.socket.sendall(part)
        return self

    def end(self) -> Self:
        """Say that nothing more will come."""
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_WR)
        return self

    def answer(self, *, to_head: bool = False) -> Answer | None:
        """Read the next answer; None when the connection has ended."""
        while b"\r\n\r\n" not in self._received:
            if not self._receive():
                assert not self._received, f"cut off: {self._received!r}"
                return None
        head, _, self._received = self._received.partition(b"\r\n\r\n")
        status_line, *lines = head.decode().split("\r\n")
        version, status = status_line.split(" ")[:2]
        assert version in ("HTTP/1.1", "HTTP/1.0")
        headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
        answer = Answer(int(status), headers)
        length = 0 if to_head or answer.status < 200 else int(headers.get("content-length", 0))
        while len(self._received) < length:
            assert self._receive()
        answer.body, self._received = self._received[:length], self._received[length:]
        return answer

    def answers(self) -> list[Answer]:
        """Read answers until the connection ends."""
        found = []
        while (answer := self.answer()) is not None:
            found.append(answer)
        return found

    def statuses(self) -> list[int]:
        return [answer.status for answer in self.answers()]

    def is_closed(self) -> bool:
        """Tell that the server has closed; waits for it."""
        return not self._received and not self._receive()

    def _receive(self) -> bytes:
        try:
            received = self.socket.recv(1 << 16)
        except ConnectionError:
            return b""
        self._received += received
        return received

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.socket.close()


def get(target: str = "/summer", *lines: str, method: str = "GET", version: str = "1.1") -> bytes:
    """Give the bytes of a request without a body."""
    head = [f"{method} {target} HTTP/{version}", "Host: edge", *lines]
    return ("\r\n".join(head) + "\r\n\r\n").encode()
