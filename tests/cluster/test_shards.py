from __future__ import annotations

import asyncio
import os
import signal
from typing import TYPE_CHECKING, Any

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import MovedError

from control_plane.core.redis_client import open_redis
from edge.contract.redis_shards import REDIS_FAULTS, RedisShards
from tests.support import eventually, free_port

if TYPE_CHECKING:
    from tests.cluster.valkey_cluster import ValkeyCluster

pytestmark = pytest.mark.xdist_group("cluster")

KEYS = [f"key-{number}" for number in range(60)]


async def write(shards: RedisShards, key: str) -> bool:
    """Write a key; tell whether the master that was asked took it."""
    try:
        async with shards.at(key) as redis:
            return bool(await redis.set(key, "1"))
    except REDIS_FAULTS:
        return False


async def test_every_key_goes_to_the_master_that_holds_it(
    cluster: ValkeyCluster, shards: RedisShards
) -> None:
    for key in KEYS:
        assert await write(shards, key)
    for keys in await shards.split(KEYS):
        assert {cluster.master_of(key).port for key in keys} == {cluster.master_of(keys[0]).port}
        async with shards.at(keys[0]) as redis:
            assert await redis.exists(*keys[:1]) == 1
    assert len(await shards.split(KEYS)) == len(await shards.list_masters()) == 3


async def test_one_node_of_the_url_is_enough(cluster: ValkeyCluster) -> None:
    url = cluster.url.replace("@", f"@127.0.0.1:{free_port()},")
    async with open_redis(url, timeout_s=5.0) as shards:
        await eventually(lambda: write(shards, "a"))


async def test_a_wrong_password_is_a_fault_with_its_reason(cluster: ValkeyCluster) -> None:
    account, _at, hosts = cluster.url.rpartition("@")
    async with open_redis(f"{account}x@{hosts}", timeout_s=5.0) as shards:
        with pytest.raises(RedisConnectionError, match="invalid username-password"):
            async with shards.at("a"):
                pass


async def test_after_a_takeover_the_old_map_costs_one_fault(
    cluster: ValkeyCluster, shards: RedisShards
) -> None:
    master = cluster.master_of("a")
    replica = cluster.replica_of(master)
    assert await write(shards, "a")
    replica.ask("CLUSTER FAILOVER")
    await eventually(lambda: replica.role() == "master" and master.role() == "slave")
    with pytest.raises(MovedError):
        async with shards.at("a") as redis:
            await redis.set("a", "2")
    assert await write(shards, "a")

    async def write_again() -> bool:
        async with shards.at("a") as redis:
            return bool(await redis.set("a", "3"))

    master.ask("CLUSTER FAILOVER")
    await eventually(lambda: master.role() == "master" and replica.role() == "slave")
    assert await shards.try_twice(write_again)


async def test_a_killed_master_is_replaced_and_others_go_on(
    cluster: ValkeyCluster, shards: RedisShards
) -> None:
    gone = cluster.master_of("a")
    others = [key for key in KEYS if cluster.master_of(key) is not gone]
    gone.kill()
    await eventually(lambda: write(shards, "a"), timeout_s=30)
    for key in others:
        await eventually(lambda: write(shards, key))  # noqa: B023  awaited here


async def test_a_node_that_hangs_does_not_keep_the_others_from_being_found(cluster: ValkeyCluster) -> None:
    hanging = cluster.nodes[0]
    others = [key for key in KEYS if cluster.master_of(key) is not hanging]
    os.kill(hanging.server.pid, signal.SIGSTOP)
    try:
        async with open_redis(cluster.url, timeout_s=5.0) as shards:
            for key in others:
                await eventually(lambda: write(shards, key))  # noqa: B023  awaited here
    finally:
        os.kill(hanging.server.pid, signal.SIGCONT)


async def test_nodes_are_asked_in_turn(
    cluster: ValkeyCluster, shards: RedisShards, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that is cut off from the others, and does not know it, is not asked for ever."""
    asked, take_over = [], shards._take_over

    async def take_over_and_note(ranges: list[Any], node: str) -> None:
        asked.append(node)
        await take_over(ranges, node)

    monkeypatch.setattr(shards, "_take_over", take_over_and_note)
    for _ in range(2 * len(cluster.nodes)):
        shards._is_stale, shards._next_look_up_s = True, 0.0
        assert await write(shards, "a")
    assert set(asked) == {f"127.0.0.1:{node.port}" for node in cluster.nodes}


async def test_a_cluster_that_is_not_there_is_a_fault(cluster: ValkeyCluster) -> None:
    url = f"redis+cluster://127.0.0.1:{free_port()}"
    async with open_redis(url, timeout_s=1.0) as shards:
        answers = await asyncio.gather(*(write(shards, key) for key in KEYS))
        assert not any(answers)
        with pytest.raises(REDIS_FAULTS):
            await shards.list_masters()
    assert cluster.masters()
