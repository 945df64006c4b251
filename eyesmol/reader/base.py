"""What every reader does, whatever it reads with: images are opened, what was read is doubted.

Importing this loads no model and none of the libraries that run one.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from PIL import Image
from rdkit import Chem

from eyesmol.answer.confidence import Calibration, CalibrationError
from eyesmol.image.levels import readable
from eyesmol.image.loading import Box, Source, box_of, load_picture, page_of
from eyesmol.reader.embedded import DETECTOR, is_detector, model_folder
from eyesmol.reader.options import ReadOptions
from eyesmol.reader.structures import as_sources, name_of, structures_of, unreadable
from eyesmol.recognition import Recognition

if TYPE_CHECKING:
    from eyesmol.answer.text import AnswerForm
    from eyesmol.image.segmentation import Finder

__all__ = ["Opened", "Recognizer", "RecognizerError", "read_calibration"]

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
        [result] = reader.recognize("a.png")
        for result in reader.recognize(["b.png", "paper.pdf", "scans/"]):
            print(result.image, result.smiles, result.confidence)

    Attributes:
        calibration: makes a probability of the raw confidence; None leaves it raw.
        options: how images are read, unless `recognize` is told otherwise.
    """

    most_views: ClassVar[int]
    takes_drafts: ClassVar[bool] = False
    takes_second_opinions: ClassVar[bool] = False

    def __init__(
        self, calibration: Calibration | None = None, options: ReadOptions | None = None
    ) -> None:
        self.calibration = calibration
        self.options = self._checked(options or ReadOptions())

    @staticmethod
    def from_pretrained(
        path_or_name: Path | str = DETECTOR,
        *,
        form: AnswerForm | None = None,
        device: Any = None,
        dtype: Any = None,
        calibration: Path | str | None = None,
        threads: int | None = None,
        options: ReadOptions | None = None,
        **changes: Any,
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
            threads: of the CPU; by default one with the detector, as torch sees fit with others.
            options: how images are read.
            changes: single options, such as ``views=3``: see `eyesmol.reader.options.ReadOptions`.

        Raises:
            RecognizerError: no such model, one that lacks a part, or what it needs is not
                installed; says which.
            ValueError: an option out of its range.
        """
        chosen = (options or ReadOptions()).changed(**changes)
        folder = model_folder(path_or_name)
        if is_detector(folder):
            from eyesmol.reader.detector import DetectorRecognizer

            if form or device or dtype:
                raise RecognizerError(
                    f"{path_or_name}: form, device and dtype are of vision-language models; the "
                    "detector writes no answer and runs on the CPU"
                )
            return DetectorRecognizer.from_folder(
                folder, calibration=calibration, options=chosen, threads=threads
            )
        try:
            from eyesmol.reader.local import LocalRecognizer
        except ImportError as error:
            raise RecognizerError(
                f"{path_or_name}: a vision-language model needs {error.name}: "
                "pip install 'eyesmol[vlm]'"
            ) from None
        return LocalRecognizer.from_folder(
            folder, form=form, device=device, dtype=dtype, calibration=calibration, options=chosen,
            threads=threads,
        )  # fmt: skip

    def recognize(
        self,
        images: Source | Iterable[Source],
        options: ReadOptions | None = None,
        **changes: Any,
    ) -> Iterator[Recognition]:
        """Read images, in order, as they come; only a few batches are in memory.

        Each structure on a page, each page of a document, each image of a folder or an archive
        gives a `Recognition` of its own. An image that cannot be read gives one with its `error`,
        and the others are unaffected.

        Args:
            images: one image or many: paths, names of pages and members
                (`eyesmol.image.loading.list_pictures`), PIL images, encoded files as bytes, or
                arrays.
            options: in place of the reader's own.
            changes: single options, such as ``min_confidence=0.5``: see
                `eyesmol.reader.options.ReadOptions`.

        Raises:
            ValueError: an option out of its range.
            TypeError: an option that there is not.
        """
        return self._read_all(images, self._chosen(options, changes))

    def recognize_pages(
        self,
        pages: Source | Iterable[Source],
        options: ReadOptions | None = None,
        *,
        finder: Finder | None = None,
        **changes: Any,
    ) -> Iterator[Recognition]:
        """Find the structures on pages, and read each: page by page, from the top down.

        A page without one is a row that says so. `Recognition.page` and `box` say where each was
        found; positions of atoms are in the pixels of the structure, so add the box's corner for
        the page's.

        Args:
            pages: as in `recognize`, such as ``paper.pdf#3``.
            options, changes: as in `recognize`.
            finder: gives the boxes of the structures on a page;
                `eyesmol.image.segmentation.find_structures` by default.

        Raises:
            ValueError, TypeError: as in `recognize`.
        """
        chosen = self._chosen(options, {"pages": True, **changes})
        return self._read_all(pages, chosen, finder)

    def _chosen(self, options: ReadOptions | None, changes: dict[str, Any]) -> ReadOptions:
        chosen = self._checked((options or self.options).changed(**changes))
        return chosen if chosen.views else chosen.changed(views=self.options.views)

    def _checked(self, options: ReadOptions) -> ReadOptions:
        if options.views is not None and options.views > self.most_views:
            raise ValueError(f"views {options.views}: expected 1 to {self.most_views}")
        if options.draft and not self.takes_drafts:
            raise ValueError("draft: expected a vision-language model in this process to verify it")
        if options.second_opinion and not self.takes_second_opinions:
            raise ValueError("second_opinion: expected a vision-language model to have the first")
        return options

    def _read_all(
        self, images: Source | Iterable[Source], options: ReadOptions, finder: Finder | None = None
    ) -> Iterator[Recognition]:
        sources = structures_of(as_sources(images), options.pages, finder)
        for result in self._read(sources, options):
            yield _doubted(_with_hint(result), options.min_confidence)

    @abstractmethod
    def _read(
        self, sources: Iterable[Source | Recognition], options: ReadOptions
    ) -> Iterator[Recognition]:
        """Read what is one image each, in order; recognitions pass."""

    def _open(
        self, source: Source | Recognition, number: int, options: ReadOptions
    ) -> Opened | Recognition:
        """The image, or a recognition that says why there is none."""
        if isinstance(source, Recognition):
            return source
        name = name_of(source, number)
        try:
            image = readable(load_picture(source))
            box = box_of(name)
            page = page_of(name) or (1 if box else None)
            # What was found on a page is a drawing.
            if not (options.any_image or box) and (reason := self._refusal(image)):
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


_LEAST_STRUCTURE = 7  # heavy atoms; most counter-ions and solvents have fewer


def _with_hint(result: Recognition) -> Recognition:
    """Saying so where an image seems to show several molecules."""
    if not result.smiles or "." not in result.smiles:
        return result
    parts = [Chem.MolFromSmiles(part) for part in result.smiles.split(".")]
    sizes = [part.GetNumHeavyAtoms() for part in parts]
    if sum(size >= _LEAST_STRUCTURE for size in sizes) < 2:
        return result
    note = (
        f"{len(sizes)} structures, of {' and '.join(map(str, sizes))} heavy atoms, were read as "
        "one compound; if they are several, cut the image apart"
    )
    molecule = replace(result.molecule, problems=(*result.problems, note))
    return replace(result, molecule=molecule)


def _doubted(result: Recognition, least: float) -> Recognition:
    """Without its best guess where the reader is not sure enough of it."""
    if result.smiles is None or result.confidence is None or result.confidence >= least:
        return result
    return result.abstained(f"abstained: confidence {result.confidence:.3g} is below {least:g}")


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
