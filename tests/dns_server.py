"""A DNS server of the tests' own, over UDP and TCP: what it answers can be set, and can change."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset

from tests.support import free_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

Texts = str | tuple[str, ...]
Key = tuple[str, str]


class DnsServer:
    """Answers for the names that it was told of; for any other, that there is none.

    `questions`: what was asked, as "udp A name". `failing`: name -> code of an error. `silent`: names
    that get no answer. `truncated`: names whose answer does not fit into UDP.
    """

    def __init__(self) -> None:
        self.port = free_port()
        self.questions: list[str] = []
        self.failing: dict[str, dns.rcode.Rcode] = {}
        self.silent: set[str] = set()
        self.truncated: set[str] = set()
        self._answers: dict[Key, list[tuple[str, ...]]] = {}

    @property
    def address(self) -> str:
        """The server as a setting names it."""
        return f"127.0.0.1:{self.port}"

    def set_texts(self, name: str, *texts: Texts) -> None:
        """Put TXT records at a name; a tuple is one record of several strings."""
        records = [(text,) if isinstance(text, str) else text for text in texts]
        self.set_records(name, "TXT", *(" ".join(f'"{part}"' for part in parts) for parts in records))

    def set_records(self, name: str, kind: str, *records: str) -> None:
        """Put records at a name, as a zone file writes them."""
        self._answers[name, kind] = [records]

    def set_series(self, name: str, kind: str, *series: tuple[str, ...]) -> None:
        """Answer with other records each time; with the last ones ever after."""
        self._answers[name, kind] = list(series)

    def clear(self, name: str) -> None:
        """Forget a name."""
        for key in [key for key in self._answers if key[0] == name]:
            del self._answers[key]

    def answer(self, wire: bytes, over: str) -> bytes | None:
        """Answer one question; None is silence."""
        request = dns.message.from_wire(wire)
        question = request.question[0]
        name, kind = (
            question.name.to_text(omit_final_dot=True).lower(),
            dns.rdatatype.to_text(question.rdtype),
        )
        self.questions.append(f"{over} {kind} {name}")
        if name in self.silent:
            return None
        response = dns.message.make_response(request, recursion_available=True)
        if name in self.failing:
            response.set_rcode(self.failing[name])
        elif name in self.truncated and over == "udp":
            response.flags |= dns.flags.TC
        else:
            self._fill(response, name, kind)
        return response.to_wire()

    def _fill(self, response: dns.message.Message, name: str, kind: str) -> None:
        while alias := self._take(name, "CNAME"):
            self._add(response, name, "CNAME", alias)
            name = alias[0].removesuffix(".")
        if records := self._take(name, kind):
            self._add(response, name, kind, records)
        elif not any(known == name for known, _kind in self._answers):
            response.set_rcode(dns.rcode.NXDOMAIN)

    def _add(self, response: dns.message.Message, name: str, kind: str, records: tuple[str, ...]) -> None:
        response.answer.append(
            dns.rrset.from_text(dns.name.from_text(name), 60, dns.rdataclass.IN, kind, *records)
        )

    def _take(self, name: str, kind: str) -> tuple[str, ...]:
        series = self._answers.get((name, kind), [()])
        return series.pop(0) if len(series) > 1 else series[0]


class _Udp(asyncio.DatagramProtocol):
    def __init__(self, server: DnsServer) -> None:
        self.server = server

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        self.transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        if (answer := self.server.answer(data, "udp")) is not None:
            self.transport.sendto(answer, addr)


@contextlib.asynccontextmanager
async def serve_dns() -> AsyncIterator[DnsServer]:
    """Run a server on a free port of the loopback address."""
    server = DnsServer()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            length = int.from_bytes(await reader.readexactly(2), "big")
            if (answer := server.answer(await reader.readexactly(length), "tcp")) is not None:
                writer.write(len(answer).to_bytes(2, "big") + answer)
                await writer.drain()
        writer.close()

    loop = asyncio.get_running_loop()
    udp, _ = await loop.create_datagram_endpoint(lambda: _Udp(server), ("127.0.0.1", server.port))
    tcp = await asyncio.start_server(serve, "127.0.0.1", server.port)
    try:
        yield server
    finally:
        udp.close()
        tcp.close()
