"""The pen: what the graph says is where the ink is, whatever the style; the same seed, the same."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray
from rdkit import Chem
from rdkit.Chem import rdDepictor
from scipy import ndimage

from data_preprocess.drawing.blank import blank
from data_preprocess.drawing.bond_strokes import hidden_share
from data_preprocess.drawing.clutter import Clutter
from data_preprocess.drawing.depiction import RenderError, depict
from data_preprocess.drawing.fonts import FontShelf, font_shelf
from data_preprocess.drawing.ink import Sheet, measure, writable
from data_preprocess.drawing.lettering import lettered, placed_letters, runs_of
from data_preprocess.drawing.pen import draw
from data_preprocess.drawing.pen_style import FAMILIES, PenStyle
from data_preprocess.drawing.phrases import salt
from data_preprocess.drawing.style import Style
from data_preprocess.drawing.subject import Drawing, Subject
from data_preprocess.drawing.wear import Wear
from data_preprocess.sources.random_molecules import Sizes, random_molecule
from eyesmol.answer.text import bond_orders
from eyesmol.chem.graph import Atom, Bond, BondOrder, MolGraph

PACKAGED = font_shelf(packaged=True)
NUMBERS = range(12)


@cache
def _subject(number: int) -> Subject:
    """A random molecule with labels, wedges, circles and written carbons."""
    rng = random.Random(f"subject {number}")
    while True:
        mol = Chem.MolFromSmiles(random_molecule(3, rng.randrange(10**6), Sizes(16, 6), stereo=0.5))
        style = replace(Style.varied(rng, (500, 500), "rdkit"), legible=True)
        try:
            drawn = depict(mol, style, rng)
        except RenderError:
            continue
        return Subject(drawn.graph, drawn.mol, frozenset(drawn.carbons), drawn.circles)


def _of_smiles(smiles: str) -> Subject:
    mol = Chem.MolFromSmiles(smiles)
    Chem.Kekulize(mol, clearAromaticFlags=True)
    rdDepictor.Compute2DCoords(mol)
    points = mol.GetConformer().GetPositions()
    atoms = tuple(
        Atom(atom.GetSymbol(), float(x), float(-y), atom.GetFormalCharge())
        for atom, (x, y, _) in zip(mol.GetAtoms(), points, strict=True)
    )
    orders = {1.0: BondOrder.SINGLE, 2.0: BondOrder.DOUBLE, 3.0: BondOrder.TRIPLE}
    bonds = tuple(
        Bond(b.GetBeginAtomIdx(), b.GetEndAtomIdx(), orders[b.GetBondTypeAsDouble()])
        for b in mol.GetBonds()
    )
    return Subject(MolGraph(atoms, bonds), mol)


def _style(family: str, rng: random.Random) -> PenStyle:
    return PenStyle.of_family(family, rng, PACKAGED)


def _clean(style: PenStyle) -> PenStyle:
    """The same hand, on clean paper and alone."""
    return replace(style, clutter=Clutter(), wear=Wear())


def _drawn(subject: Subject, style: PenStyle, seed: str) -> Drawing:
    drawing = draw(subject, style, random.Random(seed))
    assert drawing is not None
    return drawing


def _far_from_ink(image: NDArray[np.uint8], x: float, y: float) -> float:
    """Pixels from a place to the nearest ink."""
    distance = ndimage.distance_transform_edt(image >= 200)
    row, column = min(int(y), image.shape[0] - 1), min(int(x), image.shape[1] - 1)
    return float(distance[row, column])


@pytest.mark.parametrize("family", FAMILIES)
def test_ink_is_where_the_graph_says(family: str) -> None:
    """Every plain bond's middle is on ink within 2 pixels, every atom near ink."""
    drawn = 0
    for number in NUMBERS:
        rng = random.Random(f"{family} {number}")
        style = replace(_clean(_style(family, rng)), half_bonds=False, wobble=0.0)
        drawing = draw(_subject(number), style, rng)
        if drawing is None:
            continue
        drawn += 1
        distance = ndimage.distance_transform_edt(drawing.image >= 200)
        atoms, unit = drawing.graph.atoms, drawing.bond_length
        is_carbon = [atom.text == "C" for atom in atoms]
        for bond in drawing.graph.bonds:
            if bond.order == BondOrder.SINGLE and is_carbon[bond.begin] and is_carbon[bond.end]:
                x = (atoms[bond.begin].x + atoms[bond.end].x) / 2
                y = (atoms[bond.begin].y + atoms[bond.end].y) / 2
                in_label = any(
                    max(abs(x - a.x), abs(y - a.y)) < 0.6 * unit
                    for k, a in enumerate(atoms) if k not in (bond.begin, bond.end)
                )  # fmt: skip
                written = {bond.begin, bond.end} & _subject(number).written
                if not (in_label or written or style.written or style.methyl):
                    assert distance[int(y), int(x)] <= 2, (number, bond)
        for atom in atoms:
            row = min(int(atom.y), drawing.image.shape[0] - 1)
            column = min(int(atom.x), drawing.image.shape[1] - 1)
            assert distance[row, column] <= max(2.0, 0.45 * style.em * unit), (number, atom)
    assert drawn >= 0.8 * len(NUMBERS)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_same_seed_gives_the_same_bytes(family: str) -> None:
    for number in NUMBERS[:8]:
        first, second = (
            draw(_subject(number), _style(family, rng), rng)
            for rng in (random.Random(f"same {number}"), random.Random(f"same {number}"))
        )
        assert (first is None) == (second is None)
        if first is not None and second is not None:
            assert first.image.tobytes() == second.image.tobytes()
            assert first.graph == second.graph


@pytest.mark.parametrize("family", FAMILIES)
def test_all_atoms_are_inside_the_image(family: str) -> None:
    for number in NUMBERS:
        rng = random.Random(f"inside {family} {number}")
        drawing = draw(_subject(number), _style(family, rng), rng)
        if drawing is None:
            continue
        height, width = drawing.image.shape
        assert drawing.image.dtype == np.uint8
        assert all(0 <= a.x <= width and 0 <= a.y <= height for a in drawing.graph.atoms)
        count = len(_subject(number).graph.atoms)
        assert drawing.graph.bonds == _subject(number).graph.bonds
        assert [a.text for a in drawing.graph.atoms[:count]] == [
            a.text for a in _subject(number).graph.atoms
        ]


def test_places_follow_tilt_and_scale() -> None:
    """A corner's place is on the ink of its corner after the paper was turned and made smaller."""
    subject = _of_smiles("C1CCCCC1CCC")
    style = PenStyle(font=PACKAGED.of("sans")[0], line_width=0.06)
    for tilt, scale in ((2.5, 1.0), (-2.0, 0.7), (0.0, 0.55), (0.0, 1.2)):
        worn = replace(style, wear=Wear(tilt=tilt, scale=scale))
        drawing = _drawn(subject, worn, "tilt")
        for atom in drawing.graph.atoms:
            assert _far_from_ink(drawing.image, atom.x, atom.y) <= 1.0
        assert drawing.bond_length == pytest.approx(style.bond_length * scale, rel=0.02)


def test_each_kind_of_bond_looks_different() -> None:
    """Two carbons and nothing else; every pair of kinds differs by many pixels."""
    mol = Chem.MolFromSmiles("CC")
    style = PenStyle(font=PACKAGED.of("sans")[0], margin=(0.5, 0.5))
    images = {}
    for order in bond_orders(2):  # those that it draws
        graph = MolGraph((Atom("C", 0, 0), Atom("C", 1, 0)), (Bond(0, 1, order),))
        drawing = _drawn(Subject(graph, mol), style, "kinds")
        x, y = drawing.graph.atoms[0].x, drawing.graph.atoms[0].y
        left, top = round(x) - 15, round(y) - 15
        window = np.full((30, 80), 255, dtype=np.int64)
        part = drawing.image[max(top, 0) : top + 30, max(left, 0) : left + 80]
        window[max(-top, 0) : max(-top, 0) + part.shape[0], : part.shape[1]] = part
        images[order] = window
    orders = list(images)
    for index, one in enumerate(orders):
        for other in orders[:index]:
            changed = int((abs(images[one] - images[other]) > 100).sum())
            assert changed > 20, (one.name, other.name)


def test_a_wedge_is_narrow_where_it_begins() -> None:
    mol = Chem.MolFromSmiles("CC")
    style = PenStyle(font=PACKAGED.of("sans")[0])
    for order in (BondOrder.SOLID_WEDGE, BondOrder.DASHED_WEDGE):
        graph = MolGraph((Atom("C", 0, 0), Atom("C", 1, 0)), (Bond(1, 0, order),))
        image = _drawn(Subject(graph, mol), style, "wedge").image
        third = image.shape[1] // 3
        wide, narrow = (image[:, :third] < 128).sum(), (image[:, -third:] < 128).sum()
        assert wide > 1.5 * narrow


def test_lines_are_as_wide_as_asked_and_where_asked() -> None:
    for width in (1.5, 2.0, 3.0, 5.0):
        for angle in (0.0, 0.4, 0.8, 1.2, math.pi / 2):
            sheet = Sheet()
            dx, dy = 40 * math.cos(angle), 40 * math.sin(angle)
            sheet.line((50 - dx, 50 - dy), (50 + dx, 50 + dy), width)
            ink = 1 - np.asarray(sheet.raster((0, 0, 100, 100), 4)) / 255
            assert ink.sum() / 80 == pytest.approx(width, abs=0.3)
            rows, columns = np.mgrid[:100, :100] + 0.5
            assert (ink * columns).sum() / ink.sum() == pytest.approx(50, abs=0.3)
            assert (ink * rows).sum() / ink.sum() == pytest.approx(50, abs=0.3)


LABEL_TEXT = (
    "OMe CO2Et EtO2C (H3C)2N NR1R2 R1 R1' X Ar OCH2CO2Et tBu t-Bu CF3 (CH2)n SO2NH2 NO2 13CH3 D3C "
    "CH213CH3 N(CH3)2 4-MeOC6H4 OTBDMS Ra R10 -O2C CO2-Na+ P(O)(OH)2 [CH2]m sec-Bu C(O)NH"
)
LABELS = LABEL_TEXT.split()


@pytest.mark.parametrize("label", LABELS)
def test_runs_put_together_are_the_label(label: str) -> None:
    for script in ("high", "low", "line"):
        assert "".join(run.text for run in runs_of(label, script)) == label


def test_numbers_stand_where_chemists_put_them() -> None:
    def levels(label: str) -> list[int]:
        return [run.level for run in runs_of(label) for _ in run.text]

    assert levels("CO2Et") == [0, 0, -1, 0, 0]
    assert levels("NR1R2") == [0, 0, 1, 0, 1]
    assert levels("13CH3") == [1, 1, 0, 0, -1]
    assert levels("(CH2)n") == [0, 0, 0, -1, 0, -1]
    assert levels("t-Bu") == [0, 0, 0, 0]
    assert levels("-O2C") == [1, 0, -1, 0]


@pytest.mark.parametrize(
    ("label", "forward", "backward", "bonded"),
    [("CO2Et", "CO2Et", "EtO2C", "C"), ("EtO2C", "CO2Et", "EtO2C", "C"),
     ("MeO", "OMe", "MeO", "O"), ("(H3C)2N", "N(CH3)2", "(H3C)2N", "N")],
)  # fmt: skip
def test_the_bonded_letter_stands_at_the_atom(
    label: str, forward: str, backward: str, bonded: str
) -> None:
    atom = Chem.Atom(0)
    atom.SetProp("molFileAlias", forward)
    atom.SetProp("_labelForward", forward)
    atom.SetProp("_labelBackward", backward)
    style = PenStyle(font=PACKAGED.of("sans")[0])
    side = (1.0, 0.0) if label == backward else (-1.0, 0.0)
    lettering = lettered(Atom(label), atom, [side], style, random.Random(0), written=False)
    assert lettering is not None
    assert lettering.text == label
    assert lettering.line[lettering.bonded].text == bonded
    letters = placed_letters(lettering, (100.0, 50.0), style, 30.0)
    over = [e.text for e in letters if e.box[0] < 100 < e.box[2] and e.box[1] < 50 < e.box[3]]
    assert over == [bonded]


@pytest.mark.parametrize(
    ("smiles", "written"), [("CC(=O)[O-]", "O\u2212"), ("C[NH3+]", "NH3+"), ("CN", "NH2")]
)
def test_hydrogens_and_charges_are_written(smiles: str, written: str) -> None:
    subject = _of_smiles(smiles)
    index = subject.mol.GetNumAtoms() - 1
    style = PenStyle(font=PACKAGED.of("sans")[0])
    lettering = lettered(
        subject.graph.atoms[index], subject.mol.GetAtomWithIdx(index), [(-1.0, 0.0)], style,
        random.Random(0), written=False,
    )  # fmt: skip
    assert lettering is not None
    assert lettering.text == written


def test_bonds_end_at_letters() -> None:
    """A box over the first 2 of a line of 10 hides a fifth; one further off hides none."""
    assert hidden_share((0, 0), (10, 0), [(-2, -1, 2, 1)]) == pytest.approx(0.2)
    assert hidden_share((0, 0), (10, 0), [(6, -1, 8, 1)]) == 0
    assert hidden_share((0, 0), (10, 0), [(-2, 1, 2, 3)]) == 0


def test_letters_do_not_swallow_bonds() -> None:
    """A bond between two wide labels is made longer until it can be seen."""
    mol = Chem.MolFromSmiles("[CH3][CH2][CH3]")
    atoms = (Atom("C", 0, 0), Atom("C", 1, 0), Atom("C", 2, 0))
    graph = MolGraph(atoms, (Bond(0, 1), Bond(1, 2)))
    style = PenStyle(font=PACKAGED.of("sans")[0], em=0.9, label_margin=0.14)
    drawing = _drawn(Subject(graph, mol, written=frozenset((0, 1, 2))), style, "chain")
    places = drawing.graph.atoms
    assert places[1].x - places[0].x > 1.05 * style.bond_length
    middle = round(places[0].y)
    left, right = round(places[0].x), round(places[1].x)
    row = drawing.image[middle - 2 : middle + 3, left:right].min(axis=0) < 128
    gaps = np.diff(np.flatnonzero(np.diff(np.concatenate(([True], row, [True])).astype(int))))
    assert (gaps[1::2] >= 0.18 * style.bond_length).any()  # between two gaps of white a dash


def test_a_thin_line_survives_the_scanner() -> None:
    """Bilevel patents keep the ink of their bonds, whatever the threshold, blur and edge."""
    for number in NUMBERS:
        rng = random.Random(f"thin {number}")
        style = replace(_clean(_style("us_patent", rng)), line_width=0.02, wear=Wear.of_patent(rng))
        style = replace(style, wear=replace(style.wear, bilevel=True, broken=0, fax=0, tilt=0,
                                            inverted=False, swell=0, specks=0))  # fmt: skip
        worn = draw(_subject(number), style, random.Random(1))
        clean = draw(_subject(number), _clean(style), random.Random(1))
        if worn is None or clean is None:
            continue
        assert worn.image.shape == clean.image.shape
        ink = clean.image < 128
        near = ndimage.maximum_filter(worn.image < 128, 3)
        assert near[ink].mean() > 0.85, (number, style.wear)


def test_salts_become_atoms_and_captions_do_not() -> None:
    subject = _of_smiles("NCCc1ccccc1")
    style = PenStyle(font=PACKAGED.of("sans")[0])
    with_salts = replace(style, clutter=Clutter(salts=1.0))
    with_words = replace(
        style, clutter=Clutter(captions=1, atom_numbers=1, arrows=1, frame=1, neighbour=1)
    )
    count = len(subject.graph.atoms)
    found = 0
    for number in range(20):
        drawing = _drawn(subject, with_salts, f"salt {number}")
        for atom in drawing.graph.atoms[count:]:
            found += 1
            assert Atom.from_text(atom.text, atom.x, atom.y) == atom
            assert _far_from_ink(drawing.image, atom.x, atom.y) <= 0.5 * style.em * 75
        assert drawing.graph.bonds == subject.graph.bonds
        plain = _drawn(subject, with_words, f"words {number}")
        assert len(plain.graph.atoms) == count
        assert plain.image.size > 1.2 * _drawn(subject, style, "alone").image.size
    assert found >= 20


def test_letters_that_a_font_lacks_are_not_left_out() -> None:
    """STIX has no Chinese characters: another font writes the label, or nothing is drawn."""
    mol = Chem.MolFromSmiles("CC")
    mol.GetAtomWithIdx(1).SetProp("molFileAlias", "\u5316")
    graph = MolGraph((Atom("C", 0, 0), Atom("\u5316", 1, 0)), (Bond(0, 1),))
    for shelf in (PACKAGED, font_shelf()):
        style = PenStyle(font=PACKAGED.of("serif")[0], shelf=shelf, margin=(0.0, 0.0))
        drawing = draw(Subject(graph, mol), style, random.Random(0))
        able = [f for k in ("gothic", "mincho") for f in shelf.of(k) if writable(f, "\u5316")]
        assert (drawing is not None) == bool(able)
        if drawing is not None:  # twelve strokes are wider than a dash
            assert (drawing.image[:, -20:] < 128).sum() > 80


def test_a_sheet_of_words_gets_no_salts() -> None:
    subject = replace(_of_smiles("NCCO"), sheet=True)
    style = PenStyle(font=PACKAGED.of("sans")[0], clutter=Clutter(salts=1.0, captions=1.0))
    assert len(_drawn(subject, style, "sheet").graph.atoms) == 4


def test_salts_read_as_labels() -> None:
    rng = random.Random(5)
    for _ in range(300):
        one = salt(rng)
        runs, anchor = one.runs(rng, "-")
        atom = Atom.from_text(f"[{one.text}]")
        assert bool(atom.charge) == bool(one.charge)
        assert atom.text == f"[{one.text}]"
        assert one.formula.startswith(runs[anchor][0])


def test_blank_images_have_no_graph() -> None:
    images = []
    for number in range(30):
        drawing = blank(random.Random(f"blank {number}"), PACKAGED)
        again = blank(random.Random(f"blank {number}"), PACKAGED)
        assert drawing.graph == MolGraph()
        assert drawing.image.tobytes() == again.image.tobytes()
        images.append(drawing.image)
    assert len({image.tobytes() for image in images}) == len(images)


def test_atoms_upon_each_other_are_not_drawn() -> None:
    mol = Chem.MolFromSmiles("CCC")
    atoms = (Atom("C", 0, 0), Atom("C", 1, 0), Atom("C", 0.05, 0))
    subject = Subject(MolGraph(atoms, (Bond(0, 1), Bond(1, 2))), mol)
    style = PenStyle(font=PACKAGED.of("sans")[0])
    assert draw(subject, style, random.Random(0)) is None


def test_half_of_the_drawings_are_of_patents() -> None:
    rng = random.Random(9)
    families = [PenStyle.random(rng, PACKAGED).family for _ in range(2000)]
    assert set(families) == set(FAMILIES)
    share = sum(family.endswith("patent") for family in families) / len(families)
    assert 0.45 < share < 0.6


def test_a_threshold_finds_no_greys() -> None:
    """What is drawn grey, and then made black and white, would be lost."""
    rng = random.Random(10)
    for _ in range(300):
        style = PenStyle.random(rng, PACKAGED)
        if style.wear.bilevel:
            assert style.label_shade == 0
            assert not style.element_shades
            assert not style.half_bonds


def test_the_packaged_shelf_names_what_it_holds() -> None:
    """Each kind has a font, each font its letters; the list is what a run records."""
    for shelf in (PACKAGED, font_shelf()):
        for kind, files in shelf.files:
            assert list(files) == sorted(files, key=lambda file: file.rsplit("/", 1)[-1])
            for file in shelf.of(kind):
                assert writable(file, "CHNOSPFClBrI0123456789()") == "CHNOSPFClBrI0123456789()"
                assert measure(file, "H")[0] > 0
    recorded = PACKAGED.names()
    assert "FreeSans.ttf" in recorded["sans"]
    other = FontShelf(tuple((kind, files[:1]) for kind, files in PACKAGED.files))
    assert other.fingerprint() != PACKAGED.fingerprint()
