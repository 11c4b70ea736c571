"""The key pair that push services know us by: made when it is first needed, and kept for good."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from control_plane.domains.push import store
from control_plane.domains.push.model import SenderKey

if TYPE_CHECKING:
    from datetime import datetime

    from control_plane.db.data_keys import SealerSource
    from control_plane.db.pool import Connection

SEALING_CONTEXT: Final = "vapid_key.private_key"
PRIVATE_KEY_BYTES: Final = 32


async def fetch_public_key(db: Connection, sealer: SealerSource, now: datetime) -> bytes:
    """Give the public key, uncompressed."""
    return (await _fetch(db, sealer, now))[1]


async def fetch_sender_key(db: Connection, sealer: SealerSource, now: datetime) -> SenderKey:
    """Give both keys. Raises SealBroken when the master key is another one."""
    sealed, public = await _fetch(db, sealer, now)
    return SenderKey(await sealer.open(sealed, SEALING_CONTEXT), public)


async def _fetch(db: Connection, sealer: SealerSource, now: datetime) -> tuple[bytes, bytes]:
    known = await store.fetch_sender_key(db)
    if known is None:
        pair = generate_private_key(SECP256R1())
        private = pair.private_numbers().private_value.to_bytes(PRIVATE_KEY_BYTES)
        public = pair.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        await store.insert_sender_key(db, await sealer.seal(private, SEALING_CONTEXT), public, now)
        # Whoever came first has made it, and it may not have been us.
        known = await store.fetch_sender_key(db)
        assert known is not None
    return known
