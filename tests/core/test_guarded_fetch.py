from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import dns.rcode
import httpcore2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from control_plane.core import guarded_fetch
from control_plane.core.dns_servers import read_servers
from control_plane.core.guarded_fetch import FetchFailed, GuardedFetcher, TargetRefused, TargetUnknown
from control_plane.core.name_resolver import NameResolver
from tests.http_server import serve_http

if TYPE_CHECKING:
    from pathlib import Path

    from tests.dns_server import DnsServer
    from tests.http_server import HttpServer

PUBLIC, OTHER = "8.8.8.8", "1.1.1.1"


@pytest.fixture
def strict(dns_server: DnsServer) -> GuardedFetcher:
    return GuardedFetcher(NameResolver(read_servers(dns_server.address)))


@pytest.fixture
def lenient(dns_server: DnsServer) -> GuardedFetcher:
    dns_server.set_records("acme.com", "A", "127.0.0.1")
    return GuardedFetcher(NameResolver(read_servers(dns_server.address)), allow_private=True)


@pytest.fixture
def dialled(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """Where connections were about to be made; none is."""
    addresses: list[tuple[str, int]] = []

    async def dial(_self: object, host: str, port: int, *_: Any) -> httpcore2.AsyncNetworkStream:
        addresses.append((host, port))
        raise httpcore2.ConnectError

    monkeypatch.setattr(httpcore2.AnyIOBackend, "connect_tcp", dial)
    return addresses


class TestGuard:
    async def test_a_name_is_resolved_once_and_its_checked_address_dialled(
        self,
        strict: GuardedFetcher,
        dns_server: DnsServer,
        dialled: list[tuple[str, int]],
    ) -> None:
        dns_server.set_series("rebind.acme.com", "A", (PUBLIC,), ("127.0.0.1",))
        with pytest.raises(FetchFailed):
            await strict.fetch("http://rebind.acme.com/x")
        assert dialled == [(PUBLIC, 80)]
        assert dns_server.questions.count("udp A rebind.acme.com") == 1

    async def test_a_rebound_name_reaches_nothing_local(
        self,
        strict: GuardedFetcher,
        dns_server: DnsServer,
        dialled: list[tuple[str, int]],
    ) -> None:
        dns_server.set_series("rebind.acme.com", "A", (PUBLIC,), ("127.0.0.1",))
        with pytest.raises(FetchFailed):
            await strict.fetch("http://rebind.acme.com/x")
        with pytest.raises(TargetRefused, match=r"127\.0\.0\.1"):
            await strict.fetch("http://rebind.acme.com/x")
        assert dialled == [(PUBLIC, 80)]

    async def test_the_next_address_is_tried(
        self,
        strict: GuardedFetcher,
        dns_server: DnsServer,
        dialled: list[tuple[str, int]],
    ) -> None:
        dns_server.set_records("acme.com", "A", PUBLIC, OTHER)
        with pytest.raises(FetchFailed):
            await strict.fetch("https://acme.com/")
        assert sorted(dialled) == [(OTHER, 443), (PUBLIC, 443)]

    @pytest.mark.parametrize(
        ("kind", "address"),
        [("A", "127.0.0.1"), ("A", "10.1.2.3"), ("A", "169.254.169.254"), ("A", "0.0.0.0"),
         ("A", "100.64.0.1"), ("AAAA", "::1"), ("AAAA", "fe80::1"), ("AAAA", "fd00::1"),
         ("AAAA", "::ffff:127.0.0.1"), ("AAAA", "2002:7f00:1::1"), ("AAAA", "64:ff9b::7f00:1")],
    )  # fmt: skip
    async def test_one_address_that_is_not_public_refuses_them_all(
        self,
        strict: GuardedFetcher,
        dns_server: DnsServer,
        dialled: list[tuple[str, int]],
        kind: str,
        address: str,
    ) -> None:
        dns_server.set_records("acme.com", "A", PUBLIC, *([address] if kind == "A" else []))
        dns_server.set_records("acme.com", "AAAA", "2606:4700::1111", *([address] if kind == "AAAA" else []))
        with pytest.raises(TargetRefused, match="no public address"):
            await strict.fetch("http://acme.com/")
        assert dialled == []

    @pytest.mark.parametrize(
        "host", ["127.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "169.254.169.254", "10.0.0.1"]
    )
    async def test_addresses_in_urls_are_checked_too(
        self, strict: GuardedFetcher, dialled: list[tuple[str, int]], host: str
    ) -> None:
        with pytest.raises(TargetRefused, match="no public address"):
            await strict.fetch(f"http://{host}/")
        assert dialled == []

    @pytest.mark.parametrize("host", ["2130706433", "0x7f000001", "0177.0.0.1", "127.1", "localhost"])
    async def test_other_ways_to_write_an_address_are_names_that_nobody_has(
        self, strict: GuardedFetcher, dialled: list[tuple[str, int]], host: str
    ) -> None:
        with pytest.raises(FetchFailed):
            await strict.fetch(f"http://{host}/")
        assert dialled == []

    @pytest.mark.parametrize(
        "url",
        ["ftp://acme.com/", "file:///etc/passwd", "http://acme.com:22/", "http://acme.com:8080/",
         "http://user@acme.com/", "http://acme.com\\@127.0.0.1/", "http:///x", "http://acme.com:x/",
         "http://acme.com/\r\nX: y", "http://ac me.com/", "http://[::1/", "http://b\u00fccher.example/",
         "//acme.com/", "http://acme.com:99999/"],
    )  # fmt: skip
    async def test_urls_that_are_refused_as_they_stand(
        self, strict: GuardedFetcher, dialled: list[tuple[str, int]], url: str
    ) -> None:
        with pytest.raises(TargetRefused):
            await strict.fetch(url)
        assert dialled == []

    async def test_a_dns_that_fails_says_nothing_of_the_target(
        self,
        strict: GuardedFetcher,
        dns_server: DnsServer,
    ) -> None:
        dns_server.failing["acme.com"] = dns.rcode.SERVFAIL
        with pytest.raises(TargetUnknown):
            await strict.fetch("http://acme.com/")


class TestFetch:
    async def test_answer_and_request(self, lenient: GuardedFetcher, http_server: HttpServer) -> None:
        http_server.respond(201, b"made", "X-Kind: test")
        answer = await lenient.fetch(
            f"http://acme.com:{http_server.port}/a/b?c=d",
            method="POST",
            content=b"body",
            headers={"X-Mine": "1"},
        )
        assert (answer.status, answer.body, answer.is_cut) == (201, b"made", False)
        assert ("X-Kind", "test") in answer.headers
        (head,) = http_server.requests
        assert head.startswith("POST /a/b?c=d HTTP/1.1\r\n")
        assert f"Host: acme.com:{http_server.port}\r\n" in head
        assert "X-Mine: 1\r\n" in head
        assert "Content-Length: 4\r\n" in head

    async def test_redirects_are_not_followed(
        self,
        lenient: GuardedFetcher,
        http_server: HttpServer,
    ) -> None:
        url = f"http://acme.com:{http_server.port}/"
        http_server.respond(302, b"", f"Location: {url}secret")
        assert (await lenient.fetch(url)).status == 302
        assert http_server.connections == 1

    async def test_an_endless_body_is_cut(
        self,
        lenient: GuardedFetcher,
        http_server: HttpServer,
    ) -> None:
        http_server.raw, http_server.endless = b"HTTP/1.1 200 OK\r\n\r\n", True
        answer = await lenient.fetch(f"http://acme.com:{http_server.port}/")
        assert (len(answer.body), answer.is_cut) == (64 * 1024, True)

    async def test_a_compressed_body_is_not_blown_up(
        self,
        lenient: GuardedFetcher,
        http_server: HttpServer,
    ) -> None:
        http_server.respond(200, b"\x1f\x8b...", "Content-Encoding: gzip")
        assert (await lenient.fetch(f"http://acme.com:{http_server.port}/")).body == b"\x1f\x8b..."

    async def test_silence(
        self,
        lenient: GuardedFetcher,
        http_server: HttpServer,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(guarded_fetch, "FETCH_TIMEOUT_S", 0.2)
        http_server.stalls = True
        with pytest.raises(FetchFailed, match="did not answer within"):
            await lenient.fetch(f"http://acme.com:{http_server.port}/")

    @pytest.mark.parametrize("raw", [b"SSH-2.0-x\r\n", b"", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx"])
    async def test_what_is_no_answer(
        self,
        lenient: GuardedFetcher,
        http_server: HttpServer,
        raw: bytes,
    ) -> None:
        http_server.raw = raw
        with pytest.raises(FetchFailed):
            await lenient.fetch(f"http://acme.com:{http_server.port}/")

    async def test_nobody_listens(self, lenient: GuardedFetcher) -> None:
        with pytest.raises(FetchFailed, match="no connection"):
            await lenient.fetch("http://acme.com:1/")

    async def test_proxies_of_the_environment_are_ignored(
        self,
        lenient: GuardedFetcher,
        http_server: HttpServer,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
        monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
        assert (await lenient.fetch(f"http://acme.com:{http_server.port}/")).status == 200


class TestTls:
    async def test_the_name_is_what_sni_and_the_certificate_are_about(
        self,
        lenient: GuardedFetcher,
        dns_server: DnsServer,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        server_side, client_side = make_contexts(tmp_path, "acme.com")
        monkeypatch.setattr(guarded_fetch, "_trust", lambda: client_side)
        dns_server.set_records("other.com", "A", "127.0.0.1")
        async with serve_http(server_side) as server:
            assert (await lenient.fetch(f"https://acme.com:{server.port}/")).status == 200
            with pytest.raises(FetchFailed):
                await lenient.fetch(f"https://other.com:{server.port}/")
            assert server.server_names == ["acme.com", "other.com"]
            assert len(server.requests) == 1

    async def test_a_certificate_that_nobody_vouches_for_is_refused(
        self, lenient: GuardedFetcher, tmp_path: Path
    ) -> None:
        server_side, _ = make_contexts(tmp_path, "acme.com")
        async with serve_http(server_side) as server:
            with pytest.raises(FetchFailed):
                await lenient.fetch(f"https://acme.com:{server.port}/")
            assert server.requests == []


def make_contexts(folder: Path, name: str) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Make a certificate for `name`: what serves it, and what trusts it."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "server.pem").write_bytes(pem + secret)
    server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_side.load_cert_chain(folder / "server.pem")
    return server_side, ssl.create_default_context(cadata=pem.decode())
