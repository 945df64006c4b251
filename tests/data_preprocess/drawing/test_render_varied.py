"""Varied drawings: whatever the engine, the labels, the page and the scanner, the graph is true."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from rdkit import Chem
from scipy import ndimage

from data_preprocess.drawing.abbreviate import collapsed
from data_preprocess.drawing.render import Drawing, Engine, RenderError, Style, render
from data_preprocess.drawing.scan import CLEAN_SCAN, Print, Scan
from data_preprocess.drawing.surroundings import NOTHING_BESIDE, Surroundings
from eyesmol.chem.abbreviations import is_label
from eyesmol.chem.graph import BondOrder
from eyesmol.chem.molfile import MolfileError, read_molblock
from eyesmol.chem.smiles import graph_to_smiles, molblock_to_smiles

pytest.importorskip("indigo", reason="Indigo comes with the extra data")

SIZE = (320, 280)
ENGINES: tuple[Engine, Engine] = ("rdkit", "indigo")
MOLECULES = [
    "COc1ccc(C(=O)OC)cc1NC(=O)OC(C)(C)C",
    "CC(C)(C)OC(=O)N[C@@H](Cc1ccccc1)C(=O)OC",
    "C[C@@H]1CC[C@H](O)[C@@H](C)C1",
    r"F/C(Cl)=C(\Br)CC[N+](=O)[O-]",
    "CC[C@H](C)[C@H](N)C(=O)O",
    "N#Cc1ccc2nc(S(N)(=O)=O)ccc2c1",
    "[Na+].CC(=O)c1cc(C(F)(F)F)ccc1C(=O)[O-]",
    "C[N+](C)(C)CC(=O)OCc1ccccc1.[Cl-]",
    "O=c1[nH]cnc2c1ncn2[C@@H]1O[C@H](CO)[C@@H](O)[C@H]1O",
    "CS(=O)(=O)c1ccc(OC(F)(F)F)c(B(O)O)c1",
    "[2H]C([2H])([2H])Oc1ccncc1",
    "C=C[C@H]1CN2CC[C@H]1C[C@H]2[C@H](O)c1ccnc2ccc(OC)cc12",
    "C",
]
# Through the page and the scanner, but for dirt and gaps, which are ink and no ink by chance.
GEOMETRY = ("tilt", "shear", "zoom", "crop", "binary", "resolution")


def undirty(style: Style) -> Style:
    scan = replace(CLEAN_SCAN, **{name: getattr(style.scan, name) for name in GEOMETRY})
    return replace(style, scan=scan)


@settings(max_examples=50)
@given(st.sampled_from(MOLECULES), st.integers(0, 10_000))
def test_the_graph_is_the_molecule(smiles: str, seed: int) -> None:
    drawing = render(smiles, SIZE, seed=seed, look="varied")
    found, _ = graph_to_smiles(drawing.graph.rounded())
    assert found == drawing.smiles
    assert drawing.image.size == SIZE
    if "*" not in found:  # no end was replaced by an R group
        assert found == Chem.CanonSmiles(smiles)


def test_r_groups_stand_for_an_end_of_the_molecule() -> None:
    style = Style(r_groups=2, r_labels=True)
    seen: set[str] = set()
    for seed in range(8):
        drawing = render("CCOc1ccc(Cl)nc1", SIZE, seed=seed, style=style)
        labels = [atom.label for atom in drawing.graph.atoms if is_label(atom, bonds=1)]
        numbers = {int(label[1:]) for label in labels if label[1:].isdigit()}
        assert len(drawing.graph.atoms) == 10
        assert all(f"[{number}*]" in drawing.smiles for number in numbers)
        assert drawing.smiles.count("*") == len(labels) == 2
        seen.update(labels)
        kept = render("CCOc1ccc(Cl)nc1", SIZE, seed=seed, style=style, r_groups=False)
        assert kept.smiles == "CCOc1ccc(Cl)nc1"
    assert len(seen) > 3


# --- places -------------------------------------------------------------------------------------


def inked(drawing: Drawing, threshold: int) -> NDArray[np.bool_]:
    dark: NDArray[np.bool_] = np.asarray(drawing.image).astype(np.int16) < threshold
    return dark


def distance_to_ink(drawing: Drawing) -> NDArray[np.float64]:
    grey = np.asarray(drawing.image.convert("L"))
    ink = np.asarray(grey < 225 if np.median(grey) > 127 else grey > 30)
    distance: NDArray[np.float64] = ndimage.distance_transform_edt(~ink)
    return distance


def misses(drawing: Drawing, shift: float = 0.0) -> list[tuple[float, BondOrder]]:
    """Distances of all bond midpoints to ink, in pixels.

    Along the bond, its middle fifth counts: the paper round a label reaches far. The axis of a
    double bond runs between its lines, that of a wavy one between its waves, so there the nearest
    ink across the bond counts too, up to a seventh of its length.
    """
    to_ink = distance_to_ink(drawing)
    found = []
    for bond in drawing.graph.bonds:
        a, b = (drawing.graph.atoms[end] for end in (bond.begin, bond.end))
        middle = np.array([(a.x + b.x) / 2 + shift, (a.y + b.y) / 2 + shift])
        along, across = np.array([b.x - a.x, b.y - a.y]), np.array([a.y - b.y, b.x - a.x])
        wide = bond.order in (BondOrder.DOUBLE, BondOrder.CROSSED_DOUBLE, BondOrder.WAVY)
        places = middle + (
            np.linspace(-0.1, 0.1, 5)[:, None, None] * along
            + np.linspace(-1 / 7, 1 / 7, 13)[:, None] * across * wide
        )
        limits = np.array(drawing.image.size) - 1
        columns, rows = np.moveaxis(np.clip(places.astype(int), 0, limits), -1, 0)
        found.append((float(to_ink[rows, columns].min()), bond.order))
    return found


def drawn(smiles: list[str], engine: Engine) -> list[Drawing]:
    drawings, refused = [], set[str]()
    for number, text in enumerate(smiles):
        style = undirty(Style.varied(random.Random(number), (448, 448), engine))
        try:
            drawings.append(render(text, (448, 448), seed=number, style=style))
        except RenderError as error:
            refused.add(error.reason)
    assert refused <= {
        "a radical",
        "atoms lie upon each other in the layout",
        "the picture is too small for the molecule",
    }
    return drawings


@pytest.mark.parametrize("engine", ENGINES)
def test_bonds_lie_on_the_ink(engine: Engine) -> None:
    drawings = drawn(MOLECULES * 3, engine)
    assert len(drawings) >= 3 * len(MOLECULES) - 2
    check_places(drawings)


@pytest.mark.parametrize("engine", ENGINES)
def test_bonds_of_patents_lie_on_the_ink(engine: Engine, shared_data: Path) -> None:
    smiles = []
    for path in sorted((shared_data / "uspto_molfiles").glob("*.MOL"))[::70][:60]:
        try:
            smiles.append(molblock_to_smiles(read_molblock(path)))
        except MolfileError:
            continue
    drawings = drawn(smiles, engine)
    assert len(drawings) > 50
    check_places(drawings)


def check_places(drawings: list[Drawing]) -> None:
    """Each midpoint within 2 pixels of ink, and the measure bites: moved by a fifth of a bond, most
    are not."""
    for drawing in drawings:
        assert all(distance <= 2 for distance, _ in misses(drawing)), drawing.smiles
    moved = [
        distance
        for drawing in drawings
        for distance, order in misses(drawing, shift=drawing.graph.median_bond_length() / 5)
        if order == BondOrder.SINGLE
    ]
    assert np.mean(np.array(moved) <= 2) < 0.6


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("smiles", ["C[C@](F)(CC)C(C)C", "C[C@@](F)(CC)C(C)C"])
def test_a_wedge_is_narrow_where_it_begins(engine: Engine, smiles: str) -> None:
    seen = set()
    for seed in range(12):
        style = Style(engine=engine, rotation=30.0 * seed, bond_length=60, hash_width=1.3)
        drawing = render(smiles, SIZE, seed=seed, style=style)
        ink = inked(drawing, 150)
        for bond in drawing.graph.bonds:
            if bond.order not in (BondOrder.SOLID_WEDGE, BondOrder.DASHED_WEDGE):
                continue
            a, b = (drawing.graph.atoms[end] for end in (bond.begin, bond.end))
            halves = []
            for shares in (np.linspace(0.2, 0.4, 60), np.linspace(0.45, 0.65, 60)):
                along = np.stack([a.x + (b.x - a.x) * shares, a.y + (b.y - a.y) * shares], axis=1)
                across = np.linspace(-0.12, 0.12, 31)[:, None, None] * [a.y - b.y, b.x - a.x]
                columns, rows = np.moveaxis((along + across).astype(int), -1, 0)
                halves.append(ink[rows, columns].mean())
            assert halves[1] > 1.15 * halves[0]
            seen.add(bond.order)
    assert seen == {BondOrder.SOLID_WEDGE, BondOrder.DASHED_WEDGE} or len(seen) == 1


# --- labels -------------------------------------------------------------------------------------


@pytest.mark.parametrize("engine", ENGINES)
def test_an_abbreviation_is_written_towards_its_side(engine: Engine) -> None:
    written = set()
    for seed in range(24):
        style = Style(engine=engine, abbreviations=1.0, rotation=15.0 * seed, bond_length=50)
        drawing = render("COc1ccc2ncccc2c1", SIZE, seed=seed, style=style)
        (index,) = (i for i, a in enumerate(drawing.graph.atoms) if not a.is_element)
        label = drawing.graph.atoms[index]
        ((other, _),) = drawing.graph.neighbours()[index]
        right = drawing.graph.atoms[other].x - label.x
        assert label.label in {"OMe", "OCH3"} if right < 5 else True
        assert label.label in {"MeO", "H3CO"} if right > 45 else True
        # The ink of a text is longer on the side where it goes on.
        ink = inked(drawing, 128)
        row = np.any(ink[round(label.y) - 4 : round(label.y) + 5], axis=0).astype(np.int64)
        left_ink, right_ink = (
            row[round(label.x) - 40 : round(label.x) - 12].sum(),
            row[round(label.x) + 12 : round(label.x) + 40].sum(),
        )
        if abs(right) < 20:  # no bond in the way
            assert (left_ink > right_ink) == (label.label in {"MeO", "H3CO"})
        written.add(label.label)
    assert written == {"OMe", "OCH3", "MeO", "H3CO"}


def test_the_whole_molecule_may_not_hide_in_labels() -> None:
    for smiles in ("CCOC(C)=O", "COC", "CC(C)(C)OC(=O)Nc1ccccc1"):
        drawing = render(smiles, SIZE, style=Style(abbreviations=1.0))
        assert sum(atom.is_element for atom in drawing.graph.atoms) >= 1
        assert drawing.smiles == Chem.CanonSmiles(smiles)


@pytest.mark.parametrize("salt", ["CNC(C)=O.CS(=O)(=O)O", "CCBr.O=C(O)C=CC(=O)O"])
def test_the_two_sides_of_a_small_part_are_not_both_labels(salt: str) -> None:
    """Ethyl bromide is Et-Br or CH3-CH2Br: with both, a label would be bonded to nothing."""
    mol = Chem.MolFromSmiles(salt)
    for seed in range(30):
        drawn = collapsed(mol, 1.0, random.Random(seed))
        assert all(atom.GetDegree() == 1 for atom in drawn.GetAtoms() if not atom.GetAtomicNum())
        assert len(Chem.GetMolFrags(drawn)) == 2


@pytest.mark.parametrize("engine", ENGINES)
def test_what_is_open_circled_or_written_out(engine: Engine) -> None:
    def orders(smiles: str, **wishes: float | bool) -> tuple[set[BondOrder], str, list[str]]:
        drawing = render(smiles, SIZE, style=Style(engine=engine, **wishes))  # type: ignore[arg-type]
        plain = render(smiles, SIZE, style=Style(engine=engine))
        assert drawing.image.tobytes() != plain.image.tobytes()
        labels = [atom.label for atom in drawing.graph.atoms]
        return {bond.order for bond in drawing.graph.bonds}, drawing.smiles, labels

    assert orders("CC=CC", open_stereo=1.0)[:2] == (
        {BondOrder.SINGLE, BondOrder.CROSSED_DOUBLE},
        "CC=CC",
    )
    kinds, found, _ = orders("CC(F)c1ccccc1", open_stereo=1.0)
    assert BondOrder.WAVY in kinds
    assert found == "CC(F)c1ccccc1"
    kinds, found, _ = orders("Cc1ccc2ncccc2c1", circles=True)
    assert kinds == {BondOrder.SINGLE, BondOrder.AROMATIC}
    assert found == "Cc1ccc2ncccc2c1"
    _, found, labels = orders("CC[C@H](F)C1CC1", hydrogens=1.0)
    assert labels.count("H") == 1
    assert found == "CC[C@H](F)C1CC1"
    assert orders("CC#CC(C)(C)C", methyl=True)[2] == ["C"] * 7
    assert orders("CC#CC(C)(C)C", carbons=1.0)[2] == ["C"] * 7


# --- the page and the scanner -------------------------------------------------------------------


@settings(max_examples=40)
@given(st.integers(0, 10_000))
def test_nothing_beside_touches_the_molecule(seed: int) -> None:
    rng = random.Random(seed)
    image = Image.new("L", SIZE, 255)
    molecule = render(MOLECULES[0], (240, 220), seed=seed).image
    image.paste(molecule, (rng.randrange(80), rng.randrange(60)))
    before = np.asarray(image) < 200
    Surroundings(captions=2, strokes=2).add(image, rng)
    new = (np.asarray(image) < 200) & ~before
    assert not new[ndimage.binary_dilation(before, iterations=4)].any()


@settings(max_examples=40)
@given(st.integers(0, 10_000))
def test_places_follow_the_paper(seed: int) -> None:
    """Spots are where the scan says, whatever was done to the paper."""
    rng = random.Random(seed)
    scan = replace(Scan.random(rng), specks=0.0, lines="drawn", inverted=False)
    spots = [(rng.uniform(15, 305), rng.uniform(15, 265)) for _ in range(3)]
    rows, columns = np.mgrid[0 : SIZE[1], 0 : SIZE[0]] + 0.5
    for x, y in spots:
        paper = 255 * (1 - np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / 18))
        image, affine = scan.apply(
            Image.fromarray(paper.astype(np.uint8)), Print(14, 2, 6), random.Random(seed)
        )
        assert image.size == SIZE
        x, y = affine @ (x, y, 1)
        grey = np.asarray(image.convert("L"), dtype=np.float64)
        window = np.hypot(columns - x, rows - y) < 9
        dark = np.clip(np.percentile(grey[window], 70) - grey, 0, None) * window
        assert abs((dark * columns).sum() / dark.sum() - x) < 1
        assert abs((dark * rows).sum() / dark.sum() - y) < 1


@pytest.mark.parametrize("engine", ENGINES)
def test_a_drawing_does_not_depend_on_the_one_before(engine: Engine) -> None:
    other = Style(engine=engine, colour=True, methyl=True, font_size=0.6, wedge_width=0.3)
    first = render(MOLECULES[1], SIZE, style=Style(engine=engine))
    assert render(MOLECULES[1], SIZE, style=other) != first
    assert render(MOLECULES[1], SIZE, style=Style(engine=engine)) == first


def test_the_scan_reaches_the_picture() -> None:
    drawing = render("CCO", SIZE, style=Style(scan=Scan(paper=200.0)))
    assert np.max(np.asarray(drawing.image)) == 200


@settings(max_examples=25)
@given(st.sampled_from(MOLECULES), st.integers(0, 10_000))
@example(MOLECULES[0], 1275)  # whose first scanner changes nothing
def test_a_scanned_drawing_is_the_clean_one_but_for_the_scanner(smiles: str, seed: int) -> None:
    """The same molecule to the last atom, its places where the scanner has moved them."""
    drawing = render(smiles, SIZE, seed=seed, look="scanned")
    assert graph_to_smiles(drawing.graph.rounded())[0] == Chem.CanonSmiles(smiles)
    style = Style.scanned(random.Random(seed), SIZE)
    assert replace(style, scan=CLEAN_SCAN, legible=False) == Style.random(random.Random(seed), SIZE)
    assert style.scan != CLEAN_SCAN
    straight = render(smiles, SIZE, seed=seed, style=undirty(style))
    assert [atom.text for atom in straight.graph.atoms] == [a.text for a in drawing.graph.atoms]
    assert max((distance for distance, _ in misses(straight)), default=0) <= 2


def test_one_varied_seed_gives_one_picture() -> None:
    first, second, third = (render(MOLECULES[1], SIZE, seed=s, look="varied") for s in (3, 3, 4))
    assert first == second
    assert first.image.tobytes() != third.image.tobytes()


def test_what_is_not_legible_is_refused() -> None:
    crowded = "CC(=O)N(C)C[C@H](O)CN1C2CCC1CC(NC(=O)n1c(=O)n(C(C)C)c3ccccc31)C2"
    style = Style(legible=True, scan=CLEAN_SCAN, beside=NOTHING_BESIDE)
    with pytest.raises(RenderError, match="upon each other"):
        render(crowded, (448, 448), style=style)
    for engine in ENGINES:
        with pytest.raises(RenderError, match="too small"):
            render("C" * 40, (112, 112), style=replace(style, engine=engine))
