"""Ink on paper: which pixels of an image are drawn, and the connected pieces that they form.

Classical image processing (thresholds, connected components, morphology) with SciPy.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy import ndimage

from eyesmol.image.levels import readable

__all__ = ["Mask", "Pieces", "depth_of", "ink_in", "ink_of", "rules_of"]

Mask = npt.NDArray[np.bool_]  # [height, width]

_LEAST_CONTRAST = 40  # grey levels between paper and ink
_EIGHT = np.ones((3, 3), dtype=bool)
_THUMB = 96  # pixels of the image that the paper's brightness is taken from


def ink_of(image: Image.Image) -> Mask:
    """Pixels that are clearly darker than the paper around them: see `depth_of`."""
    return ink_in(depth_of(image))


def ink_in(depth: npt.NDArray[np.float32]) -> Mask:
    """The same of a depth that is known."""
    darkest = float(np.percentile(depth, 99.9)) if depth.size else 0.0
    mask: Mask = depth > max(_LEAST_CONTRAST, 0.25 * darkest)
    return mask


def depth_of(image: Image.Image) -> npt.NDArray[np.float32]:
    """How much darker than the paper (on dark paper, brighter) each pixel is. [height, width]

    The paper's brightness is a local one, so the shadow of a photographed page is no ink.
    """
    grey = np.asarray(readable(image).convert("L"), dtype=np.float32)
    return _paper(grey) - grey


def _paper(grey: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Brightness of the paper at each pixel: the lightest of the neighbourhood, smoothed."""
    height, width = grey.shape
    size = (min(_THUMB, width), min(_THUMB, height))
    small = np.asarray(Image.fromarray(grey).resize(size, Image.Resampling.BOX))
    lightest = ndimage.percentile_filter(small, 85, size=max(3, _THUMB // 6), mode="nearest")
    lightest = ndimage.uniform_filter(lightest, size=9, mode="nearest")
    paper = Image.fromarray(lightest.astype(np.float32)).resize(
        (width, height), Image.Resampling.BILINEAR
    )
    return np.asarray(paper)


@dataclass(frozen=True)
class Pieces:
    """Connected pieces of ink.

    Attributes:
        labels: number of its piece at each pixel, from 1; 0 is paper. [height, width]
        boxes: left, top, right, bottom of each piece. [N, 4]
        area: pixels of each piece. [N]
    """

    labels: npt.NDArray[np.int32]
    boxes: npt.NDArray[np.int64]
    area: npt.NDArray[np.int64]

    @classmethod
    def of(cls, mask: Mask) -> Pieces:
        """The pieces of a mask; pixels touch at their corners too."""
        labels, count = ndimage.label(mask, structure=_EIGHT, output=np.int32)
        slices = ndimage.find_objects(labels)
        boxes = np.array(
            [(x.start, y.start, x.stop, y.stop) for y, x in slices], dtype=np.int64
        ).reshape(-1, 4)
        area = np.bincount(labels.ravel(), minlength=count + 1)[1:]
        return cls(labels, boxes, area)

    @property
    def width(self) -> npt.NDArray[np.int64]:
        """[N]"""
        return self.boxes[:, 2] - self.boxes[:, 0]

    @property
    def height(self) -> npt.NDArray[np.int64]:
        """[N]"""
        return self.boxes[:, 3] - self.boxes[:, 1]

    def mask(self, chosen: npt.NDArray[np.bool_]) -> Mask:
        """Pixels of the pieces that are chosen. [height, width]"""
        found: Mask = np.concatenate([[False], chosen])[self.labels]
        return found


def rules_of(mask: Mask, length: int) -> tuple[Mask, Mask]:
    """Horizontal and vertical lines of at least a length: rules, frames of tables, axes."""
    return _runs(mask, length), _runs(mask.T, length).T


def _runs(mask: Mask, length: int) -> Mask:
    """Pixels of rows that lie in an unbroken run of at least a length."""
    height, width = mask.shape
    padded = np.zeros((height, width + 2), dtype=np.int8)
    padded[:, 1:-1] = mask
    change = np.diff(padded, axis=1)  # [height, width + 1]
    rows, begins = np.nonzero(change == 1)
    _, ends = np.nonzero(change == -1)
    long = ends - begins >= length
    marks = np.zeros((height, width + 1), dtype=np.int32)
    np.add.at(marks, (rows[long], begins[long]), 1)
    np.add.at(marks, (rows[long], ends[long]), -1)
    found: Mask = np.cumsum(marks, axis=1)[:, :-1] > 0
    return found
