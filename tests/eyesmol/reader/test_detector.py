"""The detector as a reader: rows, places, confidence, doubts, and an installation without torch."""

from __future__ import annotations

import io
import math
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from rdkit import Chem
from rdkit.Chem import Draw
from rdkit.Chem.Draw import rdMolDraw2D

from eyesmol.answer.text import read_answer
from eyesmol.chem.graph import Atom, Bond, BondOrder, MolGraph
from eyesmol.chem.smiles import molblock_to_smiles
from eyesmol.detector.assembly import Assembly
from eyesmol.detector.engine import Engine
from eyesmol.detector.ink import Ink
from eyesmol.detector.onnx_engine import OnnxEngine, OnnxView
from eyesmol.detector.reading import Reading, ReadOptions, read
from eyesmol.reader import detector, embedded
from eyesmol.reader.base import Recognizer, RecognizerError
from eyesmol.reader.detector import DetectorRecognizer, raw_confidence
from eyesmol.recognition import Recognition

ETHANOL = MolGraph(
    (Atom("C", 10.5, 40.0), Atom("C", 35.0, 25.0), Atom("O", 60.0, 40.0)),
    (Bond(0, 1, BondOrder.SINGLE), Bond(1, 2, BondOrder.SINGLE)),
)


@pytest.fixture(scope="module")
def reader() -> Recognizer:
    return Recognizer.from_pretrained()


@pytest.fixture(scope="module")
def drawing() -> Image.Image:
    return Draw.MolToImage(Chem.MolFromSmiles("CCOC(=O)c1ccccc1"), (300, 200))


def reading(
    graph: MolGraph = ETHANOL,
    smiles: str | None = "CCO",
    *,
    agreement: float = 1.0,
    log_probability: float = -0.1,
    changes: tuple[str, ...] = (),
    coverage: float = 0.97,
) -> Reading:
    atoms, bonds = (0.98765,) * len(graph.atoms), (0.9,) * len(graph.bonds)
    assembly = Assembly(graph, smiles, atoms, bonds, changes, log_probability)
    return Reading(assembly, agreement, 3, 29.0, coverage)


def read_as(monkeypatch: pytest.MonkeyPatch, found: Reading, **options: Any) -> Recognition:
    """What a reader says whose network sees just that."""
    monkeypatch.setattr(detector, "read", lambda *_: found)
    blank = Image.new("L", (80, 60), 255)
    [result] = Recognizer.from_pretrained().recognize([blank], **options)
    return result


def test_a_drawing_is_read_where_it_is_drawn(reader: Recognizer, drawing: Image.Image) -> None:
    assert isinstance(reader, DetectorRecognizer)
    [result] = reader.recognize([drawing])
    assert result.smiles == "CCOC(=O)c1ccccc1"
    assert result.error is None
    assert result.reason is None
    assert result.molecule.molblock
    assert molblock_to_smiles(result.molecule.molblock) == result.smiles
    assert result.graph
    assert all(0 <= a.x <= 300 and 0 <= a.y <= 200 for a in result.graph.atoms)
    assert len(result.atom_confidence) == len(result.graph.atoms) == 11
    assert len(result.bond_confidence) == len(result.graph.bonds) == 11
    assert 0.5 < (result.raw_confidence or 0.0) <= 1.0


def test_a_cameras_image_is_read_reduced_and_answered_in_its_own_pixels(
    reader: Recognizer, drawing: Image.Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    [small] = reader.recognize([drawing])
    sizes: list[tuple[int, int]] = []

    def seen(engine: Engine, image: Image.Image, *options: ReadOptions) -> Reading:
        sizes.append(image.size)
        return read(engine, image, *options)

    monkeypatch.setattr(detector, "read", seen)
    photograph = drawing.resize((3000, 2000), Image.Resampling.BICUBIC)
    [large] = reader.recognize([photograph])
    assert sizes == [(1500, 1000)]
    assert large.smiles == small.smiles
    assert large.size == (3000, 2000)
    assert small.graph
    assert large.graph
    found = sorted((atom.x, atom.y) for atom in large.graph.atoms)
    wanted = sorted((10 * atom.x, 10 * atom.y) for atom in small.graph.atoms)
    assert all(math.dist(*pair) < 20 for pair in zip(found, wanted, strict=True))


@pytest.mark.parametrize(
    ("bond", "read_at"),
    [
        (300.0, [1000]),  # pixels of a bond in the image: long enough in a third of it
        (100.0, [1000, 1500]),
        (50.0, [1000, 3000]),
        (0.0, [1000, 3000]),  # none was seen
    ],
)
def test_an_image_is_reduced_no_more_than_its_bonds_allow(
    monkeypatch: pytest.MonkeyPatch, bond: float, read_at: list[int]
) -> None:
    widths: list[int] = []

    def read(_: object, image: Image.Image, *__: object) -> Reading:
        widths.append(image.width)
        return replace(reading(), bond_length=bond * image.width / 3000)

    monkeypatch.setattr(detector, "read", read)
    [result] = Recognizer.from_pretrained().recognize([Image.new("L", (3000, 3000), 255)])
    assert widths == read_at
    assert result.graph
    assert result.graph.atoms[0].x == ETHANOL.atoms[0].x * 3000 / read_at[-1]


def test_one_image_does_not_harm_another(
    reader: Recognizer, drawing: Image.Image, tmp_path: Path
) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no image")
    blank = Image.new("RGB", (200, 200), "white")
    bad, empty, good = reader.recognize([broken, blank, drawing])
    assert "broken.png: cannot be read" in (bad.error or "")
    assert empty.smiles is None
    assert empty.error is None
    assert (empty.reason or "").startswith("no molecule")
    assert good.smiles == "CCOC(=O)c1ccccc1"


def test_graph_confidence_and_changes_become_a_recognition(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    result = read_as(monkeypatch, reading(changes=("a wedge was turned round",)))
    assert result.smiles == "CCO"
    assert result.molecule.smiles_from == "graph"
    assert result.problems == ("a wedge was turned round",)
    assert result.size == (80, 60)
    assert result.atom_confidence == (0.9877,) * 3
    assert result.bond_confidence == (0.9, 0.9)
    assert result.graph == ETHANOL
    answer = read_answer(result.answer)
    assert not answer.problems
    assert answer.smiles == "CCO"
    assert len(answer.graph.atoms) == 3
    assert Recognition.from_dict(result.to_dict()).graph == ETHANOL


def test_below_the_least_confidence_it_abstains(monkeypatch: pytest.MonkeyPatch) -> None:
    result = read_as(monkeypatch, reading(agreement=1 / 3), min_confidence=0.5)
    assert result.smiles is None
    assert result.withheld_smiles == "CCO"
    assert (result.reason or "").startswith("abstained")


def test_what_explains_little_of_the_ink_is_no_molecule(monkeypatch: pytest.MonkeyPatch) -> None:
    plot = reading(log_probability=-3.0, coverage=0.4)
    result = read_as(monkeypatch, plot)
    assert result.smiles is None
    assert result.withheld_smiles == "CCO"
    assert (result.reason or "").startswith("no molecule")
    assert read_as(monkeypatch, plot, any_image=True).smiles == "CCO"


def test_confidence_goes_by_agreement_first() -> None:
    ranked = [
        reading(log_probability=0.0),
        reading(log_probability=-1.0),
        reading(log_probability=-50.0),
        reading(agreement=2 / 3, log_probability=0.0),
        reading(agreement=2 / 3, log_probability=-50.0),
        reading(agreement=1 / 2, log_probability=0.0),
        reading(agreement=1 / 3, log_probability=0.0),
        reading(smiles=None),
    ]
    values = [raw_confidence(one) for one in ranked]
    assert values == sorted(values, reverse=True)
    assert len(set(values)) == len(values)
    assert (values[0], values[-1]) == (1.0, 0.0)


def test_options_that_it_does_not_have_are_refused(reader: Recognizer) -> None:
    with pytest.raises(RecognizerError, match="vision-language"):
        Recognizer.from_pretrained(form="json")
    with pytest.raises(ValueError, match="views 4: expected 1 to 3"):
        Recognizer.from_pretrained(views=4)
    with pytest.raises(ValueError, match="batch_size 0"):
        next(reader.recognize([], batch_size=0))


def test_any_exported_folder_is_read_with(drawing: Image.Image, tmp_path: Path) -> None:
    copy = shutil.copytree(embedded.model_folder("detector"), tmp_path / "mine")
    reader = Recognizer.from_pretrained(copy, looks=1, threads=2)
    assert isinstance(reader, DetectorRecognizer)
    assert reader.options.views == 1
    [result] = reader.recognize([drawing])
    assert result.smiles == "CCOC(=O)c1ccccc1"


def test_weights_that_are_not_there_are_said(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(embedded, "_WEIGHTS", tmp_path)
    with pytest.raises(RecognizerError, match="no such folder; expected the detector's weights"):
        Recognizer.from_pretrained()


def test_it_reads_with_nothing_but_the_core_installed(drawing: Image.Image, tmp_path: Path) -> None:
    drawing.save(tmp_path / "a.png")
    program = (
        "import sys\n"
        "for name in ('torch', 'transformers', 'accelerate', 'safetensors', 'scipy', 'jinja2',\n"
        "             'matplotlib', 'yaml'):\n"
        "    sys.modules[name] = None\n"  # an import of it fails
        "from eyesmol.cli.main import main\n"
        f"sys.exit(main(['recognize', {str(tmp_path / 'a.png')!r}]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("CCOC(=O)c1ccccc1\t")


@pytest.mark.parametrize(
    ("arguments", "extra"),
    [(["--model", "nano"], "vlm"), (["--pages"], "pdf")],
)
def test_what_an_extra_is_needed_for_is_said(
    drawing: Image.Image, tmp_path: Path, arguments: list[str], extra: str
) -> None:
    drawing.save(tmp_path / "a.png")
    program = (
        "import sys\n"
        "sys.modules['torch'] = sys.modules['scipy'] = None\n"
        "from eyesmol.cli.main import main\n"
        f"sys.exit(main(['recognize', {str(tmp_path / 'a.png')!r}, *{arguments!r}]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode not in (0, 1)
    assert f"pip install 'eyesmol[{extra}]'" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_confidence_without_agreement_can_be_calibrated() -> None:
    least = raw_confidence(reading(agreement=0.0, log_probability=-50.0))
    assert 1e-4 < least < raw_confidence(reading(agreement=1 / 3, log_probability=-50.0))


@pytest.mark.parametrize(("bond", "one_look"), [(66, True), (45, False)])
def test_the_look_that_told_the_scale_is_the_first_view(
    monkeypatch: pytest.MonkeyPatch, bond: int, one_look: bool
) -> None:
    """Patents at 300 dpi have bonds of 66 pixels, which is what is tried first."""
    looks: list[object] = []
    look = OnnxEngine.look

    def counted(self: OnnxEngine, ink: Ink) -> OnnxView:
        looks.append(ink)
        return look(self, ink)

    monkeypatch.setattr(OnnxEngine, "look", counted)
    canvas = rdMolDraw2D.MolDraw2DCairo(12 * bond, 9 * bond)
    options: Any = canvas.drawOptions()
    options.fixedBondLength = bond / 1.5  # of an angstrom
    rdMolDraw2D.PrepareAndDrawMolecule(canvas, Chem.MolFromSmiles("CCOC(=O)c1ccccc1"))
    canvas.FinishDrawing()
    drawn = Image.open(io.BytesIO(canvas.GetDrawingText()))
    [result] = Recognizer.from_pretrained().recognize([drawn])
    assert result.smiles == "CCOC(=O)c1ccccc1"
    assert (len(looks) == 1) == one_look
