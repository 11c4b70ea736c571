"""A browser with a subscription: the receiving side of RFC 8291, and a push service that it is behind."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import hmac
import secrets
from typing import TYPE_CHECKING, Any

import msgspec
from cryptography.hazmat.primitives.asymmetric.ec import (
    ECDH,
    SECP256R1,
    EllipticCurvePublicKey,
    derive_private_key,
)
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from joserfc import jwt
from joserfc.jwk import ECKey

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


def encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


class Browser:
    """Holds the private key of a subscription."""

    def __init__(self, private: int | None = None, secret: bytes | None = None) -> None:
        self._key = derive_private_key(private or secrets.randbelow(2**255) + 1, SECP256R1())
        self.secret = secret or secrets.token_bytes(16)

    @property
    def public(self) -> bytes:
        return self._key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)

    def subscription(self, endpoint: str) -> dict[str, Any]:
        """What `PushSubscription.toJSON()` gives."""
        return {"endpoint": endpoint, "keys": {"p256dh": encode(self.public), "auth": encode(self.secret)}}

    def decrypt(self, body: bytes) -> bytes:
        """Decrypt the one record of a message, step by step as RFC 8291, section 3.4, has it."""
        salt, size, length = body[:16], int.from_bytes(body[16:20]), body[20]
        assert size >= len(body) - 21 - length
        sender_public, record = body[21 : 21 + length], body[21 + length :]
        shared = self._key.exchange(
            ECDH(), EllipticCurvePublicKey.from_encoded_point(SECP256R1(), sender_public)
        )
        prk_key = hmac.digest(self.secret, shared, hashlib.sha256)
        key_info = b"WebPush: info\0" + self.public + sender_public
        ikm = hmac.digest(prk_key, key_info + b"\x01", hashlib.sha256)
        prk = hmac.digest(salt, ikm, hashlib.sha256)
        cek = hmac.digest(prk, b"Content-Encoding: aes128gcm\0\x01", hashlib.sha256)[:16]
        nonce = hmac.digest(prk, b"Content-Encoding: nonce\0\x01", hashlib.sha256)[:12]
        padded = AESGCM(cek).decrypt(nonce, record, None).rstrip(b"\0")
        assert padded[-1:] == b"\x02"
        return padded[:-1]


class PushRequest(msgspec.Struct):
    """What a push service was sent. `headers`: names in lower case."""

    path: str
    headers: dict[str, str]
    body: bytes


class PushService:
    """A push service on the loopback address. `answers`: what it says, in turn; then 201."""

    def __init__(self) -> None:
        self.requests: list[PushRequest] = []
        self.answers: list[tuple[int, dict[str, str]]] = []
        self.origin = ""

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[PushService]:
        server = await asyncio.start_server(self._answer, "127.0.0.1", 0)
        self.origin = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with server:
            yield self

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        first, *lines = head.strip().split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        method, path, _version = first.split()
        assert method == "POST"
        self.requests.append(PushRequest(path, headers, body))
        status, extra = self.answers.pop(0) if self.answers else (201, {})
        fields = "".join(f"{name}: {value}\r\n" for name, value in extra.items())
        writer.write(
            f"HTTP/1.1 {status} x\r\n{fields}Content-Length: 0\r\nConnection: close\r\n\r\n".encode()
        )
        writer.close()


def read_vapid(authorization: str) -> tuple[dict[str, Any], bytes]:
    """Check the signature of an Authorization header as a push service does: (claims, the sender's key)."""
    scheme, _, rest = authorization.partition(" ")
    assert scheme == "vapid"
    parameters = dict(part.strip().split("=", 1) for part in rest.split(","))
    public = decode(parameters["k"])
    key = ECKey.import_key({"kty": "EC", "crv": "P-256", "x": encode(public[1:33]), "y": encode(public[33:])})
    token = jwt.decode(parameters["t"], key, algorithms=["ES256"])
    assert token.header == {"typ": "JWT", "alg": "ES256"}
    return token.claims, public
