"""Secrets at rest: sealed with a data key, which is itself sealed with the master key.

A sealed value is the data key's version (2 bytes, big-endian), a nonce (12 bytes), and AES-256-GCM's
ciphertext with its tag. `context` names the place that the value is for, as in
"mfa_factors.secret:<id>"; a value that is moved elsewhere does not open there.
"""

from __future__ import annotations

import base64
import binascii
import os
from typing import TYPE_CHECKING, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

if TYPE_CHECKING:
    from collections.abc import Mapping

KEY_BYTES: Final = 32
NONCE_BYTES: Final = 12
VERSION_BYTES: Final = 2


class SealBroken(Exception):  # noqa: N818  named for what happened
    """A value cannot be opened: it was changed, moved, or sealed under another key."""


class KeyUnknown(SealBroken):
    """The value's data key is not among those that are loaded. `version`: which one it is."""

    def __init__(self, version: int) -> None:
        super().__init__(f"data key {version} is not loaded")
        self.version = version


class Sealer:
    """Seals with the newest data key and opens with any. `keys`: version -> 32 bytes."""

    def __init__(self, keys: Mapping[int, bytes]) -> None:
        self._ciphers = {version: AESGCM(key) for version, key in keys.items()}
        self.version = max(keys)

    def seal(self, plaintext: bytes, context: str) -> bytes:
        """Seal a value for its place."""
        nonce = os.urandom(NONCE_BYTES)
        sealed = self._ciphers[self.version].encrypt(nonce, plaintext, context.encode())
        return self.version.to_bytes(VERSION_BYTES) + nonce + sealed

    def open(self, sealed: bytes, context: str) -> bytes:
        """Open a value in its place. Raises SealBroken, of it KeyUnknown for a key that is newer."""
        version = version_of(sealed)
        if version not in self._ciphers:
            raise KeyUnknown(version)
        nonce, rest = sealed[VERSION_BYTES:][:NONCE_BYTES], sealed[VERSION_BYTES + NONCE_BYTES :]
        try:
            return self._ciphers[version].decrypt(nonce, rest, context.encode())
        except (InvalidTag, ValueError) as error:
            raise SealBroken(f"the value for {context} does not open") from error


def version_of(sealed: bytes) -> int:
    """Give the version of the data key that a value is sealed with."""
    return int.from_bytes(sealed[:VERSION_BYTES])


def wrap_key(key: bytes, master_key: bytes, version: int) -> bytes:
    """Seal a data key with the master key: nonce, then ciphertext with tag."""
    nonce = os.urandom(NONCE_BYTES)
    return nonce + AESGCM(master_key).encrypt(nonce, key, _key_context(version))


def unwrap_key(wrapped: bytes, master_key: bytes, version: int) -> bytes:
    """Open a data key. Raises SealBroken when the master key is another one."""
    try:
        return AESGCM(master_key).decrypt(wrapped[:NONCE_BYTES], wrapped[NONCE_BYTES:], _key_context(version))
    except (InvalidTag, ValueError) as error:
        raise SealBroken(f"the master key does not open data key {version}") from error


def read_master_key(text: str) -> bytes:
    """Read a master key: 32 bytes in base64 or base64url, or 64 hex digits. Raises ValueError."""
    if len(text) == 2 * KEY_BYTES:
        return bytes.fromhex(text)
    try:
        key = base64.b64decode(text.translate(str.maketrans("-_", "+/")), validate=True)
    except binascii.Error as error:
        raise ValueError(f"it is neither base64 nor {2 * KEY_BYTES} hex digits") from error
    if len(key) != KEY_BYTES:
        raise ValueError(f"it has {len(key)} bytes; it needs {KEY_BYTES}")
    return key


def _key_context(version: int) -> bytes:
    return f"data_keys:{version}".encode()
