"""The pixel frame: the size at which the model sees an image; answers are written in its pixels.

Qwen2.5-VL resizes every image to a grid of 28-pixel cells inside a pixel budget and grounds in
the absolute pixels of the result. Builder and reader resize with this one class, so that training
and reading cannot differ; the model's own processor then finds nothing left to resize.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from PIL import Image

from eyesmol.image.levels import on_white

__all__ = ["PixelFrame"]


@dataclass(frozen=True)
class PixelFrame:
    """A pixel budget and the grid inside it.

    Attributes:
        min_pixels, max_pixels: the budget, width times height after resizing.
        factor: cell edge in pixels; patch size 14 times merge size 2 for Qwen2.5-VL.
    """

    min_pixels: int = 256 * 28 * 28
    max_pixels: int = 512 * 28 * 28
    factor: int = 28

    def __post_init__(self) -> None:
        cell = self.factor**2
        if not 0 < self.min_pixels <= self.max_pixels // cell * cell:
            raise ValueError(
                f"pixel frame: min_pixels {self.min_pixels}, max_pixels {self.max_pixels}; "
                f"expected at least one whole number of cells ({cell} pixels each) between the two"
            )

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> PixelFrame:
        """From the ``pixel_frame`` entry of a ``dataset_info.json``."""
        return cls(**{name: int(values[name]) for name in ("min_pixels", "max_pixels", "factor")
                      if name in values})  # fmt: skip

    def to_dict(self) -> dict[str, int]:
        """For ``dataset_info.json``."""
        return asdict(self)

    def size(self, width: int, height: int) -> tuple[int, int]:
        """Width and height in the frame: Qwen's own ``smart_resize``, kept inside the budget.

        A size of the frame maps to itself, here and in Qwen's processor.

        Raises:
            ValueError: an empty image, or one more than 200 times as long as wide.
        """
        if min(width, height) < 1 or max(width, height) > 200 * min(width, height):
            raise ValueError(
                f"image of {width} x {height} pixels: expected sides of at least 1 pixel and an "
                "aspect ratio of at most 200; crop it to the molecule"
            )
        w, h = self._smart_resize(width, height)
        return (w, h) if self._holds(w, h) else self._nearest(width / height)

    def _holds(self, width: int, height: int) -> bool:
        return self.min_pixels <= width * height <= self.max_pixels

    def _smart_resize(self, width: int, height: int) -> tuple[int, int]:
        """Qwen's rule: round to the grid, then shrink or grow into the budget."""
        cell = self.factor
        w, h = (max(cell, round(side / cell) * cell) for side in (width, height))
        if w * h > self.max_pixels:
            shrink = math.sqrt(width * height / self.max_pixels)
            w, h = (max(cell, math.floor(side / shrink / cell) * cell) for side in (width, height))
        elif w * h < self.min_pixels:
            grow = math.sqrt(self.min_pixels / (width * height))
            w, h = (math.ceil(side * grow / cell) * cell for side in (width, height))
        return w, h

    def _nearest(self, aspect: float) -> tuple[int, int]:
        """The size inside the budget with the nearest aspect ratio, the larger one of two alike.

        For budgets so tight that Qwen's rule rounds out of them. The processor would then resize
        the image a second time, and the answer's places would be off without a word.
        """
        cell, area = self.factor, self.factor**2
        fewest, most = -(-self.min_pixels // area), self.max_pixels // area
        sizes = (
            (columns * cell, rows * cell)
            for columns in range(1, most + 1)
            for rows in range(-(-fewest // columns), most // columns + 1)
        )
        return min(sizes, key=lambda s: (abs(math.log(s[0] / s[1] / aspect)), -s[0] * s[1]))

    def fit(self, image: Image.Image) -> Image.Image:
        """The image as the model sees it: RGB on white, resized to the frame.

        A point (x, y) of the original lies at (x * w' / w, y * h' / h) in the result.
        """
        rgb = on_white(image)
        size = self.size(*rgb.size)
        return rgb if size == rgb.size else rgb.resize(size, Image.Resampling.BICUBIC)
