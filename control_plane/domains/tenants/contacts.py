"""Addresses that tenants give: normalised, with every fault of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeVar

import msgspec
from msgspec import UNSET

from control_plane.core.email_addresses import read_email
from control_plane.core.errors import Invalid
from control_plane.core.faults import Fault
from control_plane.core.web_addresses import normalise_origin
from control_plane.domains.tenants.model import NewTenant, TenantChanges

if TYPE_CHECKING:
    from collections.abc import Sequence

T = TypeVar("T", NewTenant, TenantChanges)

ADDRESSES: Final = ("contact_email", "billing_email")
ORIGIN_RULE: Final = "must be an origin as in https://shop.example:8443, or http:// and localhost"


def settle_contacts(given: T) -> T:
    """Normalise e-mail addresses and origins. Raises Invalid with every fault."""
    faults: list[Fault] = []
    settled: dict[str, object] = {}
    for name in ADDRESSES:
        value = getattr(given, name, None)
        if value is not None and value is not UNSET:
            settled[name] = read_email(value)
            if settled[name] is None:
                faults.append(Fault(name, "must be an e-mail address", value))
    origins = getattr(given, "allowed_origins", UNSET)
    if origins is not UNSET:
        settled["allowed_origins"] = _settle_origins(origins, faults)
    if faults:
        raise Invalid(faults)
    return msgspec.structs.replace(given, **settled)


def _settle_origins(origins: Sequence[str], faults: list[Fault]) -> tuple[str, ...]:
    """Give origins as browsers write them, each once."""
    normal = [normalise_origin(origin) for origin in origins]
    faults += [
        Fault(f"allowed_origins[{n}]", ORIGIN_RULE, origins[n]) for n, one in enumerate(normal) if one is None
    ]
    return tuple(dict.fromkeys(one for one in normal if one is not None))
