"""Groups of channels that must keep one number: tensors that are added, scaled or passed on channel by channel."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A run of a tensor's second axis: the channels of one group, ``each`` places for every channel.

    Attributes:
        group: the number of the group, in ``Groups``.
        each: 1 in an image; the places of an image where it was flattened.
    """

    group: int
    each: int = 1


Layout: TypeAlias = tuple[Part, ...]
"""What a tensor's second axis holds, in order; more than one part behind a Concat."""


class Groups:
    """Which groups are one, how many channels each has, and which of them must stay as they are."""

    def __init__(self) -> None:
        self._root: list[int] = []
        self._size: list[int] = []
        self._fixed: list[bool] = []

    def new(self, size: int, *, fixed: bool = False) -> Part:
        """Return all of a new group with so many channels."""
        self._root.append(len(self._root))
        self._size.append(size)
        self._fixed.append(fixed)
        return Part(group=len(self._root) - 1)

    def size(self, part: Part) -> int:
        """Return how many channels the part's group has."""
        return self._size[part.group]

    def length(self, layout: Layout) -> int:
        """Return how long an axis of that layout is."""
        return sum(self.size(part) * part.each for part in layout)

    def fix(self, layout: Layout) -> None:
        """Let the groups of the layout, and all that are one with them, stay as they are."""
        for part in layout:
            self._fixed[self._find(part.group)] = True

    def join(self, layouts: Iterable[Layout]) -> bool:
        """Make the groups at each place of equally long layouts one; return whether they were parted alike."""
        first, *others = layouts
        alike = all(
            [(self.size(part), part.each) for part in other] == [(self.size(part), part.each) for part in first]
            for other in others
        )
        for other in others if alike else ():
            for one, two in zip(first, other, strict=True):
                self._unite(self._find(one.group), self._find(two.group))
        return alike

    def is_fixed(self, part: Part) -> bool:
        """Return whether the part's group must stay as it is."""
        return self._fixed[self._find(part.group)]

    def identity(self, part: Part) -> int:
        """Return a number that is equal for parts of groups that are one."""
        return self._find(part.group)

    def _find(self, group: int) -> int:
        while self._root[group] != group:
            group = self._root[group]
        return group

    def _unite(self, one: int, two: int) -> None:
        self._root[max(one, two)] = min(one, two)
        self._fixed[min(one, two)] = self._fixed[one] or self._fixed[two]
