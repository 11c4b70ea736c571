"""Request headers as bytes, decoded when they are asked for."""

from __future__ import annotations


class WireHeaders:
    """Request headers by lower-case name. `size`: bytes of all header lines."""

    __slots__ = ("_values", "size")

    def __init__(self) -> None:
        self._values: dict[str, bytes | list[bytes]] = {}
        self.size = 0

    def add(self, name: bytes, value: bytes) -> None:
        """Add one header line."""
        self.size += len(name) + len(value) + 4
        key = name.decode("latin-1").lower()
        present = self._values.get(key)
        if present is None:
            self._values[key] = value
        elif isinstance(present, list):
            present.append(value)
        else:
            self._values[key] = [present, value]

    @property
    def has_one_host(self) -> bool:
        """Tell whether there is exactly one Host header."""
        return type(self._values.get("host")) is bytes

    @property
    def announces_body(self) -> bool:
        """Tell whether a header speaks of a body, or of what is expected before one."""
        values = self._values
        return "content-length" in values or "transfer-encoding" in values or "expect" in values

    def get(self, key: str, default: None = None, /) -> str | None:
        """Give the first value of a header, or None."""
        value = self._values.get(key)
        if value is None:
            return default
        if isinstance(value, list):
            value = value[0]
        return value.decode(errors="replace")

    def get_all(self, key: str, /) -> list[str]:
        """Give every value of a header, in the order in which they came."""
        value = self._values.get(key)
        if value is None:
            return []
        lines = value if isinstance(value, list) else [value]
        return [line.decode(errors="replace") for line in lines]
