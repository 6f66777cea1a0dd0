"""The fields of a message's head, as they came over the wire."""

from __future__ import annotations


class HeadFields:
    """Reads ``head``: a message's bytes from the first line to the blank one and with it."""

    head: bytes

    @property
    def fields(self) -> list[tuple[str, str]]:
        """Every header field in order: name as it was sent, value without outer blanks."""
        lines = self.head.decode("latin-1").split("\r\n")[1:-2]
        split = (line.partition(":") for line in lines)
        return [(name, value.strip()) for name, _, value in split]

    def all(self, name: str) -> list[str]:
        """The values of every field of this name, in any case."""
        return [value for each, value in self.fields if each.lower() == name.lower()]

    def header(self, name: str) -> str | None:
        """The one value of a field, or None; several are a failure."""
        values = self.all(name)
        assert len(values) <= 1, f"{name} came {len(values)} times: {values}"
        return values[0] if values else None
