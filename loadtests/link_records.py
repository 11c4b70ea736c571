"""Links for benchmarks, as the edge knows them: made up, the same at every call."""

from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING

from edge.contract import redis_keys
from edge.contract.link_record import LinkRecord, LinkState, Stickiness, Variant, encode_link

if TYPE_CHECKING:
    import random

    from redis import Redis

SEEDED_AT_ONCE = 1000


def make_slug(number: int) -> str:
    """Name the link with this number."""
    return f"s{number:07d}"


def make_record(number: int, chance: random.Random) -> LinkRecord:
    """Make an A/B link with two destinations of some 55 characters each."""
    slug = make_slug(number)
    variants = tuple(
        Variant(
            chance.randbytes(16), label, f"https://shop.example/offers/{slug}/{label}?utm_source=mail", weight
        )
        for label, weight in (("calm", 70), ("loud", 30))
    )
    ids = chance.randbytes(16), chance.randbytes(16)
    return LinkRecord(*ids, slug, 1, LinkState.ACTIVE, variants, {}, None, None, Stickiness.COOKIE, True)


def seed_links(redis: Redis, numbers: range, chance: random.Random) -> None:
    """Write links to Redis as the publisher does, without a row in Postgres: what clicks need not have."""
    for first in range(numbers.start, numbers.stop, SEEDED_AT_ONCE):
        batch = [
            make_record(number, chance) for number in range(first, min(first + SEEDED_AT_ONCE, numbers.stop))
        ]
        redis.mset({redis_keys.link(record.slug): encode_link(record) for record in batch})


def draw_by_popularity(ranked: list[str], draws: int, chance: random.Random) -> list[str]:
    """Draw slugs by Zipf's law: the one at rank n comes 1/n as often as the first."""
    weights = list(accumulate(1 / rank for rank in range(1, len(ranked) + 1)))
    return chance.choices(ranked, cum_weights=weights, k=draws)
