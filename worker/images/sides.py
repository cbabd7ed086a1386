"""The sizes at which one picture is needed: by a model, and for its previews."""

from __future__ import annotations

from dataclasses import dataclass

from worker.images.cost import draft_scale, jpeg2000_reduction
from worker.images.pixels import shrink_factor


@dataclass(frozen=True, kw_only=True, slots=True)
class Sides:
    """``min_side`` and ``also`` of `read_image`."""

    min_side: int | None
    also: int | None

    def memory(self, size: tuple[int, int]) -> int:
        """Bytes for the second picture beside the first: a quarter of the pixels at most, or they are the same."""
        return 0 if self.also is None else size[0] * size[1]

    def share_a_run(self, data: bytes, format_name: str, size: tuple[int, int]) -> bool:
        """Whether the decoder gives the same pixels for both; it makes pictures of some formats smaller itself."""
        if self.also is None:
            return False
        if self.min_side == self.also:
            return True
        if format_name == "JPEG":
            return self._draft(size, self.min_side) == self._draft(size, self.also)
        if format_name == "JPEG2000":
            here, there = (jpeg2000_reduction(data, size, min_side=side) for side in (self.min_side, self.also))
            return here == there
        return True

    def are_same(self, decoded: tuple[int, int]) -> bool:
        """Whether both are one picture, given the size that the decoder gave it."""
        return shrink_factor(decoded, self.min_side) == shrink_factor(decoded, self.also)

    @staticmethod
    def _draft(size: tuple[int, int], side: int | None) -> int:
        return draft_scale(size, 2 * side) if side else 1
