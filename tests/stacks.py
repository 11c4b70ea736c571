"""A running stack as tests see it: through its ready.json."""

from __future__ import annotations

import http.client
import json
import os
import sys
from contextlib import closing
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from tests.support import eventually

if TYPE_CHECKING:
    from pathlib import Path


class Stack:
    """A running stack, seen through its ready.json."""

    def __init__(self, ready_file: Path) -> None:
        self._file = ready_file

    @property
    def ready(self) -> dict[str, Any]:
        ready: dict[str, Any] = json.loads(self._file.read_text())
        return ready

    def call(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        with closing(http.client.HTTPConnection(urlsplit(self.ready["api_url"]).netloc, timeout=30)) as api:
            headers = {"X-API-Key": self.ready["api_key"], "Content-Type": "application/json"}
            api.request(method, f"/api/v1/public{path}", json.dumps(body) if body else None, headers)
            answer = api.getresponse()
            content = answer.read()
        assert answer.status < 300, content
        decoded: dict[str, Any] = json.loads(content)
        return decoded

    async def create_link(self, slug: str, weights: dict[str, int], **facts: str) -> str:
        """Create a link as `post_link` does; wait until the edge has it."""
        link_id = self.post_link(slug, weights, **facts)
        await eventually(lambda: self.location(slug, "HEAD"))
        return link_id

    def post_link(self, slug: str, weights: dict[str, int], **facts: str) -> str:
        """Create an A/B link whose destinations tell variant and click. Give its id. `facts`: more of it."""
        variants = [
            {"label": label, "destination_url": f"https://example.com/{label}/{{click_id}}", "weight": weight}
            for label, weight in weights.items()
        ]
        content = {"name": slug, "slug": slug, "variants": variants, **facts}
        link_id: str = self.call("POST", "/links", content)["id"]
        return link_id

    def location(self, slug: str, method: str) -> str | None:
        with closing(http.client.HTTPConnection(urlsplit(self.ready["edge_url"]).netloc, timeout=10)) as edge:
            edge.request(method, f"/{slug}")
            return edge.getresponse().getheader("location")


def environment() -> dict[str, str]:
    """Give the environment without servers to use, and with the libraries that run these tests."""
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("SWITCHYARD_", "PYTEST_"))
    }
    return kept | {"SWITCHYARD_VENV": sys.prefix}
