"""Catalogues, charts, groups and benchmarks: what goes in, what stays out, and on which side."""

from __future__ import annotations

import json
import zipfile
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from rdkit import Chem
from rdkit.Chem import rdDepictor
from scipy.spatial.distance import pdist

from data_preprocess.__main__ import main
from data_preprocess.build.build import Settings, build
from data_preprocess.build.chart_mixing import ChartFolder, charts_wanted, shuffled_in
from data_preprocess.build.exclude import read_excluded
from data_preprocess.build.settings import Task
from data_preprocess.catalogue.charts import CHARTS, Chart
from data_preprocess.catalogue.compounds import COMPOUNDS, Compound
from data_preprocess.catalogue.source import CompoundCatalogue
from data_preprocess.dataset.splits import Ledger, connectivity_key, number_of, split_of
from data_preprocess.drawing.render import StyleRange, render
from data_preprocess.recipes import Recipe
from data_preprocess.sources.files import SmilesList
from data_preprocess.sources.small_molecules import small_molecules
from eyesmol.answer.text import read_answer
from eyesmol.chem.graph import MolGraph
from eyesmol.chem.molfile import graph_to_molblock, parse_molblock
from eyesmol.chem.smiles import graph_to_smiles
from eyesmol.image.pixel_frame import PixelFrame

SMALL = list(small_molecules(4))
TEXT = Settings("cot", images=False)


def catalogue(folder: Path, rows: Iterable[Compound]) -> CompoundCatalogue:
    with COMPOUNDS.writer(folder) as writer:
        for row in rows:
            writer.add(row)
    return CompoundCatalogue(folder)


def of_smiles(folder: Path, smiles: Iterable[str], groups: Iterable[str]) -> CompoundCatalogue:
    return catalogue(
        folder,
        (
            Compound(f"C{n:05d}", "test", "CC0-1.0", smiles=text, group=group or None)
            for n, (text, group) in enumerate(zip(smiles, groups, strict=True))
        ),
    )


def rows_of(dataset: Path) -> dict[str, list[dict[str, Any]]]:
    names = ("train", "valid", "test")
    return {name: json.loads((dataset / f"{name}.json").read_text("utf-8")) for name in names}


def all_rows(dataset: Path) -> list[dict[str, Any]]:
    return [row for rows in rows_of(dataset).values() for row in rows]


def three_kinds(folder: Path) -> CompoundCatalogue:
    """An image with a molfile (in an archive), one with a SMILES, and a SMILES alone."""
    folder.mkdir()
    placed, named = render("CC(=O)Nc1ccc(O)cc1", (300, 200)), render("CCOC(C)=O", (300, 200))
    placed.image.save(folder / "placed.png")
    named.image.save(folder / "named.png")
    with zipfile.ZipFile(folder / "all.zip", "w") as archive:
        archive.write(folder / "placed.png", "deep/placed.png")
    block = graph_to_molblock(placed.graph)
    return catalogue(
        folder,
        [
            Compound("placed", "patents", "CC0-1.0", image="all.zip!deep/placed.png",
                     molfile=block),
            Compound("named", "pubchem", "public domain", smiles="CCOC(C)=O", image="named.png",
                     visual_description="Four corners and two letters.", description="An ester."),
            Compound("alone", "chebi", "CC-BY-4.0", smiles="c1ccccc1O"),
        ],
    )  # fmt: skip


def test_each_row_of_a_catalogue_becomes_what_it_can(tmp_path: Path) -> None:
    source = three_kinds(tmp_path / "mixed")
    info = build(source, tmp_path / "cot", Settings("cot"))
    smiles = {row["id"]: read_answer(row["conversations"][1]["value"]).smiles
              for row in all_rows(tmp_path / "cot")}  # fmt: skip
    assert smiles == {"placed": "CC(=O)Nc1ccc(O)cc1", "alone": "Oc1ccccc1"}
    assert {row["source"] for row in all_rows(tmp_path / "cot")} == {"patents", "chebi"}
    assert [drop["examples"] for drop in info.drops.values()] == [["named"]]
    assert info.reads_back == {"same": 2}
    assert info.licences == ["CC-BY-4.0", "CC0-1.0", "public domain"]

    build(source, tmp_path / "drawn", Settings("cot", draw=True))
    assert {row["id"] for row in all_rows(tmp_path / "drawn")} == {"placed", "named", "alone"}

    ask = Settings("instruction", recipe=Recipe.load("v2"), questions=40)
    build(source, tmp_path / "ask", ask)
    asked = defaultdict(set)
    for row in all_rows(tmp_path / "ask"):
        asked[row["image"]].add(row["task"])
    assert len(asked) == 3
    of_named = asked["images/000000/named.png"]
    assert {"description", "visual_description", "smiles"} <= of_named
    with Image.open(tmp_path / "ask/images/000000/named.png") as image:
        assert image.size == PixelFrame().size(300, 200)


def test_a_drawing_of_ours_is_not_described_as_the_picture_of_the_source(tmp_path: Path) -> None:
    ask = Settings("instruction", recipe=Recipe.load("v2"), questions=40, draw=True)
    info = build(three_kinds(tmp_path / "mixed"), tmp_path / "ask", ask)
    assert "description" in info.tasks
    assert "visual_description" not in info.tasks


def _delivered() -> tuple[str, str]:
    """A molblock with a layout, a wedge and a label that no program of ours would choose, and its
    SMILES."""
    mol = Chem.MolFromSmiles("C[C@H](N)c1ccc(C(=O)OCC)cc1")
    group = Chem.CreateMolSubstanceGroup(mol, "SUP")
    group.SetProp("LABEL", "CO2Et")
    group.SetAtoms([7, 8, 9, 10, 11])
    Chem.AddMolSubstanceGroup(mol, group)
    rdDepictor.Compute2DCoords(mol)
    places = mol.GetConformer().GetPositions()
    turn = np.array([[0.6, 0.8, 0], [-0.8, 0.6, 0], [0, 0, 1]])
    mol.GetConformer().SetPositions(places @ turn * [1.3, 0.8, 1])  # stretched, too
    return Chem.MolToMolBlock(mol), Chem.MolToSmiles(mol)


@pytest.mark.parametrize("style", ["clean", "varied"])
def test_a_molfile_that_a_source_delivered_is_drawn_as_it_is(
    style: StyleRange, tmp_path: Path
) -> None:
    block, smiles = _delivered()
    Image.new("L", (90, 90), 255).save(tmp_path / "other.png")
    rows = [
        Compound("both", "test", "CC0-1.0", smiles=smiles, molfile=block),
        Compound("alone", "test", "CC0-1.0", molfile=block),
        Compound("image", "test", "CC0-1.0", molfile=block, image="other.png"),
    ]
    source = catalogue(tmp_path, rows)
    build(source, tmp_path / "out", Settings("cot", draw=True, style=style))
    wanted = parse_molblock(block)
    for row in all_rows(tmp_path / "out"):
        answer = read_answer(row["conversations"][1]["value"])
        assert answer.smiles == smiles
        assert _shape(answer.graph) == pytest.approx(_shape(wanted), abs=0.02)
        assert sorted(a.text for a in answer.graph.atoms) == sorted(a.text for a in wanted.atoms)
        assert sorted(b.order for b in answer.graph.bonds) == sorted(b.order for b in wanted.bonds)
    assert len(all_rows(tmp_path / "out")) == 3
    # Without --draw the image decides, and this one shows nothing.
    info = build(source, tmp_path / "placed", Settings("cot", style=style))
    assert info.drops == {"no ink in the image": {"count": 1, "examples": ["image"]}}


def _shape(graph: MolGraph) -> list[float]:
    """All distances, as fractions of the longest: a layout without its place, size and turn."""
    places = np.array([(atom.x, atom.y) for atom in graph.atoms])
    distances = np.sort(pdist(places))
    return [float(distance) for distance in distances / distances[-1]]


def test_hydrogens_that_a_molfile_lists_for_completeness_are_not_drawn(tmp_path: Path) -> None:
    """PubChem's molfiles list every hydrogen; its drawings show those of other atoms alone."""
    smiles = "C[C@H](N)c1ccc(O)cc1"
    mol = Chem.AddHs(Chem.MolFromSmiles(smiles))
    rdDepictor.Compute2DCoords(mol)
    row = Compound("a", "pubchem", "CC0-1.0", molfile=Chem.MolToMolBlock(mol))
    build(catalogue(tmp_path, [row]), tmp_path / "out", Settings("cot"))
    (drawn,) = all_rows(tmp_path / "out")
    answer = read_answer(drawn["conversations"][1]["value"])
    assert answer.smiles == Chem.CanonSmiles(smiles)
    hydrogens = [n for n, atom in enumerate(answer.graph.atoms) if atom.text == "H"]
    beside = [answer.graph.neighbours()[n][0][0] for n in hydrogens]
    texts = sorted(answer.graph.atoms[n].text for n in beside)
    assert [text for text in texts if text != "C"] == ["N", "N", "O"]
    assert texts.count("C") <= 1, "none, or the one with a wedge"


def test_a_molfile_that_no_graph_holds_leaves_its_row_the_smiles(tmp_path: Path) -> None:
    row = Compound("a", "test", "CC0-1.0", smiles="CCO", molfile="words")
    build(catalogue(tmp_path, [row]), tmp_path / "out", Settings("cot"))
    assert [row["id"] for row in all_rows(tmp_path / "out")] == ["a"]


def test_several_sources_stand_one_after_the_other(tmp_path: Path) -> None:
    first = of_smiles(tmp_path / "first", SMALL[15:150], [""] * 135)
    info = build([first, SmilesList("small", max_atoms=2)], tmp_path / "out", TEXT)
    assert [(about["name"], about["items"]) for about in info.sources] == [
        ("first", 135),
        ("small", 15),
    ]
    assert sum(info.splits.values()) == info.items == 150
    kinds = [row["source"] for row in rows_of(tmp_path / "out")["train"]]
    assert kinds == sorted(kinds, reverse=True), "test before small"


@settings(max_examples=10)
@given(groups=st.lists(st.sampled_from("abcdefgh"), min_size=40, max_size=40))
def test_a_group_stays_on_one_side_and_so_does_a_molecule(
    tmp_path_factory: pytest.TempPathFactory, groups: list[str]
) -> None:
    """20 molecules in 40 rows; where two groups disagree, rows go, none leaks."""
    folder = tmp_path_factory.mktemp("groups")
    smiles = SMALL[100:120] * 2
    source = of_smiles(folder / "source", smiles, groups)
    by_group = Settings("cot", images=False, split_by="group", valid=0.3, test=0.3)
    info = build(source, folder / "out", by_group, progress=False)
    molecules, of_group = defaultdict(set), defaultdict(set)
    kept = 0
    for split, rows in rows_of(folder / "out").items():
        for row in rows:
            kept += 1
            number = int(row["id"][1:])
            molecules[connectivity_key(smiles[number])].add(split)
            of_group[groups[number]].add(split)
    assert all(len(splits) == 1 for splits in molecules.values())
    assert all(len(splits) == 1 for splits in of_group.values())
    sides: dict[str | None, str] = {}
    shown = set()
    for text, group in zip(smiles, groups, strict=True):
        side = split_of(f"group {group}", 0.3, 0.3)
        if side == sides.setdefault(connectivity_key(text), side):
            shown.add(text)
    assert kept == len(shown), "each molecule once, on the side of its first group"
    assert sum(info.splits.values()) + sum(d["count"] for d in info.drops.values()) == 40
    assert info.molecules == {
        **{name: sum(splits == {name} for splits in molecules.values())
           for name in ("train", "valid", "test")},
        "in_two_splits": 0,
        "on_the_exclude_list": 0,
    }  # fmt: skip


def test_cot_and_questions_of_groups_are_split_alike(tmp_path: Path) -> None:
    """A row that only the chain of thought drops still decides where its molecule stands."""
    (tmp_path / "source").mkdir()
    drawing = render("CCOC(C)=O", (300, 200))
    drawing.image.save(tmp_path / "source/a.png")
    sides = {name: number_of(f"group {name}") / 2**64 < 0.5 for name in "abcdefgh"}
    test = next(name for name, side in sides.items() if side)
    train = next(name for name, side in sides.items() if not side)
    source = catalogue(
        tmp_path / "source",
        [
            Compound("a", "x", "y", smiles="CCOC(C)=O", image="a.png", group=test),
            Compound("b", "x", "y", smiles="CCOC(C)=O", group=train),
            Compound("c", "x", "y", smiles="CCO", group=train),
        ],
    )
    for task in get_args(Task):
        half = Settings(task, split_by="group", test=0.5, valid=0)
        info = build(source, tmp_path / task, half)
        assert info.drops["its molecule stands in another split already"]["count"] == 1
        assert {row["image"] for row in rows_of(tmp_path / task)["train"]} == {
            "images/000000/c.png"
        }
        assert not (tmp_path / task / "images/000000/b.png").exists()


def test_the_proof_would_show_a_leak(tmp_path: Path) -> None:
    with Ledger(tmp_path / "ledger") as ledger:
        for key, split in [("a", "train"), ("a", "test"), ("b", "train"), ("b", "train")]:
            ledger.wrote(key, split)
        assert ledger.proof(frozenset("bc")) == {
            "train": 2, "valid": 0, "test": 1, "in_two_splits": 1, "on_the_exclude_list": 1,
        }  # fmt: skip


def _as_text(folder: Path) -> Path:
    (folder / "list.txt").write_text("C[C@@H](N)C(=O)O alanine\n*CC\nnonsense\n")
    return folder / "list.txt"


def _as_inchikeys(folder: Path) -> Path:
    keys = [Chem.MolToInchiKey(Chem.MolFromSmiles(text)) for text in ("CC(N)C(=O)O", "CCO")]
    (folder / "keys.txt").write_text("\n".join(keys) + "\n")
    return folder / "keys.txt"


def _as_gold(folder: Path) -> Path:
    (folder / "gold.csv").write_text("image,smiles\na.png,C[C@@H](N)C(=O)O\nb.png,C*C\n")
    return folder / "gold.csv"


def _as_molfiles(folder: Path) -> Path:
    (folder / "molfiles").mkdir()
    graph = render("C[C@@H](N)C(=O)O", (200, 200)).graph
    (folder / "molfiles/a.mol").write_text(graph_to_molblock(graph))
    (folder / "molfiles/b.mol").write_text("no molfile\n")
    return folder / "molfiles"


@pytest.mark.parametrize(
    ("written", "gone", "unreadable"),
    [
        (_as_text, {"C00000", "C00001", "C00003"}, 1),
        (_as_inchikeys, {"C00000", "C00001", "C00002"}, 0),
        (_as_gold, {"C00000", "C00001"}, 0),
        (_as_molfiles, {"C00000", "C00001"}, 1),
    ],
)
def test_molecules_of_a_benchmark_become_no_rows(
    written: Any, gone: set[str], unreadable: int, tmp_path: Path
) -> None:
    """Stereo aside: the other enantiomer of a benchmark's molecule is no fair question either."""
    smiles = ["C[C@H](N)C(=O)O", "CC(N)C(=O)O", "CCO", "[1*]CC", "CCC"]
    source = of_smiles(tmp_path / "source", smiles, [""] * 5)
    path = written(tmp_path)
    info = build(source, tmp_path / "out", TEXT, excluded=read_excluded([path]))
    assert {row["id"] for row in all_rows(tmp_path / "out")} == {
        f"C{n:05d}" for n in range(5)
    } - gone
    assert info.drops["on the exclude list"]["count"] == len(gone)
    assert info.molecules["on_the_exclude_list"] == 0
    (about,) = info.exclude
    assert (about["name"], about["unreadable"]["count"]) == (path.name, unreadable)


def charts(folder: Path, count: int, questions: int = 2) -> ChartFolder:
    with CHARTS.writer(folder) as writer:
        for number in range(count):
            Image.new("RGB", (60, 40), (number, 90, 90)).save(folder / f"{number}.png")
            asked = tuple(f"What is {q} in {number}?" for q in range(questions))
            answers = tuple(f"{number}.{q}" for q in range(questions))
            writer.add(Chart(f"p{number}", "pixmo", "ODC-By-1.0", f"{number}.png", asked, answers))
    return ChartFolder(folder)


def test_replay_is_a_fraction_of_the_rows_and_has_positions(tmp_path: Path) -> None:
    recipe = Recipe("mine", questions=2, replay=0.25, tasks={"smiles": 1, "formula": 1})
    frame = PixelFrame(min_pixels=784)
    ask = Settings("instruction", size=(84, 84), frame=frame, recipe=recipe)
    build(SmilesList("small", max_atoms=3, copies=2), tmp_path / "set", ask, progress=False)
    rows = all_rows(tmp_path / "set")
    replayed = [row for row in rows if row["task"] == "cot"]
    assert 0.15 < len(replayed) / len(rows) < 0.35
    assert len({row["image"] for row in replayed}) == len(replayed)
    for row in replayed:
        answer = read_answer(row["conversations"][1]["value"])
        assert not answer.problems
        assert graph_to_smiles(answer.graph)[0] == answer.smiles


def test_charts_are_mixed_in_at_the_share_of_the_recipe(tmp_path: Path) -> None:
    recipe = tmp_path / "mine.yaml"
    recipe.write_text("questions: 2\ncharts: 0.25\ntasks: {smiles: 1, formula: 1}\n")
    source = of_smiles(tmp_path / "source", SMALL[50:170], [""] * 120)
    mixed = Settings(
        "instruction", size=(56, 56), frame=PixelFrame(min_pixels=784), recipe=Recipe.load(recipe)
    )
    folder = charts(tmp_path / "charts", 120)
    info = build(source, tmp_path / "out", mixed, charts=folder)
    assert info.tasks["chart"] == 80
    assert info.chart_rows == {"wanted": 80, "written": 80}
    assert "ODC-By-1.0" in info.licences
    assert info.charts is not None
    assert info.charts["items"] == 120
    train = rows_of(tmp_path / "out")["train"]
    places = [n for n, row in enumerate(train) if row["task"] == "chart"]
    early = sum(place < len(train) / 2 for place in places)
    assert 0.25 < early / len(places) < 0.75, "shuffled among the others"
    for row in train:
        if row["task"] == "chart":
            question, answer = (turn["value"] for turn in row["conversations"])
            chart, _, asked = answer.partition(".")
            assert question == f"<image>\nWhat is {asked} in {chart}?"
            with Image.open(tmp_path / "out" / row["image"]) as image:
                assert image.getpixel((5, 5)) == (int(chart), 90, 90)
                assert image.size == mixed.frame.size(60, 40)

    few = build(source, tmp_path / "few", mixed, charts=charts(tmp_path / "few_charts", 30))
    assert few.chart_rows == {"wanted": 80, "written": 60}, "30 charts of 2 questions"


@given(st.integers(0, 30), st.integers(0, 30), st.integers(0, 3))
def test_shuffling_in_keeps_all_rows_and_both_orders(
    molecules: int, images: int, seed: int
) -> None:
    ours: list[dict[str, Any]] = [{"row": number} for number in range(molecules)]
    theirs: list[dict[str, Any]] = [{"row": -1 - number} for number in range(images)]
    counts = (molecules, images)
    mixed = [record["row"] for record in shuffled_in(iter(ours), iter(theirs), counts, seed)]
    assert [row for row in mixed if row >= 0] == list(range(molecules))
    assert [-1 - row for row in mixed if row < 0] == list(range(images))


@given(st.integers(1, 10_000), st.floats(0.0, 0.9))
def test_the_share_is_of_all_rows(rows: int, share: float) -> None:
    wanted = charts_wanted(rows, share)
    assert abs(wanted - share * (rows + wanted)) <= 1


def test_the_command_takes_all_of_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    of_smiles(tmp_path / "one", SMALL[:60], "ab" * 30)
    of_smiles(tmp_path / "two", SMALL[40:90], "cd" * 25)
    charts(tmp_path / "charts", 3)
    (tmp_path / "gold.csv").write_text("image,smiles\na.png,C\n")
    words = ["--catalogue", tmp_path / "one", "--catalogue", tmp_path / "two",
             "--smiles", "small", "--max-atoms", "1", "--exclude", tmp_path / "gold.csv",
             "--split-by", "group", "--recipe", "v2", "--charts", tmp_path / "charts",
             "--no-images", "--workers", "1", "--out", tmp_path / "out"]  # fmt: skip
    assert main(["build", "instruction", *map(str, words)]) == 0
    said = capsys.readouterr().out
    assert "too few charts: 6 rows of" in said
    assert "duplicate id, such as C00000" in said
    info = json.loads((tmp_path / "out/dataset_info.json").read_text("utf-8"))
    assert info["settings"]["recipe"]["name"] == "v2"
    assert info["drops"]["on the exclude list"]["count"] == 2
    assert info["reads_back"] == {}
    assert not list(tmp_path.glob("out/**/*.png"))
