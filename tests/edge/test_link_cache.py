from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from edge.contract.link_record import LinkState
from edge.link_cache import EVICTION_LOOKS, UNKNOWN_KEYS, LinkCache
from tests.edge.factories import make_link


def make_cache(size: int = 10) -> LinkCache:
    return LinkCache(size=size, unknown_ttl_s=2.0)


class TestLinks:
    def test_what_was_put_is_found(self) -> None:
        cache = make_cache()
        link = cache.put(make_link())
        assert cache.get("summer") is link
        assert "summer" in cache
        assert cache.get("winter") is None

    def test_an_older_version_never_replaces_a_newer_one(self) -> None:
        cache = make_cache()
        newest = cache.put(make_link(version=5))
        assert cache.put(make_link(version=4, state=LinkState.DELETED)) is newest
        assert cache.get("summer") is newest
        same = cache.put(make_link(version=5, state=LinkState.DELETED))
        assert cache.get("summer") is same is not newest

    @given(st.permutations([1, 2, 3, 4, 5]))
    def test_whatever_the_order_of_arrival_the_newest_stays(self, versions: list[int]) -> None:
        cache = make_cache()
        for version in versions:
            cache.put(make_link(version=version))
        link = cache.get("summer")
        assert link is not None
        assert link.record.version == 5

    def test_it_is_bounded(self) -> None:
        cache = make_cache(100)
        for number in range(1000):
            cache.put(make_link(slug=f"slug-{number}"))
            cache.get(f"slug-{number // 2}")
        assert len(cache) == 100

    def test_what_is_used_stays_and_what_is_not_goes(self) -> None:
        cache = make_cache(10)
        for number in range(10):
            cache.put(make_link(slug=f"used-{number}"))
        for number in range(1000):
            for used in range(5):
                assert cache.get(f"used-{used}"), number
            cache.put(make_link(slug=f"once-{number}"))
        assert "used-9" not in cache

    def test_when_all_are_used_the_oldest_goes(self) -> None:
        cache = make_cache(3)
        for slug in ("aaa", "bbb", "ccc"):
            cache.put(make_link(slug=slug))
            cache.get(slug)
        cache.put(make_link(slug="ddd"))
        assert [slug in cache for slug in ("aaa", "bbb", "ccc", "ddd")] == [False, True, True, True]

    def test_eviction_takes_constant_time_on_average(self) -> None:
        cache = make_cache(1000)
        chance = random.Random(5)
        for number in range(20_000):  # takes minutes when each eviction walks through the cache
            cache.put(make_link(slug=f"slug-{number}"))
            cache.get(f"slug-{chance.randrange(number + 1)}")
        assert len(cache) == 1000

    def test_no_eviction_searches_for_long_when_all_are_used(self) -> None:
        cache = LinkCache(size=1000, unknown_ttl_s=2.0, compiled=500)
        for number in range(1000):
            cache.put(make_link(slug=f"slug-{number}"))
            cache.get(f"slug-{number}")
        cache.store(make_link(slug="new"))
        spared = [f"slug-{number}" in cache for number in range(1000)]
        assert spared.index(False) == EVICTION_LOOKS
        assert len(cache) == 1000

    def test_replacing_a_link_evicts_nobody(self) -> None:
        cache = make_cache(2)
        cache.put(make_link(slug="aaa"))
        cache.put(make_link(slug="bbb"))
        for version in range(2, 20):
            cache.put(make_link(slug="bbb", version=version))
        assert "aaa" in cache
        assert len(cache) == 2

    def test_clearing_forgets_everything(self) -> None:
        cache = make_cache()
        cache.put(make_link())
        cache.put_unknown("winter", now_s=0)
        cache.clear()
        assert len(cache) == 0
        assert not cache.is_unknown("winter", now_s=0)


class TestCompiling:
    def test_only_so_many_are_compiled_and_all_are_found(self) -> None:
        cache = LinkCache(size=1000, unknown_ttl_s=2.0, compiled=10)
        for number in range(1000):
            cache.store(make_link(slug=f"slug-{number}"))
        assert len(cache._compiled) == 0
        for number in range(1000):
            link = cache.get(f"slug-{number}")
            assert link is not None
            assert link.record == make_link(slug=f"slug-{number}")
        assert len(cache._compiled) == 10
        assert len(cache) == 1000

    def test_a_popular_link_stays_compiled(self) -> None:
        cache = LinkCache(size=1000, unknown_ttl_s=2.0, compiled=10)
        popular = cache.put(make_link())
        for number in range(500):
            cache.put(make_link(slug=f"slug-{number}"))
            assert cache.get("summer") is popular

    def test_a_change_replaces_what_is_compiled(self) -> None:
        cache = make_cache()
        cache.put(make_link())
        cache.store(make_link(version=2))
        cache.store(make_link(version=1))
        link = cache.get("summer")
        assert link is not None
        assert link.record.version == 2

    def test_a_link_that_was_used_while_compiled_is_not_the_next_to_be_evicted(self) -> None:
        cache = LinkCache(size=3, unknown_ttl_s=2.0, compiled=1)
        for slug in ("aaa", "bbb", "ccc"):
            cache.store(make_link(slug=slug))
        cache.get("aaa")
        cache.get("aaa")
        cache.get("ccc")  # takes the room of "aaa" among the compiled ones
        cache.store(make_link(slug="ddd"))
        assert [slug in cache for slug in ("aaa", "bbb", "ccc", "ddd")] == [True, False, True, True]

    def test_slugs_that_come_and_go_take_no_room(self) -> None:
        cache = make_cache(5)
        for number in range(1000):
            cache.store(make_link())
            cache.put_unknown("summer", now_s=number)
        assert len(cache) == 0
        assert len(cache._ring) <= 10

    def test_a_record_that_cannot_be_read_counts_as_absent(self) -> None:
        cache = make_cache()
        cache.restore({"summer": b"\x9b\xa1\xff", "winter": b""})
        assert cache.get("summer") is None
        assert cache.get("winter") is None
        assert len(cache) == 0
        cache.put(make_link())
        assert cache.get("summer") is not None


class TestRestoring:
    def test_what_was_read_is_restored_and_never_replaces_what_is_there(self) -> None:
        old, cache = make_cache(), make_cache(2)
        for slug in ("aaa", "bbb", "ccc"):
            old.store(make_link(slug=slug))
        newer = cache.put(make_link(slug="aaa", version=2))
        cache.restore(old.read_values([*old.list_keys(), "gone"]))
        assert cache.get("aaa") is newer
        assert cache.get("bbb") is not None
        assert "ccc" not in cache  # what is there is never pushed out


class TestUnknown:
    def test_it_is_believed_for_its_time(self) -> None:
        cache = make_cache()
        cache.put_unknown("winter", now_s=100.0)
        assert cache.is_unknown("winter", now_s=100.0)
        assert cache.is_unknown("winter", now_s=101.9)
        assert not cache.is_unknown("winter", now_s=102.0)
        assert not cache.is_unknown("winter", now_s=101.0)  # asked too late once, it is forgotten

    def test_finding_it_unknown_again_prolongs_it(self) -> None:
        cache = make_cache()
        cache.put_unknown("winter", now_s=100.0)
        cache.put_unknown("winter", now_s=101.0)
        assert cache.is_unknown("winter", now_s=102.5)

    def test_a_link_that_appears_is_known(self) -> None:
        cache = make_cache()
        cache.put_unknown("summer", now_s=0)
        cache.put(make_link())
        assert not cache.is_unknown("summer", now_s=0)
        cache.put_unknown("winter", now_s=0)
        cache.forget_unknown("winter")
        cache.forget_unknown("never seen")
        assert not cache.is_unknown("winter", now_s=0)

    def test_a_flood_of_unknown_slugs_is_bounded_and_evicts_no_link(self) -> None:
        cache = make_cache(2)
        cache.put(make_link())
        for number in range(UNKNOWN_KEYS + 1000):
            cache.put_unknown(f"x{number}", now_s=0)
        assert len(cache._unknown) == UNKNOWN_KEYS
        assert "summer" in cache
        assert not cache.is_unknown("x999", now_s=0)
        assert cache.is_unknown("x1000", now_s=0)
