"""An intake as its tests run it: projects in memory, a real journal."""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING, Any

import uuid_utils

from edge.contract.events import decode_event, split_frames
from edge.directory import STALE
from edge.geo import CountryLookup
from edge.intake.service import Intake
from edge.intake.tag import Tag
from edge.journal import Journal
from edge.request import EdgeRequest, ProxyTrust
from edge.visitors import Visitors
from tests.edge.directories import KEY, PROJECT, make_project
from tests.edge.factories import FakeHeaders
from tests.edge.handlers import Room

if TYPE_CHECKING:
    from pathlib import Path

    from edge.contract.events import Event
    from edge.contract.intake_record import IntakeKeyRecord, ProjectRecord
    from edge.counters import Counter
    from edge.request import EdgeResponse

PROJECT_ID = str(uuid.UUID(bytes=PROJECT))
NOW_MS = 1_800_000_000_000


class Memory:
    """What a directory has in memory."""

    def __init__(self) -> None:
        self.projects: dict[bytes, ProjectRecord] = {PROJECT: make_project()}
        self.keys: dict[str, IntakeKeyRecord] = {}
        self.is_stale = False

    def known_project(self, project_id: bytes) -> Any:
        return STALE if self.is_stale else self.projects.get(project_id)

    def known_key(self, secret: str) -> Any:
        return STALE if self.is_stale else self.keys.get(secret)

    async def find_project(self, project_id: bytes) -> ProjectRecord | None:
        return self.projects.get(project_id)

    async def find_key(self, secret: str) -> IntakeKeyRecord | None:
        return self.keys.get(secret)


class RunningIntake:
    def __init__(self, folder: Path) -> None:
        self.room = Room()
        self.journal = Journal.create(folder / uuid.uuid4().hex, segment_bytes=1 << 20, room=self.room)
        self.memory = Memory()
        self.intake = Intake(
            directory=self.memory,  # type: ignore[arg-type]  # as much of one as is needed
            journal=self.journal,
            visitors=Visitors(CountryLookup(database="", header="CF-IPCountry"), ProxyTrust("10.0.0.0/8")),
            tag=Tag(folder / "tag.js"),
            new_id=lambda: uuid_utils.uuid7(nanoseconds=NOW_MS * 1_000_000),
            now_ms=lambda: NOW_MS,
        )

    def ask(
        self,
        path: str,
        body: bytes = b"",
        *headers: tuple[str, str],
        method: str = "POST",
        query: str = "",
        peer: str = "198.51.100.77",
    ) -> EdgeResponse:
        request = EdgeRequest(method, path, query, "http", peer, FakeHeaders(*headers), "", body)
        response = self.intake.answer(request)
        assert response is not None
        return response

    def report(self, path: str, given: object, *headers: tuple[str, str]) -> tuple[int, Any]:
        """Send JSON and give what came back."""
        response = self.ask(path, json.dumps(given).encode(), *headers)
        return response.status, json.loads(response.body)

    def postback(self, query: str, *headers: tuple[str, str], **facts: Any) -> tuple[int, Any]:
        response = self.ask("/_/postback", b"", *headers, **{"method": "GET", "query": query, **facts})
        return response.status, json.loads(response.body)

    def events(self) -> list[Event]:
        self.journal.cut()
        return [
            decode_event(payload)
            for cut in self.journal.unshipped
            for payload in split_frames(self.journal.read_chunk(cut).body)
        ]

    def count(self, counter: Counter) -> int:
        return self.journal.counters.values[counter]


__all__ = ["KEY", "NOW_MS", "PROJECT_ID", "RunningIntake"]
