"""The link that `bench edge` visits: made over the API, and how fast a change of it reaches the edge."""

from __future__ import annotations

import json
import secrets
import time
from typing import TYPE_CHECKING, Any, Final

from loadtests.bench_stack import fetch

if TYPE_CHECKING:
    from deploy.data_folder import Ready

LINKS_PATH: Final = "/api/v1/public/links"
QUERY: Final = "?utm_source=bench&n=1"
PUBLISHED_S: Final = 20.0
_OK, _CREATED, _FOUND = 200, 201, 302


def make_link(ready: Ready) -> dict[str, Any]:
    """Make an A/B link with macros and sticky visitors, and give it once the edge serves it."""
    variants = [
        {
            "label": label,
            "destination_url": f"https://example.com/landing/{label}?source=bench&click={{click_id}}",
            "weight": weight,
        }
        for label, weight in (("calm", 70), ("loud", 30))
    ]
    draft = {"name": "Benchmark", "slug": f"bench-{secrets.token_hex(4)}", "variants": variants}
    link = _ask(ready, "POST", LINKS_PATH, _CREATED, draft)
    deadline = time.monotonic() + PUBLISHED_S
    while fetch(ready.edge_url, "HEAD", f"/{link['slug']}")[0] != _FOUND:
        if time.monotonic() > deadline:
            raise RuntimeError(f"a new link was not served after {PUBLISHED_S:g} s")
        time.sleep(0.05)
    return link


def measure_publication(ready: Ready, link: dict[str, Any], *, changes: int) -> list[float]:
    """Turn the link's weights round again and again; give how long each change took to reach the edge.

    Milliseconds from the API's answer to the first redirect that obeys it.
    """
    delays = []
    for number in range(changes + 1):
        chosen = link["variants"][number % 2]["label"]
        variants = [
            {
                "label": one["label"],
                "destination_url": one["destination_url"],
                "weight": 100 if one["label"] == chosen else 0,
            }
            for one in link["variants"]
        ]
        _ask(ready, "PATCH", f"{LINKS_PATH}/{link['id']}", _OK, {"variants": variants})
        changed_at = time.perf_counter()
        while f"/{chosen}?" not in _locate(ready.edge_url, link["slug"]):
            if time.perf_counter() - changed_at > PUBLISHED_S:
                raise RuntimeError("a change of weights never reached the edge")
        delays.append((time.perf_counter() - changed_at) * 1000)
    return delays[1:]  # before the first change, chance may already have given what it asks for


def _locate(edge_url: str, slug: str) -> str:
    _status, headers, _body = fetch(edge_url, "HEAD", f"/{slug}")
    return headers.get("location") or ""


def _ask(ready: Ready, method: str, target: str, expected: int, body: dict[str, Any]) -> dict[str, Any]:
    headers = {"X-API-Key": ready.api_key, "Content-Type": "application/json"}
    status, _headers, answer = fetch(ready.api_url, method, target, headers, json.dumps(body))
    if status != expected:
        raise RuntimeError(f"{method} {target} answered {status}: {answer.decode()}")
    found: dict[str, Any] = json.loads(answer)
    return found
