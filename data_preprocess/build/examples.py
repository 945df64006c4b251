"""From one item of a source to an image on the model's grid with its molecule, or to a drop.

Whatever is wrong with one item harms that item alone: the reason is one of a few fixed phrases,
which the builder counts.
"""

from __future__ import annotations

import io
import math
import re
import warnings
import zipfile
import zlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from PIL import Image, ImageChops

from data_preprocess.build.align_to_ink import AlignmentError, align, settle_labels
from data_preprocess.build.detector_labels import Labeller, label
from data_preprocess.build.known_molecule import Correction, Disagreement
from data_preprocess.dataset.splits import connectivity_key, number_of
from data_preprocess.drawing.render import RenderError, StyleRange, render, render_layout
from data_preprocess.sources.files import Filed, Item
from eyesmol import MolGraph
from eyesmol.chem.expansion import expand_abbreviations
from eyesmol.chem.graph import is_element
from eyesmol.chem.molfile import (
    MolfileError,
    UnheldError,
    block_to_mol,
    check_held_by_smiles,
    has_open_labels,
    mol_to_graph,
    read_molblock,
)
from eyesmol.chem.smiles import (
    canonical_smiles,
    graph_from_smiles,
    graph_to_smiles,
    molblock_to_smiles,
)
from eyesmol.exceptions import InputError
from eyesmol.image.levels import on_white
from eyesmol.image.loading import load_picture
from eyesmol.image.pixel_frame import PixelFrame

__all__ = [
    "Drop",
    "Example",
    "Molecule",
    "fit_to_frame",
    "is_drawn",
    "layout_only",
    "molecule_in",
    "molecule_of",
    "opened",
    "render_or_load",
    "save",
]

_EDGE = (
    0.02  # an atom this fraction of the image's side outside is at a cropped edge, not misplaced
)
_MOST_PIXELS = 60_000_000  # A4 at 600 dots an inch has 35 million
_PLACED_PIXELS = 4_000_000  # what the fit needs grows with them, and finds nothing more there


class Drop(Exception):
    """This item becomes no row; the message is the reason, one of a few fixed phrases."""


@dataclass(frozen=True)
class Molecule:
    """What an item says is drawn: canonical SMILES, and the graph where a molfile gives one.

    The graph is in molfile coordinates, y up.
    """

    smiles: str
    graph: MolGraph | None = None


@dataclass(frozen=True)
class Example:
    """An image with its molecule; the graph, where there is one, is in the image's pixels.

    The image is None in a dataset without images. `labelled` says of a graph that the detector
    saw whether it was changed.
    """

    image: Image.Image | None
    graph: MolGraph | None
    smiles: str
    labelled: Correction | None = None


def is_drawn(item: Item, *, draw: bool) -> bool:
    """Whether an item's image is drawn here: it has none, or `draw` says so."""
    return draw or item.image is None


def molecule_of(item: Item, *, draw: bool, repeat_once: bool = False) -> Molecule:
    """The molecule of an item; its image is not opened.

    What a molfile shows comes before what a SMILES says. A molfile that no graph holds leaves an
    item that is drawn its SMILES.

    Args:
        item: as it was listed.
        draw: see `is_drawn`.
        repeat_once: take repeat units, which a SMILES has once; what tells of them is the graph.

    Raises:
        Drop: there is none, RDKit refuses it, or SMILES and molfile are two.
    """
    smiles = canonical_smiles(item.smiles) if item.smiles else None
    if item.molfile is not None:
        try:
            molecule = molecule_in(item.molfile, item.name, repeat_once=repeat_once)
        except Drop:
            if smiles and is_drawn(item, draw=draw):
                return Molecule(smiles)
            raise
        if smiles and not _agree(smiles, molecule.smiles):
            raise Drop("the SMILES is another molecule than the molfile")
        return molecule
    if smiles:
        return Molecule(smiles)
    raise Drop("RDKit cannot read the SMILES" if item.smiles else "missing molfile")


def _agree(smiles: str, of_molfile: str) -> bool:
    """True where both are one molecule; one with open ends may be written in many ways."""
    if smiles == of_molfile or "*" in smiles + of_molfile:
        return True
    return connectivity_key(smiles) == connectivity_key(of_molfile)


def molecule_in(molfile: Path | str, name: str, *, repeat_once: bool = False) -> Molecule:
    """The molecule of a molfile, given as its path or as the molblock itself.

    Raises:
        Drop: there is none, or RDKit refuses it.
    """
    try:
        block = read_molblock(molfile) if isinstance(molfile, Path) else molfile
    except MolfileError:
        raise Drop("empty molfile") from None
    except OSError:
        raise Drop("unreadable molfile") from None
    try:
        mol = block_to_mol(block, sanitize=False, source=name)
    except MolfileError:
        raise Drop("RDKit cannot parse the molfile") from None
    if not mol.GetNumAtoms():
        raise Drop("molfile without atoms")
    try:
        graph = mol_to_graph(mol)
    except UnheldError as error:
        raise Drop(error.reason) from None
    if not all(math.isfinite(atom.x) and math.isfinite(atom.y) for atom in graph.atoms):
        raise Drop("no usable coordinates in the molfile")
    open_labels = has_open_labels(mol)
    if open_labels and any(_is_formula(a.label) for a in expand_abbreviations(graph)[0].atoms):
        raise Drop("a formula in the drawing that cannot be read")
    try:
        check_held_by_smiles(mol, repeat_once=repeat_once)
        smiles = (open_labels and _open_smiles(graph)) or molblock_to_smiles(
            block, source=name, mol=mol, repeat_once=repeat_once
        )
    except UnheldError as error:
        raise Drop(error.reason) from None
    except MolfileError:
        raise Drop("RDKit cannot sanitise the molecule") from None
    return Molecule(smiles, graph)


def _is_formula(label: str) -> bool:
    """True for atoms that are counted, such as C8H13, where a variable says nothing of the sort.

    An answer with ``*`` in its place would call a position open that is none.
    """
    parts = _FORMULA.findall(label)
    symbols = [symbol for symbol, _ in parts if symbol]
    return (
        "".join(map("".join, parts)) == label
        and len(symbols) > 1
        and bool({"C", "H"} & set(symbols))
        and all(map(is_element, symbols))
    )


_FORMULA = re.compile(r"([A-Z][a-z]?|(?=[()]))([()\d]*)")


def _open_smiles(graph: MolGraph) -> str | None:
    """The SMILES with ``*`` for labels such as X, Q or NHR7; None where there are none.

    A molfile holds such a label as an alias of a carbon atom, so RDKit's own SMILES would say
    methyl where the image says X: one in twelve of the CLEF molfiles. (The hidden atoms of an
    abbreviation S-group are right; only an alias has nothing behind it.)
    """
    smiles, problems = graph_to_smiles(graph.transformed(1, 0, 0, flip=True))
    return smiles if problems else None


def render_or_load(
    item: Item,
    molecule: Molecule,
    *,
    task: Literal["cot", "instruction"],
    draw: bool,
    size: tuple[int, int],
    seed: int,
    style: StyleRange = "clean",
    labeller: Labeller | None = None,
) -> Example:
    """The image of an item, with the molecule placed on it where `task` asks for positions.

    Args:
        item, molecule: the second as `molecule_of` gave it.
        task: only the chain of thought says where an atom is.
        draw: see `is_drawn`.
        size: of drawn images, in pixels.
        seed: of drawing styles.
        style: of drawn images.
        labeller: says where the atoms are, where no molfile does.

    Raises:
        Drop: the image cannot be opened or drawn, or the molecule cannot be placed on it.
    """
    if is_drawn(item, draw=draw):
        # What a source says of its molecule is not true of one with R groups.
        return _drawn(item.name, molecule, size, seed, style, r_groups=task == "cot")
    assert item.image is not None, "molecule_of lets no item through that has nothing to show"
    if task == "cot" and molecule.graph is None:
        if labeller is None:
            raise Drop(
                "an image without a molfile, so no positions (--labels-from detector sees them, "
                "--draw draws it again)"
            )
        return _labelled(opened(item.image), molecule.smiles, labeller)
    image = opened(item.image)
    if task == "instruction" or molecule.graph is None:
        return Example(image, None, molecule.smiles)
    try:
        fit = align(image, molecule.graph)
        if fit.problem:
            raise Drop(fit.problem)
        placed = settle_labels(image, fit.apply(molecule.graph))
    except AlignmentError as error:
        raise Drop(error.reason) from None
    return Example(image, placed, molecule.smiles)


def _labelled(image: Image.Image, smiles: str, labeller: Labeller) -> Example:
    try:
        found = label(image, smiles, labeller)
    except Disagreement as difference:
        raise Drop(f"labels: {difference}") from None
    return Example(image, found.graph, found.smiles, found.correction)


def _drawn(
    name: str,
    molecule: Molecule,
    size: tuple[int, int],
    seed: int,
    style: StyleRange,
    *,
    r_groups: bool,
) -> Example:
    """A molecule in a layout of ours, or, where a molfile has one, in its own."""
    # By seed and name alone: cot and instruction sets of one seed show the same images.
    number = number_of(f"{seed} style {name}")
    try:
        if molecule.graph is not None:
            drawing = render_layout(molecule.graph, molecule.smiles, size, seed=number, look=style)
        else:
            drawing = render(molecule.smiles, size, seed=number, look=style, r_groups=r_groups)
    except RenderError as error:
        raise Drop(error.reason) from None
    return Example(drawing.image, drawing.graph, drawing.smiles)


def opened(file: Path | Filed) -> Image.Image:
    """An image of any mode, upright, and no larger than a fit can take.

    Raises:
        Drop: it is missing, broken or larger than anything that is scanned.
    """
    data = _bytes_of(file)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(data)) as header:
                if header.width * header.height > _MOST_PIXELS:
                    raise Drop("image of too many pixels")
            image = load_picture(data)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise Drop("image of too many pixels") from None
    except (Drop, MemoryError):
        raise
    except Exception:  # a broken image makes Pillow raise many kinds
        raise Drop("unreadable image") from None
    pixels = image.width * image.height
    if pixels <= _PLACED_PIXELS:
        return image
    return on_white(image).reduce(math.ceil(math.sqrt(pixels / _PLACED_PIXELS)))


def _bytes_of(image: Path | Filed) -> bytes:
    try:
        if isinstance(image, Path):
            return image.read_bytes()
        # Needs pyarrow, and folders do not.
        from data_preprocess.catalogue.compounds import read_file

        return read_file(image.folder, image.reference)
    except InputError:
        raise Drop("image outside the catalogue's folder") from None
    except zipfile.BadZipFile:
        raise Drop("broken archive") from None
    except FileNotFoundError:
        raise Drop("missing image") from None
    except (OSError, EOFError, zipfile.LargeZipFile, NotImplementedError, RuntimeError, zlib.error):
        # The archive's member is cut off, encrypted or packed in a way that Python does not know.
        raise Drop("unreadable image") from None


def fit_to_frame(example: Example, frame: PixelFrame) -> Example:
    """The image at the model's size, the graph in its pixels.

    Raises:
        Drop: the image has no position in the frame, or an atom none in the image.
    """
    assert example.image is not None
    width, height = example.image.size
    try:
        image = frame.fit(example.image)
    except ValueError:
        raise Drop("image too long and thin for the frame") from None
    if example.graph is None:
        return replace(example, image=image)
    # The grid rounds both sides on their own, so the two scales differ a little.
    graph = example.graph.placed(
        (_inside(atom.x / width, image.width), _inside(atom.y / height, image.height))
        for atom in example.graph.atoms
    )
    return replace(example, image=image, graph=graph)


def layout_only(molecule: Molecule, frame: PixelFrame) -> Example:
    """The molecule without an image, stretched over the largest square that the frame holds.

    For rows of text alone: the counts, the drops and the lengths of the answers are known in
    minutes, before the images are fitted and written.
    """
    try:
        graph = molecule.graph or graph_from_smiles(molecule.smiles)
    except UnheldError as error:
        raise Drop(error.reason) from None
    side = math.isqrt(frame.max_pixels)
    left, low = min(a.x for a in graph.atoms), min(a.y for a in graph.atoms)
    wide = max(max(a.x for a in graph.atoms) - left, max(a.y for a in graph.atoms) - low)
    scale = (side - 1) / wide if wide else 1.0
    return Example(
        None, graph.transformed(scale, -left * scale, side - 1 + low * scale, flip=True),
        molecule.smiles,
    )  # fmt: skip


def _inside(fraction: float, side: int) -> float:
    if not -_EDGE <= fraction <= 1 + _EDGE:
        raise Drop("atom outside the image")
    return min(max(fraction * side, 0.0), side - 1.0)


def save(image: Image.Image, path: Path) -> None:
    """As a PNG; grey where it is grey.

    In place: an image counts once its part's records are there, and a part without them is built
    again, images and all.
    """
    red, green, blue = image.split()
    if not ImageChops.difference(red, green).getbbox() and not (
        ImageChops.difference(red, blue).getbbox()
    ):
        image = red
    # Level 9 makes a drawing 6 % smaller and takes six times as long.
    image.save(path, format="PNG", compress_level=6)
