"""Everything that decides what the rows of a dataset are, besides what goes in."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

from data_preprocess.build.detector_labels import Labeller
from data_preprocess.dataset.splits import SplitBy
from data_preprocess.drawing.style import StyleRange
from data_preprocess.recipes import Recipe
from eyesmol.answer.text import PROMPT_VERSION, AnswerForm
from eyesmol.exceptions import InputError
from eyesmol.image.pixel_frame import PixelFrame

__all__ = ["Settings", "Task"]

Task = Literal["cot", "instruction"]


@dataclass(frozen=True)
class Settings:
    """How rows are made; it stands in `dataset_info.json`.

    Attributes:
        task: ``cot`` (one row a drawing) or ``instruction`` (what the recipe asks).
        form: of chain-of-thought answers.
        prompt_version: of the words that ask for them: for a model that knows an older one.
        frame: the size at which the model sees the images.
        valid, test: fractions of the molecules.
        seed: of drawing styles and of the choice of questions; splits do not depend on it.
        size: width and height of drawn images, in pixels, before they go into the frame.
        style: of drawn images: ``clean``, or ``varied`` as patents, papers and scans are.
        questions: instruction rows a drawing, instead of the recipe's number.
        recipe: which questions an instruction set asks; ``short`` where none is given.
        split_by: what decides the split: the molecule, or its group where it has one.
        draw: draw every item, whatever image it has.
        images: False for rows of text alone, see `data_preprocess.build.examples.layout_only`.
        labeller: says where the atoms are on an image with a SMILES and no molfile; None for
            no such rows.

    Raises:
        InputError: a value that makes no dataset.
    """

    task: Task
    form: AnswerForm = "compact"
    prompt_version: int = PROMPT_VERSION
    frame: PixelFrame = field(default_factory=PixelFrame)
    valid: float = 0.1
    test: float = 0.1
    seed: int = 0
    size: tuple[int, int] = (448, 448)
    style: StyleRange = "clean"
    questions: int | None = None
    recipe: Recipe | None = None
    split_by: SplitBy = "molecule"
    draw: bool = False
    images: bool = True
    labeller: Labeller | None = None

    def __post_init__(self) -> None:
        if not (self.valid >= 0 and self.test >= 0 and self.valid + self.test < 1):
            raise InputError(
                f"valid {self.valid} and test {self.test}: expected fractions of at least 0 that "
                "leave something for training"
            )
        if self.questions is not None and self.questions < 1:
            raise InputError(f"questions {self.questions}: expected at least 1")
        if min(self.size) < 28 or max(self.size) > 4096:
            raise InputError(f"size {self.size}: expected sides of 28 to 4096 pixels")
        if self.task == "instruction":
            recipe = self.recipe or Recipe.load("short")
            recipe = replace(recipe, questions=self.questions or recipe.questions)
            object.__setattr__(self, "recipe", recipe)

    @property
    def chart_fraction(self) -> float:
        """Of all rows."""
        return self.recipe.charts if self.recipe else 0.0
