"""The proxies of deploy/proxies/, run as shipped but for ports, certificates and folders."""

from __future__ import annotations

import contextlib
import datetime as dt
import http.client
import os
import shutil
import socket
import ssl
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Self

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.support import eventually, free_port

if TYPE_CHECKING:
    from collections.abc import Mapping

EXAMPLES = Path(__file__).parents[2] / "deploy" / "proxies"
HOST = "go.example.com"
VISITOR = "127.0.0.9"
"""The visitor's address, which is not the proxy's."""


class Answer(msgspec.Struct):
    """`headers` by lower-case name."""

    status: int
    headers: dict[str, str]
    body: bytes


class Proxy:
    """A proxy that ends TLS in front of `upstream`, as its own configuration writes it.

    `changes`: text of the example, and what stands there instead.
    """

    program = ""

    def __init__(self, folder: Path, upstream: str, changes: Mapping[str, str]) -> None:
        self.port = free_port()
        self._folder = folder
        self._log = folder / f"{self.program}.log"
        self._configure(upstream, changes)

    @classmethod
    def find(cls) -> str | None:
        """Give the program's path; Debian keeps some outside of a user's PATH."""
        return shutil.which(cls.program, path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin")

    def _configure(self, upstream: str, changes: Mapping[str, str]) -> None:
        raise NotImplementedError

    def _command(self) -> list[str]:
        raise NotImplementedError

    async def up(self) -> Self:
        """Start it, and wait until it takes connections."""
        self._start()
        await eventually(self._has_started, timeout_s=30)
        assert self._process.poll() is None, self._log.read_text()
        return self

    def _start(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command(),
                env={"HOME": str(self._folder), "PATH": os.environ["PATH"]},
                stdout=log, stderr=log,
            )  # fmt: skip

    def _has_started(self) -> bool:
        if self._process.poll() is not None:
            return True
        with contextlib.suppress(OSError), self._connect():
            return True
        return False

    def _connect(self) -> ssl.SSLSocket:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        plain = socket.create_connection(("127.0.0.1", self.port), timeout=10, source_address=(VISITOR, 0))
        return context.wrap_socket(plain, server_hostname=HOST)

    def ask(self, path: str, method: str = "GET", headers: dict[str, str] | None = None) -> Answer:
        """Ask once as a visitor, over a connection of its own."""
        connection = http.client.HTTPConnection(HOST)
        with self._connect() as connection.sock:
            connection.request(method, path, headers=headers or {})
            answer = connection.getresponse()
            found = {name.lower(): value for name, value in answer.getheaders()}
            return Answer(answer.status, found, answer.read())

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(20)


class Nginx(Proxy):
    program = "nginx"

    def _configure(self, upstream: str, changes: Mapping[str, str]) -> None:
        certificate, key = _make_certificate(self._folder)
        example = _change(
            (EXAMPLES / "nginx.conf").read_text(),
            {
                "server 127.0.0.1:8080;": f"server {upstream};",
                "listen 443 ssl;": f"listen 127.0.0.1:{self.port} ssl;",
                "listen [::]:443 ssl;": "",
                "/etc/ssl/go.example.com/fullchain.pem": str(certificate),
                "/etc/ssl/go.example.com/privkey.pem": str(key),
                **changes,
            },
        )
        # Another user than the edge, of the same group: what access to a Unix socket has to allow for.
        account = "user nobody root;" if os.geteuid() == 0 else ""
        folders = "".join(
            f"{name}_temp_path {self._folder}/{name};"
            for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        (self._folder / "nginx.conf").write_text(
            f"daemon off; pid {self._folder}/nginx.pid; {account} error_log stderr; events {{}}\n"
            f"http {{ access_log off; {folders}\n{example}\n}}\n"
        )

    def _command(self) -> list[str]:
        program = self.find()
        assert program is not None
        return [program, "-e", "stderr", "-p", str(self._folder), "-c", str(self._folder / "nginx.conf")]


class Caddy(Proxy):
    program = "caddy"

    def _configure(self, upstream: str, changes: Mapping[str, str]) -> None:
        example = _change(
            (EXAMPLES / "Caddyfile").read_text(),
            {
                "go.example.com {": "go.example.com {\n\tbind 127.0.0.1",
                "reverse_proxy 127.0.0.1:8080": f"reverse_proxy {upstream}",
                **changes,
            },
        )
        ours = "admin off\nlocal_certs\nskip_install_trust\nauto_https disable_redirects"
        (self._folder / "Caddyfile").write_text(f"{{\n{ours}\nhttps_port {self.port}\n}}\n{example}")

    def _command(self) -> list[str]:
        program = self.find()
        assert program is not None
        return [program, "run", "--adapter", "caddyfile", "--config", str(self._folder / "Caddyfile")]


def _change(example: str, changes: Mapping[str, str]) -> str:
    for old, new in changes.items():
        assert example.count(old) == 1, old
        example = example.replace(old, new)
    return example


def _make_certificate(folder: Path) -> tuple[Path, Path]:
    """Write a certificate for HOST that it signs itself. Give its path and that of its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, HOST)])
    today = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(today - dt.timedelta(days=1))
        .not_valid_after(today + dt.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    paths = folder / "fullchain.pem", folder / "privkey.pem"
    paths[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return paths
