"""Every error that a domain can raise has a status and a text in every contract."""

from __future__ import annotations

import importlib
import pkgutil
from typing import TYPE_CHECKING

import control_plane
from control_plane.core.errors import DomainError
from control_plane.dialects.statuses import STATUS, status_of

if TYPE_CHECKING:
    from collections.abc import Iterator


def every_error() -> Iterator[type[DomainError]]:
    for module in pkgutil.walk_packages(control_plane.__path__, "control_plane."):
        importlib.import_module(module.name)
    pending = list(DomainError.__subclasses__())
    while pending:
        kind = pending.pop()
        pending += kind.__subclasses__()
        yield kind


def test_every_error_has_a_status() -> None:
    errors = list(every_error())
    assert len(errors) > len(STATUS)
    assert {status_of(kind) for kind in errors} == set(STATUS.values())


def test_every_error_has_its_own_code() -> None:
    codes = [kind.__dict__["code"] for kind in every_error()]
    assert len(codes) == len(set(codes))
