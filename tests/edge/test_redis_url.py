from __future__ import annotations

import pytest

from edge.contract.redis_url import read_redis_url, without_password
from edge.settings import read_settings


class TestSingleServer:
    @pytest.mark.parametrize(
        "url",
        ["redis://127.0.0.1:6379/3", "rediss://u:p%40@r.example?ssl_ca_certs=/ca", "unix:///run/r?db=1"],
    )
    def test_it_is_taken_as_it_is(self, url: str) -> None:
        read = read_redis_url(url)
        assert read.nodes == ()
        assert read.of_node("") == url


class TestCluster:
    def test_nodes_get_what_the_url_says_of_all_of_them(self) -> None:
        read = read_redis_url("redis+cluster://me:p%2Cw@a.example:7000, b.example,[::1]:7002/0?protocol=3")
        assert read.nodes == ("a.example:7000", "b.example:6379", "[::1]:7002")
        assert read.of_node("10.0.0.9:7005") == "redis://me:p%2Cw@10.0.0.9:7005/0?protocol=3"

    def test_tls_and_a_password_with_an_at_sign(self) -> None:
        read = read_redis_url("rediss+cluster://:p@w@a.example:7000")
        assert read.nodes == ("a.example:7000",)
        assert read.of_node("b:1") == "rediss://:p@w@b:1/0"

    @pytest.mark.parametrize(
        ("url", "rule"),
        [
            ("http://a", "must begin with one of redis://"),
            ("a:6379", "must begin with one of redis://"),
            ("", "must begin with one of redis://"),
            ("redis+cluster://", "the node '', which is not host:port"),
            ("redis+cluster://a:7000,,b:7001", "the node '', which is not host:port"),
            ("redis+cluster://:secret@a:port", "the node 'a:port', which is not host:port"),
            ("redis+cluster://:secret@a:70000", "the node 'a:70000', which is not host:port"),
            ("redis+cluster://:secret@[::1:7000", "which is not host:port"),
            ("redis+cluster://:secret@a:7000/2", "database '2'; a cluster has database 0 and no other"),
            ("redis+cluster://:sec{node}ret@a:7000", "write it as %7B"),
            ("redis+cluster://:sec?ret@a:7000", "write a '?' in the password as %3F"),
        ],
    )
    def test_what_is_malformed_is_refused_by_name_and_without_the_password(self, url: str, rule: str) -> None:
        with pytest.raises(ValueError, match=r"SWITCHYARD_REDIS_URL") as refused:
            read_settings({"SWITCHYARD_REDIS_URL": url or " "})
        assert rule in str(refused.value)
        assert "sec" not in str(refused.value)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://:secret@a:6379/0", "redis://a:6379/0"),
        ("rediss+cluster://me:se@cret@a:1,b:2?password=secret", "rediss+cluster://a:1,b:2"),
        ("postgresql://me:secret@db.example/switchyard", "postgresql://db.example/switchyard"),
        ("redis://a", "redis://a"),
        ("redis://:sec?ret@a", "redis"),
        ("nonsense", "nonsense"),
    ],
)
def test_messages_show_no_password(url: str, shown: str) -> None:
    assert without_password(url) == shown
