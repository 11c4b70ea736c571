from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtests.capacity_model import Costs, Resource, Site, find_bottleneck, lay_out, lay_out_bench

positive = st.floats(min_value=0.01, max_value=1e4)
costs = st.builds(Costs, **dict.fromkeys(Costs.__struct_fields__, positive))
counts = st.integers(min_value=1, max_value=10_000)
sites = st.builds(
    Site, edges=counts, shards=counts, flushers=counts, postgres_cores=counts, misses=st.floats(0, 1)
)


def capacity(site: Site, of: Costs) -> float:
    return find_bottleneck(lay_out(site, of)).clicks_per_s


@given(sites, costs, st.sampled_from(["edges", "shards", "flushers", "postgres_cores"]), counts)
def test_more_of_a_part_never_carries_less(site: Site, of: Costs, part: str, more: int) -> None:
    larger = msgspec.structs.replace(site, **{part: getattr(site, part) + more})
    assert capacity(larger, of) >= capacity(site, of)


@given(sites, costs)
def test_more_of_what_gives_out_first_is_what_helps(site: Site, of: Costs) -> None:
    parts = {
        "edges": "edges",
        "edges' network": "edges",
        "Redis": "shards",
        "shards' network": "shards",
        "flushers": "flushers",
        "Postgres": "postgres_cores",
    }
    least = find_bottleneck(lay_out(site, of))
    doubled = {part: getattr(site, part) * (2 if part != parts[least.name] else 1) for part in parts.values()}
    others_doubled = msgspec.structs.replace(site, **doubled)
    assert capacity(others_doubled, of) == pytest.approx(capacity(site, of))


@given(sites, costs)
def test_the_bottleneck_is_the_least_and_at_its_rate_nothing_is_overloaded(site: Site, of: Costs) -> None:
    resources = lay_out(site, of)
    least = find_bottleneck(resources)
    assert all(least.clicks_per_s <= one.clicks_per_s for one in resources)
    assert all(least.clicks_per_s * one.demand <= one.supply * (1 + 1e-9) for one in resources)


@given(sites, costs, st.integers(2, 50))
def test_a_site_of_so_many_times_everything_carries_so_many_times_as_much(
    site: Site, of: Costs, times: int
) -> None:
    parts = ("edges", "shards", "flushers", "postgres_cores")
    multiple = msgspec.structs.replace(site, **{part: getattr(site, part) * times for part in parts})
    assert capacity(multiple, of) == pytest.approx(capacity(site, of) * times)


@given(sites, costs)
def test_more_misses_never_carry_more(site: Site, of: Costs) -> None:
    assert capacity(msgspec.structs.replace(site, misses=1.0), of) <= capacity(site, of)


def test_by_hand() -> None:
    of = Costs(
        edge_us=20.0,
        edge_miss_us=100.0,
        valkey_us=1.0,
        valkey_miss_us=10.0,
        flusher_us=10.0,
        flusher_cpu_us=8.0,
        postgres_us=5.0,
        request_bytes=400.0,
        answer_bytes=300.0,
        event_bytes=250.0,
    )
    found = {
        one.name: one.clicks_per_s
        for one in lay_out(Site(edges=4, shards=2, flushers=1, postgres_cores=3, misses=0.05), of)
    }
    assert found == pytest.approx(
        {
            "edges": 4e6 / 25,
            "Redis": 2e6 / 1.5,
            "flushers": 1e6 / 10,
            "Postgres": 3e6 / 5,
            # Out: answer, event and a packet's 78 bytes; in would be 478.
            "edges' network": 4 * 125e6 / 628,
            "shards' network": 2 * 1250e6 / 250,
        }
    )
    bench = {one.name: one.clicks_per_s for one in lay_out_bench(of, 6.0)}
    assert bench == pytest.approx({"the edge's core": 1e6 / 20, "the other core": 1e6 / 20})


def test_what_costs_nothing_never_gives_out() -> None:
    free, dear = Resource("free", 1.0, 0.0), Resource("dear", 1.0, 2.0)
    assert find_bottleneck([free, dear]) is dear


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"edges": 0}, "edges 0: must be 1 or more"),
        ({"postgres_cores": -1}, "postgres_cores -1: must be 1 or more"),
        ({"misses": 1.5}, r"misses 1\.5: must be from 0 to 1"),
    ],
)
def test_a_site_that_cannot_be_is_refused(change: dict[str, float], sentence: str) -> None:
    site = {"edges": 1, "shards": 1, "flushers": 1, "postgres_cores": 1} | change
    with pytest.raises(msgspec.ValidationError, match=sentence):
        msgspec.convert(site, Site)
