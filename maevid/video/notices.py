"""Things people should know about a file, each kind told once with how often it happened."""

from __future__ import annotations


class Notices:
    """Collects messages by kind; the first text of a kind stands, later ones are counted."""

    def __init__(self) -> None:
        self._texts: dict[str, str] = {}
        self._counts: dict[str, int] = {}

    def add(self, kind: str, text: str) -> None:
        """Tell ``text``, or count it when its ``kind`` was told before."""
        self._texts.setdefault(kind, text)
        self._counts[kind] = self.count(kind) + 1

    def count(self, kind: str) -> int:
        """How often ``kind`` was told."""
        return self._counts.get(kind, 0)

    def texts(self) -> list[str]:
        """One line for each kind, in the order in which they first came."""
        return [
            text if self._counts[kind] == 1 else f"{text} (and {self._counts[kind] - 1} more like it)"
            for kind, text in self._texts.items()
        ]
