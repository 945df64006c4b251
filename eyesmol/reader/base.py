"""What every reader does, whatever it reads with: images are opened, what was read is doubted.

Importing this loads no model and none of the libraries that run one.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image, UnidentifiedImageError

from eyesmol.answer.confidence import Calibration, CalibrationError
from eyesmol.image.loading import Box, Source, box_of, load_picture, page_of
from eyesmol.reader.embedded import DETECTOR, is_detector, model_folder
from eyesmol.recognition import Recognition

if TYPE_CHECKING:
    from eyesmol.answer.text import AnswerForm
    from eyesmol.image.segmentation import Finder

__all__ = ["Opened", "Recognizer", "RecognizerError", "read_calibration", "unreadable"]

_CALIBRATION = "calibration.json"  # beside the weights


class RecognizerError(Exception):
    """A model that cannot be used; the message names it, what was found and what to do."""


@dataclass(frozen=True)
class Opened:
    """An image that is loaded: its name, and of a document the page and where on it it lies."""

    name: str
    image: Image.Image
    page: int | None = None
    box: Box | None = None


class Recognizer(ABC):
    """Reads molecules from images.

    ::

        reader = Recognizer.from_pretrained()  # the detector; or "nano", or "runs/cot/merged"
        for result in reader.recognize(["a.png", "b.png"]):
            print(result.image, result.smiles, result.confidence)

    Attributes:
        calibration: makes a probability of the raw confidence; None leaves it raw.
        looks: how often each image is read; what most looks say is taken.
    """

    def __init__(self, calibration: Calibration | None, looks: int) -> None:
        self.calibration, self.looks = calibration, looks

    @staticmethod
    def from_pretrained(
        path_or_name: Path | str = DETECTOR,
        *,
        form: AnswerForm | None = None,
        device: Any = None,
        dtype: Any = None,
        calibration: Path | str | None = None,
        looks: int | None = None,
        threads: int | None = None,
    ) -> Recognizer:
        """Load a model: the detector, or a vision-language model.

        Args:
            path_or_name: ``detector``, which comes with EyesMol and reads drawings of any kind;
                ``nano``, the tiny vision-language model that comes with it; the folder of a merged
                model, or its name on the Hugging Face hub.
            form, device, dtype: of a vision-language model, see
                `eyesmol.reader.local.LocalRecognizer`.
            calibration: a file of ``eyesmol calibrate``; the folder's ``calibration.json`` where
                there is one.
            looks: how often each image is read, whatever the model's folder says; more looks are
                right more often and take longer. Up to 3 with the detector, which takes fewer
                where the first is sure, up to 7 with others.
            threads: of the CPU; by default one with the detector, as torch sees fit with others.

        Raises:
            RecognizerError: no such model, one that lacks a part, or what it needs is not
                installed; says which.
            ValueError: a number of looks that there are not.
        """
        folder = model_folder(path_or_name)
        if is_detector(folder):
            from eyesmol.reader.detector import DetectorRecognizer

            if form or device or dtype:
                raise RecognizerError(
                    f"{path_or_name}: form, device and dtype are of vision-language models; the "
                    "detector writes no answer and runs on the CPU"
                )
            return DetectorRecognizer.from_folder(
                folder, calibration=calibration, looks=looks, threads=threads
            )
        try:
            from eyesmol.reader.local import LocalRecognizer
        except ImportError as error:
            raise RecognizerError(
                f"{path_or_name}: a vision-language model needs {error.name}: "
                "pip install 'eyesmol[vlm]'"
            ) from None
        return LocalRecognizer.from_folder(
            folder, form=form, device=device, dtype=dtype, calibration=calibration, looks=looks,
            threads=threads,
        )  # fmt: skip

    @abstractmethod
    def recognize(
        self,
        images: Iterable[Source],
        *,
        batch_size: int = 8,
        max_new_tokens: int | None = None,
        grammar: bool = True,
        any_picture: bool = False,
        min_confidence: float = 0.0,
    ) -> Iterator[Recognition]:
        """Read images, in order, as they come; only a few batches are in memory.

        Args:
            images: paths, names of pages and members (`eyesmol.image.loading.list_pictures`), PIL
                images, encoded files as bytes, or arrays. One that cannot be read gives a
                `Recognition` with its `error`, and the others are unaffected.
            batch_size: how many are read at a time. The detector reads one after another.
            max_new_tokens: where a vision-language model's answer is cut off; 4,096 by default,
                which is about 100 atoms in JSON form and 290 in compact form.
            grammar: let it write nothing but well-formed answers.
            any_picture: read images too that show no drawing of a molecule at first sight
                (`eyesmol.image.screening`); else they are rows with that reason, and cost next to
                nothing. The detector needs no such screening: it sees whether there are bonds.
            min_confidence: below it no molecule is given; the reason says so, and the best guess
                is `Recognition.withheld_smiles`.

        Raises:
            ValueError: a batch size or a token limit below 1.
        """

    def recognize_pages(
        self, pages: Iterable[Source], *, finder: Finder | None = None, **options: Any
    ) -> Iterator[Recognition]:
        """Find the structures on pages, and read each: page by page, from the top down.

        A page without one gives nothing. `Recognition.page` and `box` say where each was found;
        places of atoms are in the pixels of the structure, so add the box's corner for the page's.

        Args:
            pages: as in `recognize`, such as ``paper.pdf#3`` of `list_pictures`.
            finder: gives the boxes of the structures on a page;
                `eyesmol.image.segmentation.find_structures` by default.
            options: as in `recognize`. Without `any_picture` what was found is not screened again.

        Raises:
            ValueError: as in `recognize`.
        """
        from eyesmol.image.segmentation import find_structures, structures_on

        finder = finder or find_structures
        found = (structure for page in pages for structure in structures_on(page, finder))
        return self.recognize(found, **{"any_picture": True, **options})

    def _open(self, source: Source, number: int, any_picture: bool) -> Opened | Recognition:
        """The image, or a recognition that says why there is none."""
        name = str(source) if isinstance(source, str | Path) else ""
        name = name or str(getattr(source, "filename", "") or f"image {number}")
        try:
            image = load_picture(source)
            box = box_of(name)
            page = page_of(name) or (1 if box else None)
            if not any_picture and (reason := self._refusal(image)):
                reason = f"no molecule: {reason}"
                return Recognition(name, reason=reason, size=image.size, page=page, box=box)
            return Opened(name, image, page, box)
        # Broken files make Pillow raise a dozen kinds of exception, and one bad image must not
        # stop the others.
        except Exception as error:
            return unreadable(name, error)

    def _refusal(self, image: Image.Image) -> str | None:
        """Why an image shows no molecule at first sight; None where it may well show one."""
        return None

    def _finished(self, result: Recognition, opened: Opened) -> Recognition:
        """What was read, with its place on a page and its confidence calibrated."""
        if self.calibration and result.raw_confidence is not None:
            result = replace(result, confidence=self.calibration(result.raw_confidence))
        return replace(result, page=opened.page, box=opened.box)

    @staticmethod
    def _doubted(result: Recognition, least: float) -> Recognition:
        """Without its best guess where the reader is not sure enough of it."""
        if result.smiles is None or (result.confidence or 0.0) >= least:
            return result
        return result.abstained(f"abstained: confidence {result.confidence} is below {least}")


def unreadable(name: str, error: Exception) -> Recognition:
    """The row of an image that cannot be opened, or not be used."""
    return Recognition(name, error=f"{name}: cannot be read as a picture: {_why(error)}")


def _why(error: Exception) -> str:
    """What is wrong with an image, in words that name no object of Python's."""
    if isinstance(error, FileNotFoundError):
        return "the file is missing"
    if isinstance(error, UnidentifiedImageError):
        return "found no format that Pillow knows; expected PNG, JPEG, TIFF, BMP, GIF, WebP or PDF"
    return str(error)


def read_calibration(
    path: Path | str | None, folder: Path | str | None = None
) -> Calibration | None:
    """A calibration: of a file, else of the one in a model's folder, where there is one.

    Raises:
        RecognizerError: it cannot be read.
    """
    if path is None and folder is not None and Path(folder, _CALIBRATION).is_file():
        path = Path(folder, _CALIBRATION)
    try:
        return Calibration.read(path) if path is not None else None
    except CalibrationError as error:
        raise RecognizerError(str(error)) from None
