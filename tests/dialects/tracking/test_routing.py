"""What lies below /v1 and is answered outside the domains: in this contract's shape, or the other's."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    import httpx

OURS = ("projects", "visits", "clicks", "checkouts", "sales", "refunds", "upsells", "blog", "erasures")


@pytest.mark.parametrize("name", [*OURS, "campaigns"])
async def test_unknown_paths_of_this_contract(anonymous: httpx.AsyncClient, name: str) -> None:
    response = await anonymous.get(f"/v1/{name}/a/b/c/d", headers={"Accept-Language": "es"})
    assert response.status_code == 404
    assert response.json() == {
        "error": {
            "code": "not_found",
            "message": "Recurso no encontrado",
            "request_id": response.headers["X-Request-ID"],
            "details": {"text": f"There is nothing at /v1/{name}/a/b/c/d"},
        }
    }
    assert response.headers["Content-Language"] == "es"
    assert "Accept-Language" in response.headers["Vary"]


@pytest.mark.parametrize("path", ["/v1/salesforce", "/v1/users/a/b/c", "/v1/nothing"])
async def test_unknown_paths_of_the_identity_contract(anonymous: httpx.AsyncClient, path: str) -> None:
    response = await anonymous.get(path)
    assert response.status_code == 404
    assert response.headers["Content-Type"] == "application/problem+json"
