"""JSON Web Signatures: the examples of RFC 7515, attacks on the algorithm, and Wycheproof.

All of them against joserfc as core/tokens.py uses it: one key, one algorithm, whatever the header says.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from joserfc import jws, jwt
from joserfc.errors import JoseError
from joserfc.jwk import OctKey, RSAKey, import_key

from control_plane.core.tokens import ALGORITHM, InvalidToken, issue_token, verify_token

PAYLOAD = b'{"iss":"joe",\r\n "exp":1300819380,\r\n "http://example.com/is_root":true}'
ENCODED_PAYLOAD = (
    "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ"
)

HS256_KEY: dict[str, Any] = {
    "kty": "oct",
    "k": "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow",
}
HS256_TOKEN = (
    f"eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.{ENCODED_PAYLOAD}.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
)

RS256_KEY: dict[str, Any] = {
    "kty": "RSA",
    "n": "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-"
    "yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQ"
    "OS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2"
    "ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ",
    "e": "AQAB",
}
RS256_TOKEN = (
    f"eyJhbGciOiJSUzI1NiJ9.{ENCODED_PAYLOAD}.cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh"
    "7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBAr"
    "LIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI"
    "2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw"
)

ES256_KEY: dict[str, Any] = {
    "kty": "EC",
    "crv": "P-256",
    "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
    "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
}
ES256_TOKEN = (
    f"eyJhbGciOiJFUzI1NiJ9.{ENCODED_PAYLOAD}.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlS"
    "ApmWQxfKTUJqPP3-Kg6NU1Q"
)

UNSIGNED_TOKEN = f"eyJhbGciOiJub25lIn0.{ENCODED_PAYLOAD}."

REFUSALS = (JoseError, ValueError, TypeError, AttributeError, KeyError)
"""What core/tokens.py takes for a refusal; anything else would be answered 500."""


def read(token: str, key: dict[str, Any], algorithm: str) -> bytes | None:
    """Give the payload of a token whose signature is right, None of any other."""
    try:
        return jws.deserialize_compact(token, import_key(key), algorithms=[algorithm]).payload
    except REFUSALS:
        return None


def encode(value: dict[str, Any]) -> str:
    return encode_bytes(json.dumps(value).encode())


def encode_bytes(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).decode().rstrip("=")


def sign_by_hand(header: dict[str, Any], payload: bytes, secret: bytes) -> str:
    """Sign as HS256 does, with what joserfc would not sign with."""
    text = f"{encode(header)}.{encode_bytes(payload)}"
    return f"{text}.{encode_bytes(hmac.digest(secret, text.encode(), 'sha256'))}"


class TestRfc7515:
    @pytest.mark.parametrize(
        ("algorithm", "key", "token"),
        [
            pytest.param("HS256", HS256_KEY, HS256_TOKEN, id="A.1"),
            pytest.param("RS256", RS256_KEY, RS256_TOKEN, id="A.2"),
            pytest.param("ES256", ES256_KEY, ES256_TOKEN, id="A.3"),
        ],
    )
    def test_the_examples_pass_and_a_changed_one_does_not(
        self, algorithm: str, key: dict[str, Any], token: str
    ) -> None:
        assert read(token, key, algorithm) == PAYLOAD
        header, payload, signature = token.split(".")
        assert read(f"{header}.{payload[:-2]}fA.{signature}", key, algorithm) is None
        assert read(f"{header}.{payload}.{signature[2:]}AA", key, algorithm) is None
        assert read(f"{header}.{payload}.", key, algorithm) is None

    def test_the_example_of_a_mac_is_what_we_would_sign(self) -> None:
        key = OctKey.import_key(HS256_KEY)
        signed = jws.serialize_compact({"alg": "HS256"}, PAYLOAD, key, algorithms=["HS256"])
        assert read(signed, HS256_KEY, "HS256") == PAYLOAD

    @pytest.mark.parametrize("key", [HS256_KEY, RS256_KEY, ES256_KEY], ids=["oct", "RSA", "EC"])
    def test_a_5_is_refused_by_every_key(self, key: dict[str, Any]) -> None:
        for algorithm in ("HS256", "RS256", "ES256"):
            assert read(UNSIGNED_TOKEN, key, algorithm) is None


SECRET = "a secret of the tests, long enough"
PREVIOUS = "the secret before, just as long as"
ISSUER = "switchyard"
NOW = datetime(2026, 5, 4, 10, 20, 30, tzinfo=UTC)
USER = uuid.UUID("0198c0de-0000-7000-8000-000000000001")


def issue(secret: str) -> str:
    return issue_token(USER, secret=secret, issuer=ISSUER, now=NOW, ttl_s=60)


def is_accepted(token: str, *, secret: str = SECRET, previous_secret: str = "") -> bool:
    try:
        claims = verify_token(token, secret=secret, issuer=ISSUER, now=NOW, previous_secret=previous_secret)
    except InvalidToken:
        return False
    return claims.user_id == USER


def sign(header: dict[str, Any], secret: str) -> str:
    """Sign the claims that would be accepted, under any header."""
    claims = {"iss": ISSUER, "aud": "authenticated", "sub": str(USER), "exp": int(NOW.timestamp()) + 60}
    return jwt.encode(header, claims, OctKey.import_key(secret), algorithms=[header["alg"]])


class TestAlgorithmConfusion:
    def test_a_public_key_is_no_secret(self) -> None:
        """The attack: whoever verifies RS256 would take its public key for the key of a MAC."""
        public = RSAKey.import_key(RS256_KEY).as_pem(private=False).decode()
        confused = sign_by_hand({"alg": "HS256"}, PAYLOAD, public.encode())
        for algorithm in ("RS256", "HS256"):
            assert read(confused, RS256_KEY, algorithm) is None
        with pytest.raises(ValueError, match="public keys"):
            OctKey.import_key(public)

    @pytest.mark.parametrize("algorithm", ["RS256", "ES256", "PS256", "HS384", "HS512", "none", "hs256", ""])
    def test_a_header_does_not_choose_the_algorithm(self, algorithm: str) -> None:
        header, payload, signature = issue(SECRET).split(".")
        kid = json.loads(base64.urlsafe_b64decode(header + "=="))["kid"]
        for forged in ({"alg": algorithm, "kid": kid}, {"alg": algorithm}):
            assert not is_accepted(f"{encode(forged)}.{payload}.{signature}")
            assert not is_accepted(f"{encode(forged)}.{payload}.")

    def test_a_key_in_the_header_is_not_looked_at(self) -> None:
        own = OctKey.generate_key(256)
        header = {"alg": ALGORITHM, "jwk": own.as_dict()}
        claims = {"iss": ISSUER, "aud": "authenticated", "sub": str(USER), "exp": int(NOW.timestamp()) + 60}
        assert not is_accepted(jwt.encode(header, claims, own, algorithms=[ALGORITHM]))

    def test_what_a_header_calls_critical_is_refused_unless_understood(self) -> None:
        claims = {"iss": ISSUER, "aud": "authenticated", "sub": str(USER), "exp": int(NOW.timestamp()) + 60}
        payload, secret = json.dumps(claims).encode(), SECRET.encode()
        assert is_accepted(sign_by_hand({"alg": ALGORITHM}, payload, secret))
        assert not is_accepted(sign_by_hand({"alg": ALGORITHM, "crit": ["new"], "new": 1}, payload, secret))


class TestKeyRotation:
    def test_a_token_of_the_previous_secret_is_good_while_that_is_set(self) -> None:
        old = issue(PREVIOUS)
        assert is_accepted(old, previous_secret=PREVIOUS)
        assert not is_accepted(old)
        assert not is_accepted(old, previous_secret="yet another secret, also quite long")

    def test_new_tokens_are_of_the_new_secret(self) -> None:
        new = issue(SECRET)
        assert is_accepted(new, previous_secret=PREVIOUS)
        assert is_accepted(new)
        kid = hashlib.sha256(SECRET.encode()).hexdigest()[:16]
        assert json.loads(base64.urlsafe_b64decode(new.split(".")[0] + "=="))["kid"] == kid

    def test_the_kid_says_with_which_secret_and_no_other_is_tried(self) -> None:
        kid = hashlib.sha256(SECRET.encode()).hexdigest()[:16]
        assert is_accepted(sign({"alg": ALGORITHM, "kid": kid}, SECRET), previous_secret=PREVIOUS)
        assert not is_accepted(sign({"alg": ALGORITHM, "kid": kid}, PREVIOUS), previous_secret=PREVIOUS)

    @pytest.mark.parametrize("kid", ["unknown", "", "../../dev/null", "' OR 1=1"])
    def test_an_unknown_kid_is_refused(self, kid: str) -> None:
        token = sign({"alg": ALGORITHM, "kid": kid}, SECRET)
        assert not is_accepted(token, previous_secret=PREVIOUS)

    def test_without_a_kid_it_is_the_current_secret(self) -> None:
        assert is_accepted(sign({"alg": ALGORITHM}, SECRET), previous_secret=PREVIOUS)
        assert not is_accepted(sign({"alg": ALGORITHM}, PREVIOUS), previous_secret=PREVIOUS)


VECTORS = (
    Path(__file__).resolve().parents[2].parent
    / "shared"
    / "vectors"
    / "wycheproof-json_web_signature_test.json"
)

DEVIATIONS = {
    346: "the key says PS256, the token PS384: an algorithm that is not the key's is refused",
    350: "the same key and token as 346",
    347: "the key says ES521, which is no algorithm; it means ES512",
    351: "the same key and token as 347",
    367: "the same text as 357, which is valid: the padding that it is about was lost",
    370: "the same text as 357, which is valid: the padding that it is about was lost",
    372: "there is a '?' in the header: no base64url, hence refused, though the vector would let it pass",
    373: "there is a '?' in the payload: the same",
}
"""Where joserfc does not do what a vector of Wycheproof says, and why that is right."""


@pytest.mark.skipif(not VECTORS.exists(), reason="needs Wycheproof's vectors beside the checkout")
class TestWycheproof:
    def test_valid_passes_and_invalid_does_not(self) -> None:
        found = {}
        document = json.loads(VECTORS.read_text())
        for group in document["testGroups"]:
            key = group.get("public", group["private"])
            for case in group["tests"]:
                algorithm = key.get("alg", "RS256" if key["kty"] == "RSA" else "ES256")
                found[case["tcId"]] = (read(case["jws"], key, algorithm) is not None) == (
                    case["result"] == "valid"
                )
        assert len(found) == document["numberOfTests"] == 401
        assert {number for number, as_told in found.items() if not as_told} == set(DEVIATIONS)

    def test_the_deviations_are_what_they_are_said_to_be(self) -> None:
        groups = json.loads(VECTORS.read_text())["testGroups"]
        cases = {case["tcId"]: (case, group) for group in groups for case in group["tests"]}
        assert cases[367][0]["jws"] == cases[370][0]["jws"] == cases[357][0]["jws"]
        for number in (372, 373):
            assert "?" in cases[number][0]["jws"]
        for number, algorithm in ((346, "PS384"), (350, "PS384"), (347, "ES512"), (351, "ES512")):
            case, group = cases[number]
            key = {name: value for name, value in group["public"].items() if name != "alg"}
            assert read(case["jws"], key, algorithm) is not None
