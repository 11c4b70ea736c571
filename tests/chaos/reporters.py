"""Pages and servers that report at a steady pace, each report until it is taken, and remember which were.

One customer after another: a visit that a redirect brought, a click on the page, a sale and a refund of
it. Every other refund is sent before its sale, and some sales and refunds are sent again. What was not
taken, by a 503 or by a connection that broke, is sent again as it was, with its id.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections import Counter
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, urlencode, urlsplit
from uuid import UUID

import msgspec
import uuid_utils

from tests.chaos.visitors import ANSWER_S, RECONNECT_S, read_answer
from tests.support import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from deploy.data_folder import DemoProject

CUSTOMERS_AT_ONCE: Final = 2
PAUSE_S: Final = 0.04
AGAIN_S: Final = 0.1
"""Between two tries of one report; well behaved clients wait as long as Retry-After says."""
GIVE_UP_S: Final = 120.0
PRICE, REFUNDED = "10.00", "4.00"
REFUNDED_MINOR: Final = 400
CAMPAIGN: Final = "chaos"


class Reporters:
    """`find_click`: gives a redirect that was answered, None while there is none."""

    def __init__(self, edge_url: str, shop: DemoProject, find_click: Callable[[], UUID | None]) -> None:
        parts = urlsplit(edge_url)
        self._address, self._host = (parts.hostname or "", parts.port or 0), parts.netloc
        self._shop = shop
        self._find_click = find_click
        self._numbers = itertools.count()
        self._is_over = False
        self.visits: set[UUID] = set()
        self.page_clicks: set[UUID] = set()
        self.sales: dict[str, UUID] = {}
        """External ids, each with the click that it names."""
        self.refunds: dict[str, str] = {}
        """External ids, each with that of its sale."""
        self.refusals: Counter[str] = Counter()
        """Answers that took nothing: status and body."""
        self.broken = 0
        """Connections that were refused or ended before the answer."""
        self.unanswered = 0
        self.answered = 0
        """Reports that were taken, those that came again among them."""

    def __repr__(self) -> str:
        return (
            f"{self.answered} reports, {self.broken} broken, {self.unanswered} unanswered,"
            f" refused {dict(self.refusals)}"
        )

    @property
    def unsure(self) -> int:
        """How many reports may have been written down without a reporter who heard of it."""
        return self.broken + self.unanswered

    @contextlib.asynccontextmanager
    async def reporting(self) -> AsyncIterator[None]:
        """Report while inside; at the end every report that was begun has been taken."""
        customers = [asyncio.create_task(self._keep_buying()) for _ in range(CUSTOMERS_AT_ONCE)]
        try:
            yield
        finally:
            self._is_over = True
            await asyncio.gather(*customers)

    async def _keep_buying(self) -> None:
        connection = _Connection(self._address)
        try:
            while not self._is_over:
                await asyncio.sleep(PAUSE_S)
                if (click := self._find_click()) is not None:
                    await self._buy(connection, next(self._numbers), click)
        finally:
            connection.close()

    async def _buy(self, connection: _Connection, number: int, click: UUID) -> None:
        visit, page_click = (UUID(int=uuid_utils.uuid7().int) for _ in range(2))
        url = f"https://shop.example/?utm_campaign={CAMPAIGN}"
        seen = {"visit_id": str(visit), "url": url, "click_id": str(click)}
        await self._send(connection, self._write_beacon("visit", seen))
        self.visits.add(visit)
        clicked = {"id": str(page_click), "visit_id": str(visit), "target_url": "https://pay.example/"}
        await self._send(connection, self._write_beacon("click", clicked))
        self.page_clicks.add(page_click)
        sale, refund = f"sale-{visit}", f"refund-{visit}"
        sold = {"txid": sale, "amount": PRICE, "click_id": str(click)}
        refunded = {"event": "refund", "txid": refund, "sale_id": sale, "amount": REFUNDED}
        reports = [self._write_postback(number, sold), self._write_postback(number, refunded)]
        if number % 2:
            reports.reverse()
        if number % 3 == 0:
            reports *= 2
        for report in reports:
            await self._send(connection, report)
        self.sales[sale], self.refunds[refund] = click, sale

    def _write_beacon(self, what: str, report: dict[str, str]) -> bytes:
        body = msgspec.json.encode({"project": str(self._shop.id), **report})
        head = f"POST /_/{what} HTTP/1.1\r\nHost: {self._host}\r\nUser-Agent: Mozilla/5.0\r\n"
        return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body

    def _write_postback(self, number: int, report: dict[str, str]) -> bytes:
        proof = {"token": self._shop.secret} if number % 4 < 2 else {"api_key": self._shop.key}
        query = urlencode({"project": str(self._shop.id), **report, **proof}, quote_via=quote)
        return f"GET /_/postback?{query} HTTP/1.1\r\nHost: {self._host}\r\n\r\n".encode()

    async def _send(self, connection: _Connection, request: bytes) -> None:
        """Send a report until it is taken."""
        await eventually(lambda: self._is_taken(connection, request), GIVE_UP_S, AGAIN_S)
        self.answered += 1
        await asyncio.sleep(PAUSE_S)

    async def _is_taken(self, connection: _Connection, request: bytes) -> bool:
        try:
            async with asyncio.timeout(ANSWER_S):
                status, fields, body = await connection.ask(request)
        except TimeoutError:
            self.unanswered += 1
        except (OSError, asyncio.IncompleteReadError):
            self.broken += 1
            await asyncio.sleep(RECONNECT_S)
        else:
            if status in {200, 202}:
                return True
            assert status == 503, f"{status} {body!r}"
            assert int(fields["retry-after"]) > 0
            self.refusals[f"{status} {msgspec.json.decode(body)['error']['code']}"] += 1
            return False
        connection.close()
        return False


class _Connection:
    """A connection that is made anew when it is needed."""

    def __init__(self, address: tuple[str, int]) -> None:
        self._address = address
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, request: bytes) -> tuple[int, dict[str, str], bytes]:
        """Send a request and give the answer. Raises OSError, IncompleteReadError."""
        if self._streams is None:
            self._streams = await asyncio.open_connection(*self._address)
        reader, writer = self._streams
        writer.write(request)
        return await read_answer(reader)

    def close(self) -> None:
        """Cut it."""
        if self._streams is not None:
            self._streams[1].transport.abort()
            self._streams = None
