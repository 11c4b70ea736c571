from __future__ import annotations

from typing import TYPE_CHECKING

from loadtests import bench_logins

if TYPE_CHECKING:
    import pytest


def test_an_attack_is_bounded_and_no_redirect_is_lost(capsys: pytest.CaptureFixture[str]) -> None:
    bench_logins.run(rate=200, redirects=100, seconds=2, rounds=1)
    printed = capsys.readouterr().out
    assert "redirects by status: {'302': 200}" in printed
    assert "'429'" in printed
    assert "'401'" in printed
