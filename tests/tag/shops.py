"""A shop whose pages include the tag, an edge that takes in what they report, and what stands between."""

from __future__ import annotations

import http.client
import threading
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, TypeVar

from edge.contract import redis_keys
from edge.contract.events import (
    Conversion,
    PageClick,
    Visit,
    decode_event,
    read_chunk,
    split_frames,
)
from edge.contract.intake_record import encode_project
from tests.edge.directories import make_project

if TYPE_CHECKING:
    from collections.abc import Mapping

    from redis import Redis

    from edge.contract.events import Event

E = TypeVar("E", Visit, PageClick, Conversion)


class _Server(ThreadingHTTPServer):
    """Serves in a thread until it is stopped."""

    daemon_threads = True

    def start(self) -> None:
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def stop(self) -> None:
        self.shutdown()
        self.server_close()


class Site(_Server):
    """Serves `page`, or what `pages` has for a path, with `headers`. `asked`: the paths asked for."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _PageHandler)
        self.page = ""
        self.pages: dict[str, tuple[str, str]] = {}
        """Content type and text by path."""
        self.headers: dict[str, str] = {}
        self.asked: list[str] = []

    @property
    def url(self) -> str:
        return f"http://localhost:{self.server_port}"


class _PageHandler(BaseHTTPRequestHandler):
    server: Site

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        self.server.asked.append(path)
        kind, text = self.server.pages.get(path, ("text/html", self.server.page))
        body = text.encode()
        self.send_response(200)
        for name, value in {"Content-Type": f"{kind}; charset=utf-8", **self.server.headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it
        pass


class Gateway(_Server):
    """Stands before an edge and passes on what it is asked, but for the next POSTs, which meet `faults`.

    A fault: a status with headers that is answered instead; "dropped" hangs up; "lost" passes the
    request on, and hangs up on the answer. `posts`: (path, body) of all that came.
    """

    def __init__(self, edge_port: int) -> None:
        super().__init__(("127.0.0.1", 0), _GatewayHandler)
        self.edge_port = edge_port
        self.faults: list[tuple[int, dict[str, str]] | str] = []
        self.posts: list[tuple[str, bytes]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _GatewayHandler(BaseHTTPRequestHandler):
    server: Gateway

    def do_GET(self) -> None:
        self._pass_on(b"")

    def do_OPTIONS(self) -> None:
        self._pass_on(b"")

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.posts.append((self.path, body))
        fault = self.server.faults.pop(0) if self.server.faults else None
        if fault is None:
            self._pass_on(body)
        elif isinstance(fault, str):
            if fault == "lost":
                self._ask_edge(body)
            self.close_connection = True
        else:
            self._answer(fault[0], {"Access-Control-Allow-Origin": "*", **fault[1]}, b"{}")

    def _ask_edge(self, body: bytes) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.server.edge_port, timeout=10)
        connection.request(self.command, self.path, body or None, dict(self.headers.items()))
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        return answer.status, dict(answer.getheaders()), content

    def _pass_on(self, body: bytes) -> None:
        status, headers, content = self._ask_edge(body)
        self._answer(status, headers, content)

    def _answer(self, status: int, headers: Mapping[str, str], content: bytes) -> None:
        self.send_response_only(status)
        for name, value in headers.items():
            if name.lower() not in ("content-length", "connection", "transfer-encoding"):
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it
        pass


class Shop:
    """A site with a project of its own. `edge_url`: where its pages find the tag and report to."""

    def __init__(self, site: Site, redis: Redis, edge_url: str) -> None:
        self.site = site
        self.edge_url = edge_url
        self.project_id = uuid.uuid4()
        self._redis = redis
        self._seen: list[Event] = []
        self._after = b"-"
        site.page = self.tag()

    def register(self, *, version: int = 1, **facts: object) -> None:
        """Publish the project, as the control plane does."""
        record = make_project(project_id=self.project_id.bytes, version=version, **facts)
        self._redis.hset(redis_keys.projects(), self.project_id.hex, encode_project(record))

    def tag(self, attributes: str = "") -> str:
        """Give the snippet of the README, with further attributes."""
        return (
            f'<script async src="{self.edge_url}/_/tag.js" data-project="{self.project_id}" {attributes}>'
            "</script>"
        )

    def url(self, path: str = "/") -> str:
        return self.site.url + path

    def visits(self) -> list[Visit]:
        return self._find(Visit)

    def clicks(self) -> list[PageClick]:
        return self._find(PageClick)

    def conversions(self) -> list[Conversion]:
        return self._find(Conversion)

    def paths(self) -> list[str]:
        """Give what was visited, as paths with queries and fragments."""
        return [visit.landing_url.removeprefix(self.site.url) for visit in self.visits()]

    def arrivals(self, kind: type[E]) -> list[E]:
        """Give events as often as they came: a page that is left sends what may be on its way already."""
        return [event for event in self._events() if isinstance(event, kind)]

    def _find(self, kind: type[E]) -> list[E]:
        """Give events once each, as they land."""
        by_id = {getattr(event, "external_id", event.id): event for event in self.arrivals(kind)}
        return list(by_id.values())

    def _events(self) -> list[Event]:
        for entry_id, fields in self._redis.xrange(redis_keys.events(0), min=self._after) or ():
            self._after = b"(" + entry_id  # type: ignore[operator]  # redis-py's union
            for payload in split_frames(read_chunk(fields).body):  # type: ignore[arg-type]  # the same
                event = decode_event(payload)
                if getattr(event, "project_id", b"") == self.project_id.bytes:
                    self._seen.append(event)
        return self._seen
