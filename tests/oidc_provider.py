"""An OpenID provider on the loopback address: as strict as the real ones, and as wrong as a test asks for."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import json
import secrets
import threading
from collections import Counter
from functools import lru_cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import parse_qs, unquote_plus, urlencode, urlsplit

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from joserfc.jwk import RSAKey

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    Answer = tuple[int, dict[str, str], bytes]

CLIENT_ID = "client-1.apps.test"
CLIENT_SECRET = "of+the:client & its own"
REDIRECT_URI = "https://app.acme.test/signed-in?from=provider"


@lru_cache
def make_key(number: int, bits: int = 2048) -> RSAKey:
    """Make the provider's n-th key; it takes a while, so each is made once."""
    return RSAKey.generate_key(bits, {"kid": f"key-{number}", "use": "sig", "alg": "RS256"})


class OidcProvider:
    """Serves in threads of its own, from `with` on. What it is to do differently, tests set at any time.

    `person`: the claims of whoever signs in. `claims`: put over those of a token; None takes one out.
    `answers`: path -> the answer given there instead. `stalled`: paths that are not answered before `close`.
    `trickling`: paths that are answered byte by byte, without end. `sign`: how tokens are signed.
    """

    def __init__(self, now: Callable[[], datetime]) -> None:
        self.now = now
        self.person: dict[str, Any] = {
            "sub": "1094",
            "email": "jane@acme.test",
            "email_verified": True,
            "name": "Jane Roe",
        }
        self.claims: dict[str, Any] = {}
        self.answers: dict[str, Answer] = {}
        self.stalled: set[str] = set()
        self.trickling: set[str] = set()
        self.metadata: dict[str, Any] = {}
        self.published = [make_key(1).as_dict(private=False)]
        self.sign: Callable[[dict[str, Any]], str] = sign_with(make_key(1))
        self.echoes_nonce = True
        self.requests: Counter[str] = Counter()
        self._grants: dict[str, dict[str, str]] = {}
        self.closing = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._make_handler())
        self.issuer = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.closing.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def answer(self, path: str, query: str, form: dict[str, str], authorization: str) -> Answer:
        """Give the answer to one request."""
        if path in self.answers:
            return self.answers[path]
        match path:
            case "/.well-known/openid-configuration":
                return answer_json(200, self._describe() | self.metadata)
            case "/keys":
                return answer_json(200, {"keys": self.published})
            case "/authorize":
                return self._authorize(read_form(query))
            case "/token":
                return self._exchange(form, authorization)
        return answer_json(404, {"error": "not_found"})

    def _describe(self) -> dict[str, Any]:
        return {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize?hl=en",
            "token_endpoint": f"{self.issuer}/token",
            "jwks_uri": f"{self.issuer}/keys",
            "response_types_supported": ["code"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "token_endpoint_auth_methods_supported": ["client_secret_post", "client_secret_basic"],
        }

    def _authorize(self, asked: dict[str, str]) -> Answer:
        """Sign the person in without a question, and send them back with a code."""
        required = {
            "response_type": "code",
            "client_id": CLIENT_ID,
            "redirect_uri": REDIRECT_URI,
            "code_challenge_method": "S256",
        }
        if any(asked.get(name) != value for name, value in required.items()):
            return answer_json(400, {"error": "invalid_request"})
        if "openid" not in asked.get("scope", "").split() or len(asked.get("code_challenge", "")) != 43:
            return answer_json(400, {"error": "invalid_scope"})
        code = secrets.token_urlsafe(16)
        self._grants[code] = asked
        back = urlencode({"code": code, "state": asked.get("state", ""), "iss": self.issuer})
        return 302, {"Location": f"{asked['redirect_uri']}&{back}"}, b""

    def _exchange(self, form: dict[str, str], authorization: str) -> Answer:
        """Exchange a code, once, for the client that it was given to."""
        if not self._is_client(form, authorization):
            return answer_json(401, {"error": "invalid_client"})
        grant = self._grants.pop(form.get("code", ""), None)
        digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        if (
            grant is None
            or form.get("grant_type") != "authorization_code"
            or form.get("redirect_uri") != grant["redirect_uri"]
            or encode_part(digest) != grant["code_challenge"]
        ):
            return answer_json(400, {"error": "invalid_grant"})
        now = int(self.now().timestamp())
        claims = {"iss": self.issuer, "aud": CLIENT_ID, "iat": now, "exp": now + 3600} | self.person
        if self.echoes_nonce:
            claims["nonce"] = grant["nonce"]
        claims = {name: value for name, value in (claims | self.claims).items() if value is not None}
        token = {"access_token": "opaque", "token_type": "Bearer", "expires_in": 3599}
        return answer_json(200, token | {"id_token": self.sign(claims)})

    def _is_client(self, form: dict[str, str], authorization: str) -> bool:
        methods = (self._describe() | self.metadata)["token_endpoint_auth_methods_supported"]
        if authorization and "client_secret_basic" in methods:
            client_id, _, secret = (
                base64.b64decode(authorization.removeprefix("Basic ")).decode().partition(":")
            )
            return (unquote_plus(client_id), unquote_plus(secret)) == (CLIENT_ID, CLIENT_SECRET)
        given = (form.get("client_id"), form.get("client_secret"))
        return "client_secret_post" in methods and given == (CLIENT_ID, CLIENT_SECRET)

    def _make_handler(self) -> type[BaseHTTPRequestHandler]:
        return type("Handler", (_Handler,), {"provider": self})


class _Handler(BaseHTTPRequestHandler):
    provider: OidcProvider

    def do_GET(self) -> None:
        self.reply({})

    def do_POST(self) -> None:
        length = int(self.headers.get("Content-Length", 0))
        self.reply(read_form(self.rfile.read(length).decode()))

    def reply(self, form: dict[str, str]) -> None:
        provider, target = self.provider, urlsplit(self.path)
        provider.requests[target.path] += 1
        if target.path in provider.stalled:
            provider.closing.wait()
            return
        authorization = self.headers.get("Authorization", "")
        status, headers, body = provider.answer(target.path, target.query, form, authorization)
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if target.path in provider.trickling:
            self.end_headers()
            self.trickle()
        else:
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            with contextlib.suppress(OSError):  # a client hangs up on what is too large
                self.wfile.write(body)

    def trickle(self) -> None:
        with contextlib.suppress(OSError):
            while not self.provider.closing.wait(0.01):
                self.wfile.write(b" ")

    def log_message(self, *_: object) -> None:
        """Keep quiet."""


def answer_json(status: int, document: Any) -> Answer:
    return status, {"Content-Type": "application/json"}, json.dumps(document).encode()


def read_form(text: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(text, keep_blank_values=True).items()}


def encode_part(part: bytes) -> str:
    return base64.urlsafe_b64encode(part).decode().rstrip("=")


def sign_with(key: RSAKey, **header: Any) -> Callable[[dict[str, Any]], str]:
    """Sign as is right, but for what `header` says; None takes a member out."""
    full = {"alg": "RS256", "kid": key.kid} | header
    full = {name: value for name, value in full.items() if value is not None}

    def sign(claims: dict[str, Any]) -> str:
        unsigned = _encode_unsigned(full, claims)
        assert key.private_key is not None
        signature = key.private_key.sign(unsigned.encode(), padding.PKCS1v15(), hashes.SHA256())
        return f"{unsigned}.{encode_part(signature)}"

    return sign


def sign_with_nothing(claims: dict[str, Any]) -> str:
    """Leave the signature out, as `alg: none` does."""
    return f"{_encode_unsigned({'alg': 'none', 'kid': 'key-1'}, claims)}."


def sign_with_public_key(claims: dict[str, Any]) -> str:
    """Sign with what everybody knows: HMAC, with the public key's PEM as the secret."""
    unsigned = _encode_unsigned({"alg": "HS256", "kid": "key-1"}, claims)
    mac = hmac.digest(make_key(1).as_pem(private=False), unsigned.encode(), "sha256")
    return f"{unsigned}.{encode_part(mac)}"


def _encode_unsigned(header: dict[str, Any], claims: dict[str, Any]) -> str:
    return ".".join(encode_part(json.dumps(part).encode()) for part in (header, claims))
