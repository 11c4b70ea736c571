from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_plane.domains.links.destinations import find_broken_rules

EDGE = "http://go.example.com"
LOCAL_EDGE = "http://127.0.0.1:8080"
SPACES = "must not contain spaces or control characters"
SCHEME = "must begin with http:// or https://"
HOST = "must have a valid host"
PORT = "must have a port from 1 to 65535"
MACRO = "must not have a macro in its scheme or host"


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com",
        "http://example.com:8080/path?a=b#c",
        "HTTPS://EXAMPLE.COM/",
        "https://example.com/{click_id}?v={variant}&c={country}&x={whatever}#{slug}",
        "https://bücher.example/ü",
        "https://[2001:db8::1]:8443/",
        "https://example.com/a@b:c",
        "http://go.example.com:8080/",
        "http://other.example.com/http://go.example.com/",
        "http://localhost/",
    ],
)
def test_good_destinations(url: str) -> None:
    assert find_broken_rules(url, EDGE) == []


@pytest.mark.parametrize(
    ("url", "rules"),
    [
        ("example.com", [SCHEME, HOST]),
        ("//example.com/", [SCHEME]),
        ("ftp://example.com", [SCHEME]),
        ("javascript:alert(1)", [SCHEME, HOST]),
        ("http:///path", [HOST]),
        ("https:example.com", [HOST]),
        ("http://exa mple.com", [SPACES]),
        ("http://example.com/\n", [SPACES]),
        ("http://example.com/\u2028", [SPACES]),
        ("http://example.com/\x7f", [SPACES]),
        ("http://user:secret@example.com", ["must not contain credentials"]),
        ("http://example.com\\@evil.example", ["must not contain credentials"]),
        ("http://example.com\\evil", [HOST]),
        ("http://example.com:0/", [PORT]),
        ("http://example.com:65536/", [PORT]),
        ("http://example.com:x/", [PORT]),
        ("ftp://example.com:x/", [SCHEME, PORT]),
        ("http://[::1/", ["must be a URL with a valid host"]),
        ("http://.example.com/", [HOST]),
        ("http://a..b/", [HOST]),
        ("http://%65xample.com/", [HOST]),
        ("http://{country}.example.com/", [MACRO]),
        ("http://example.com:{port}/", [MACRO]),
        ("{scheme}://example.com/", [SCHEME, HOST]),
    ],
)
def test_bad_destinations(url: str, rules: list[str]) -> None:
    assert find_broken_rules(url, EDGE) == rules


@pytest.mark.parametrize(
    ("url", "edge"),
    [
        ("http://go.example.com", EDGE),
        ("http://GO.example.com./x", EDGE),
        ("http://go.example.com:80/x", EDGE),
        ("https://go.example.com/x", EDGE),
        ("http://go.example.com/x", "https://go.example.com"),
        ("http://xn--bcher-kva.example/", "http://bücher.example"),
        ("http://127.0.0.1:8080/x", LOCAL_EDGE),
        ("http://localhost:8080/x", LOCAL_EDGE),
        ("http://LocalHost.:8080/x", LOCAL_EDGE),
        ("http://any.localhost:8080/x", LOCAL_EDGE),
        ("http://127.9.9.9:8080/x", LOCAL_EDGE),
        ("http://127.1:8080/x", LOCAL_EDGE),
        ("http://2130706433:8080/x", LOCAL_EDGE),
        ("http://0x7f000001:8080/x", LOCAL_EDGE),
        ("http://0.0.0.0:8080/x", LOCAL_EDGE),
        ("http://[::1]:8080/x", LOCAL_EDGE),
        ("http://[::ffff:127.0.0.1]:8080/x", LOCAL_EDGE),
    ],
)
def test_destinations_that_lead_back(url: str, edge: str) -> None:
    assert find_broken_rules(url, edge) == [f"must not lead back to {edge}"]


@pytest.mark.parametrize("url", ["http://127.0.0.1:8081/", "http://10.0.0.1:8080/", "http://go.example.com/"])
def test_neighbours_of_a_local_edge_are_good(url: str) -> None:
    assert find_broken_rules(url, LOCAL_EDGE) == []


@given(st.text(max_size=40) | st.text(max_size=40).map("http://{}".format))
def test_any_text_gets_an_answer(url: str) -> None:
    assert all(rule.startswith("must") for rule in find_broken_rules(url, EDGE))
