"""Whether Redis has every link: the markers, and which of them are to be believed.

A resync ends by setting a marker for each group of links, `<history>:<epoch>`. The history is the
replication id of the master that it wrote to. A server that starts has a new one, and so has a
replica that takes over: a marker that came along in an old dump, by replication that may have
been behind, or with slots that moved, names another history than its server's, and counts for
nothing until the next resync.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from redis.exceptions import RedisError

from edge.contract import redis_keys

if TYPE_CHECKING:
    from edge.contract.redis_shards import RedisShards

ASK_HISTORY: Final = "INFO replication"
"""The command, in one word so that redis-py leaves the answer as it is: only one line of it counts."""

_HISTORY: Final = b"master_replid:"


async def read_markers(shards: RedisShards) -> list[bytes | None]:
    """Give the marker of every group; None for one that is missing or not to be believed."""
    keys = [redis_keys.links_ready(group) for group in range(redis_keys.GROUPS)]
    found: dict[str, bytes | None] = {}
    for of_one_master in await shards.split(keys):
        async with (
            shards.at(of_one_master[0]) as redis,
            redis.pipeline(transaction=False) as pipe,
        ):
            for key in of_one_master:
                pipe.get(key)
            pipe.execute_command(ASK_HISTORY)
            *markers, answer = await pipe.execute()
        history = read_history(answer)
        for key, marker in zip(of_one_master, markers, strict=True):
            found[key] = marker if is_marker_of(marker, history) else None
    return [found[key] for key in keys]


def is_marker_of(marker: bytes | None, history: bytes) -> bool:
    """Tell whether a server with this history may be believed when it has `marker`."""
    return marker is not None and marker.partition(b":")[0] == history


def read_history(answer: bytes) -> bytes:
    """Give a server's history from its answer to ASK_HISTORY. Raises RedisError if it names none."""
    history = answer.partition(_HISTORY)[2].split(b"\r", 1)[0]
    if not history:
        raise RedisError("INFO replication does not say master_replid, without which no link is vouched for")
    return history
