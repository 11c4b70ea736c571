"""Keys and tokens: what is let through, and what never is."""

from __future__ import annotations

import base64
import json
import uuid
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jwt
from joserfc.jwk import OctKey

from control_plane.core.tokens import InvalidToken, issue_token, verify_token
from control_plane.domains.api_keys.model import PREFIXES, KeyKind
from control_plane.domains.api_keys.secret import make_secret
from edge.contract.intake_record import INTAKE_KEY_PREFIX
from edge.contract.key_format import ALPHABET, checksum, hash_secret, is_well_formed

PREFIX = "klinky_live_"
SECRET = "a secret of the tests, long enough"
ISSUER = "switchyard"
NOW = datetime(2026, 5, 4, 10, 20, 30, tzinfo=UTC)
USER = uuid.UUID("0198c0de-0000-7000-8000-000000000001")


class TestKeys:
    def test_a_key_is_32_characters_after_its_prefix(self) -> None:
        keys = {make_secret(PREFIX) for _ in range(200)}
        assert len(keys) == 200
        assert {len(key) for key in keys} == {len(PREFIX) + 32}
        assert all(is_well_formed(key, PREFIX) for key in keys)

    def test_the_edge_knows_how_keys_begin_that_may_report_sales(self) -> None:
        assert PREFIXES[KeyKind.IDENTITY, "Live"] == INTAKE_KEY_PREFIX

    def test_the_checksum_is_crc32_in_base_62(self) -> None:
        assert checksum("123456789") == "".join(
            ALPHABET[0xCBF43926 // 62**power % 62] for power in range(5, -1, -1)
        )

    @given(st.integers(0, 43), st.sampled_from(ALPHABET))
    def test_one_wrong_character_is_noticed(self, position: int, character: str) -> None:
        key = make_secret(PREFIX)
        changed = key[:position] + character + key[position + 1 :]
        assert is_well_formed(changed, PREFIX) is (changed == key)

    @given(st.text(max_size=60) | st.text(min_size=32, max_size=32).map(PREFIX.__add__))
    def test_other_texts_are_no_keys(self, text: str) -> None:
        assert not is_well_formed(text, PREFIX)

    def test_the_hash_is_sha256(self) -> None:
        assert hash_secret("abc").hex().startswith("ba7816bf8f01cfea414140de5dae2223")


class TestTokens:
    def verify(self, token: str, now: datetime = NOW) -> uuid.UUID:
        return verify_token(token, secret=SECRET, issuer=ISSUER, now=now).user_id

    def sign(self, alg: str = "HS256", secret: str = SECRET, **changes: object) -> str:
        claims = {
            "iss": ISSUER,
            "aud": "authenticated",
            "sub": str(USER),
            "exp": int(NOW.timestamp()) + 60,
        } | changes
        claims = {name: value for name, value in claims.items() if value is not None}
        return jwt.encode({"alg": alg}, claims, OctKey.import_key(secret), algorithms=[alg])

    def test_an_issued_token_names_its_user_until_it_expires(self) -> None:
        token = issue_token(USER, secret=SECRET, issuer=ISSUER, now=NOW, ttl_s=60)
        assert self.verify(token) == USER
        assert self.verify(token, NOW + timedelta(seconds=59)) == USER
        with pytest.raises(InvalidToken):
            self.verify(token, NOW + timedelta(seconds=60))

    def test_what_is_signed_here_is_the_shape_that_passes(self) -> None:
        assert self.verify(self.sign()) == USER
        assert self.verify(self.sign(aud=["other", "authenticated"])) == USER

    @pytest.mark.parametrize(
        "changes",
        [
            {"secret": "another secret, quite as long as it"},
            {"alg": "HS512", "secret": SECRET * 2},
            {"iss": "someone"},
            {"iss": None},
            {"aud": "anon"},
            {"aud": None},
            {"exp": None},
            {"exp": "tomorrow"},
            {"sub": None},
            {"sub": "me"},
            {"sub": 7},
            {"nbf": int(NOW.timestamp()) + 30},
        ],
    )
    def test_anything_else_is_refused(self, changes: dict[str, str]) -> None:
        token = self.sign(**changes)
        with pytest.raises(InvalidToken):
            self.verify(token)

    def test_none_is_no_algorithm(self) -> None:
        _, payload, _ = self.sign().split(".")
        header = base64.urlsafe_b64encode(json.dumps({"alg": "none"}).encode()).decode().rstrip("=")
        for token in (f"{header}.{payload}.", f"{header}.{payload}", f".{payload}."):
            with pytest.raises(InvalidToken):
                self.verify(token)

    @given(st.text(max_size=40) | st.from_regex(r"[\w-]{0,9}\.[\w-]{0,9}\.[\w-]{0,9}"))
    def test_no_text_breaks_it(self, text: str) -> None:
        with pytest.raises(InvalidToken):
            self.verify(text)
