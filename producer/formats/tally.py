"""What the lines of a log were. Plain values: ``status`` needs it without the libraries that parse."""

from collections import Counter
from dataclasses import dataclass, field


@dataclass
class Tally:
    """How many lines were in which format, and of whom they were.

    :param formats: lines by the format's name, with its envelopes before it: ``docker+combined``.
    :param forwarded: lines with a chain of addresses.
    :param private: those of them whose peer has a private address.
    """

    lines: int = 0
    formats: Counter[str] = field(default_factory=Counter)
    forwarded: int = 0
    private: int = 0

    def add(self, other: "Tally") -> None:
        """Count the other's lines too."""
        self.lines += other.lines
        self.formats.update(other.formats)
        self.forwarded += other.forwarded
        self.private += other.private

    @property
    def parsed(self) -> int:
        """Lines that parsed."""
        return self.formats.total()
