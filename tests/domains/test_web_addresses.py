from __future__ import annotations

import pytest

from control_plane.core.web_addresses import find_broken_rule, normalise_host, normalise_origin


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("Example.COM.", "example.com"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("xn--bcher-kva.example", "xn--bcher-kva.example"),
        ("localhost", "localhost"),
        ("a-b.example", "a-b.example"),
        ("1.example", "1.example"),
        ("\uff11\uff12.example", "12.example"),
        ("", None),
        (".", None),
        ("a..example", None),
        ("-a.example", None),
        ("a_b.example", None),
        ("a b.example", None),
        ("a\0.example", None),
        ("1.2.3.4", None),
        ("127.1", None),
        ("0x7f", None),
        ("a.0x1", None),
        ("\uff11.2.3.4", None),
        ("[::1]", None),
        ("a" * 64 + ".example", None),
        (".".join(["a" * 60] * 5), None),
    ],
)
def test_hosts(text: str, host: str | None) -> None:
    assert normalise_host(text) == host


@pytest.mark.parametrize(
    ("text", "origin"),
    [
        ("https://Shop.example", "https://shop.example"),
        ("HTTPS://shop.example:443/", "https://shop.example"),
        ("https://shop.example:8443", "https://shop.example:8443"),
        ("https://10.0.0.1", "https://10.0.0.1"),
        ("https://[2001:DB8::1]:8443", "https://[2001:db8::1]:8443"),
        ("http://localhost:3000", "http://localhost:3000"),
        ("http://127.0.0.1:80", "http://127.0.0.1"),
        ("http://shop.example", None),
        ("http://localhost.shop.example", None),
        ("https://shop.example/x", None),
        ("https://shop.example?", None),
        ("https://shop.example#", None),
        ("https://a@shop.example", None),
        ("https://shop.example:", None),
        ("https://shop.example:0", None),
        ("https://shop.example:65536", None),
        ("https://*.shop.example", None),
        ("https://shop.example\\@other.example", None),
        ("https://", None),
        ("shop.example", None),
        ("null", None),
        ("*", None),
        ("", None),
        ("ftp://shop.example", None),
    ],
)
def test_origins(text: str, origin: str | None) -> None:
    assert normalise_origin(text) == origin


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com",
        "https://example.com:8443/a?b=c#d",
        "https://bücher.example/ü",
        "https://8.8.8.8/x",
    ],
)
def test_urls_that_anybody_can_open(url: str) -> None:
    assert find_broken_rule(url) is None


@pytest.mark.parametrize(
    ("url", "rule"),
    [
        ("http://example.com", "https://"),
        ("javascript:alert(1)", "https://"),
        ("//example.com", "https://"),
        ("https:example.com", "valid host"),
        ("https:///example.com", "valid host"),
        ("https://127.1/", "valid host"),
        ("https://2130706433/", "valid host"),
        ("https://a_b.example/", "valid host"),
        ("https://localhost/", "reach"),
        ("https://intranet/", "reach"),
        ("https://printer.local/", "reach"),
        ("https://10.0.0.1/", "reach"),
        ("https://169.254.169.254/", "reach"),
        ("https://100.64.0.1/", "reach"),
        ("https://224.0.0.1/", "reach"),
        ("https://[::1]/", "reach"),
        ("https://[::ffff:10.0.0.1]/", "reach"),
        ("https://[fe80::1%25eth0]/", "valid host"),
        ("https://user:pass@example.com/", "credentials"),
        ("https://example.com/ x", "spaces"),
        ("https://example.com/\u202e", "spaces"),
        ('https://example.com/"x', "quotes"),
        ("https://example.com\\x", "spaces"),
        ("https://example.com:0/", "port"),
        ("https://[", "valid host"),
        ("", "https://"),
    ],
)
def test_urls_that_are_refused(url: str, rule: str) -> None:
    broken = find_broken_rule(url)
    assert broken is not None
    assert broken.startswith("must ")
    assert rule in broken
