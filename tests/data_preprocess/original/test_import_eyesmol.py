"""The original data set: answers written by its faulty program come back right, or are counted.

The program is written here from what is known of it: labels in molfile order beside places and
bonds in SMILES order, labels of abbreviations on each hidden atom, a walk from atom 0 that turns
bonds round without their wedges, centred places with y up, Python text.
"""

from __future__ import annotations

import ast
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw
from rdkit import Chem, rdBase
from rdkit.Chem import rdDepictor

from data_preprocess.__main__ import main
from data_preprocess.build.examples import Drop, fit_to_frame, molecule_of, render_or_load
from data_preprocess.dataset import json_stream
from data_preprocess.dataset.json_stream import json_objects
from data_preprocess.original import import_eyesmol
from data_preprocess.original.legacy_cot import (
    COLLAPSED,
    LABELS,
    WEDGES,
    numbered_as_smiles,
    repair,
)
from data_preprocess.sources.files import Item
from eyesmol.answer.text import read_answer
from eyesmol.chem.graph import MolGraph
from eyesmol.chem.labelled_smiles import plain_smiles
from eyesmol.chem.molfile import (
    MolfileError,
    abbreviation_groups,
    block_to_mol,
    mol_to_graph,
    parse_molblock,
    read_molblock,
)
from eyesmol.chem.smiles import canonical_smiles
from eyesmol.exceptions import InputError
from eyesmol.image.pixel_frame import PixelFrame

_PROMPTS = (
    "Recognize the molecule. First list the atoms and bonds as JSON, then give the SMILES.",
    "Please output the structure in JSON format with atoms, coordinates and bonds.",
    "What molecule is this? Answer step by step in JSON.",
)


def _original(block: str, *, own_numbers: bool = True, brackets: bool = False) -> str | None:
    """What the original's program writes for a molfile; None where RDKit takes hydrogens away."""
    raw, mol = (block_to_mol(block, sanitize=s) for s in (False, True))
    if raw.GetNumAtoms() != mol.GetNumAtoms():
        return None
    smiles = Chem.MolToSmiles(mol)
    order = list(mol.GetPropsAsDict(True, True)["_smilesAtomOutputOrder"])
    drawn = mol_to_graph(raw, collapse=False)
    labels = [atom.text for atom in drawn.atoms]  # in the molfile's order, and used so
    for group in abbreviation_groups(raw):
        for member in group.members:
            labels[member] = f"[{group.label}]"
    points = _centred([(drawn.atoms[i].x, drawn.atoms[i].y) for i in order])
    place = {atom: number for number, atom in enumerate(order)}
    neighbours: list[dict[int, int]] = [{} for _ in order]
    for bond in drawn.bonds:
        begin, end = place[bond.begin], place[bond.end]
        neighbours[begin][end] = neighbours[end][begin] = int(bond.order)
    items: list[dict[str, Any]] = []
    number: dict[int, int] = {}

    def walk(atom: int) -> None:
        number[atom] = atom if own_numbers else len(number)
        items.append({"a": labels[atom], "id": number[atom], "xy": list(points[atom])})
        for other, order in neighbours[atom].items():
            if other in number:
                items.append({"b": order, "a1": number[other], "a2": number[atom]})
        for other in neighbours[atom]:
            if other not in number:
                walk(other)

    walk(0)
    text = ", ".join(str(item) for item in [*items, {"smiles": smiles}])
    return f"[{text}]" if brackets else text


def _centred(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    xs, ys = zip(*points, strict=True)
    middle = (min(xs) + max(xs)) / 2, (min(ys) + max(ys)) / 2
    return [(round(x - middle[0], 4), round(y - middle[1], 4)) for x, y in points]


def _placed(graph: MolGraph) -> list[tuple[str, int, int]]:
    """Labels with their places, in hundredths, for atoms in any order."""
    return sorted((atom.text, round(atom.x * 100), round(atom.y * 100)) for atom in graph.atoms)


def _truth(block: str) -> list[tuple[str, int, int]]:
    """What `_placed` should find: the molfile's own labels at its own places, centred alike."""
    drawn = mol_to_graph(block_to_mol(block, sanitize=False), collapse=False)
    xs, ys = [atom.x for atom in drawn.atoms], [atom.y for atom in drawn.atoms]
    middle = (min(xs) + max(xs)) / 2, (min(ys) + max(ys)) / 2
    return _placed(parse_molblock(block).transformed(1, -middle[0], -middle[1]))


def _same(found: list[tuple[str, int, int]], wanted: list[tuple[str, int, int]]) -> bool:
    return len(found) == len(wanted) and all(
        a[0] == b[0] and abs(a[1] - b[1]) <= 1 and abs(a[2] - b[2]) <= 1
        for a, b in zip(found, wanted, strict=True)
    )


def _block(smiles: str, *, turned: bool = True) -> str:
    """A molfile with its atoms in another order than the canonical SMILES."""
    mol = Chem.MolFromSmiles(smiles)
    if turned:
        mol = Chem.RenumberAtoms(mol, list(range(mol.GetNumAtoms()))[::-1])
    rdDepictor.Compute2DCoords(mol)
    return str(Chem.MolToMolBlock(mol))


def _abbreviated(smiles: str, groups: dict[str, Sequence[int]]) -> str:
    """A molfile with abbreviation S-groups, its atoms in the order of the SMILES given."""
    mol = Chem.MolFromSmiles(smiles)
    for label, members in groups.items():
        group = Chem.CreateMolSubstanceGroup(mol, "SUP")
        group.SetProp("LABEL", label)
        group.SetAtoms(list(members))
        Chem.AddMolSubstanceGroup(mol, group)
    rdDepictor.Compute2DCoords(mol)
    return str(Chem.MolToMolBlock(mol))


# ---- one answer ----


@pytest.mark.parametrize("own_numbers", [True, False])
def test_real_patent_answers_come_back_right(shared_data: Path, own_numbers: bool) -> None:
    folder = shared_data / "uspto_molfiles"
    # The last one has chains whose labels read as alkenes, but stand between two neighbours.
    files = [*sorted(folder.iterdir())[::45], folder / "US07314693-20080101-C00371.MOL"]
    written = kept = 0
    for path in files:
        try:
            block = read_molblock(path)
            text = _original(block, own_numbers=own_numbers)
        except MolfileError:
            continue
        if text is None:
            continue
        written += 1
        try:
            repaired = repair(text, own_numbers=own_numbers)
        except Drop:
            continue
        kept += 1
        assert _same(_placed(repaired.graph), _truth(block)), path.name
        assert repaired.smiles == canonical_smiles(repaired.smiles)
    assert written > 50
    assert kept > 0.75 * written


@pytest.mark.parametrize(
    ("block", "what"),
    [
        (_block("CC(=O)Oc1ccccc1C(=O)O"), LABELS),
        (_block("C[N+](C)(C)CC(=O)[O-]"), LABELS),
        (_abbreviated("COc1ccc(Br)cc1C#N", {"OMe": [1, 0]}), COLLAPSED),
        (_abbreviated("CCOC(=O)c1ccc(OC(F)(F)F)cc1", {"CO2Et": [3, 4, 2, 1, 0]}), COLLAPSED),
        (_block("C[C@H](N)C(=O)O"), WEDGES),
        (_block("O[C@@H]1CCCC[C@H]1N"), WEDGES),
    ],
)
def test_each_fault_is_repaired(block: str, what: str) -> None:
    seen: set[str] = set()
    for brackets in (False, True):
        text = _original(block, brackets=brackets)
        assert text is not None
        repaired = repair(text, own_numbers=True)
        assert _same(_placed(repaired.graph), _truth(block))
        seen.update(repaired.repairs)
    assert what in seen


def _text(*items: dict[str, Any]) -> str:
    return ", ".join(map(str, items))


def _atom(number: int, label: str, x: float, y: float = 0.0) -> dict[str, Any]:
    return {"a": label, "id": number, "xy": [x, y]}


_BOND = {"b": 1, "a1": 0, "a2": 1}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no list of atoms"),
        ("I cannot recognise this molecule.", "no list of atoms"),
        (_text(_atom(0, "C", 0), _atom(1, "O", 1), _BOND) + ", {'smil", "cut off"),
        (_text(_atom(0, "C", 0), _atom(1, "O", 1), _BOND), "without a SMILES"),
        (_text(_atom(0, "C", 0), _atom(0, "O", 1), {"smiles": "CO"}), "listed twice"),
        (_text(_atom(0, "C", 0), _BOND, {"smiles": "CO"}), "not listed"),
        (_text(_atom(0, "C", 0), {"b": 99, "a1": 0, "a2": 1}, {"smiles": "C"}), "unknown order"),
        (_text({"a": "C", "id": 0, "xy": ["x", 1]}, {"smiles": "C"}), "without a position"),
        (_text(_atom(0, "C", 0), {"smiles": "C1CC"}), "cannot read the SMILES"),
        (_text(_atom(0, "C", 0), {"smiles": "C(C)(C)(C)(C)C"}), "cannot read the SMILES"),
        (_text(_atom(0, "C", 0), _atom(1, "O", 1), _BOND, {"smiles": "CCO"}), "disagree"),
        (_text(_atom(0, "C", 0), {"smiles": "C.[Na+]"}), "fragments are missing"),
        ("{'a': __import__('os').mkdir('owned'), 'id': 0, 'xy': [0, 0]}, {'smiles': 'C'}", "cut"),
    ],
)  # fmt: skip
def test_what_cannot_be_mended_is_a_drop(
    text: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(Drop, match=reason):
        repair(text, own_numbers=True)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("smiles", ["CCCCCCO", "CC(F)Cl", "C[C@H](N)C(=O)O"])
def test_labels_that_could_go_either_way_are_a_drop(smiles: str) -> None:
    """Without its labels the molecule can be turned round, so displaced labels may agree."""
    block = _block(smiles)
    walked, numbered = (_original(block, own_numbers=own) for own in (False, True))
    assert walked is not None
    assert numbered is not None
    with pytest.raises(Drop, match="for certain"):
        repair(walked, own_numbers=False)
    # The table's own numbers tell, since they are those of the SMILES.
    assert _same(_placed(repair(numbered, own_numbers=True).graph), _truth(block))


@given(st.text(max_size=80) | st.text("{}'\"[]ab:,1 smiles", max_size=80))
def test_any_text_is_an_answer_or_a_drop(text: str) -> None:
    with pytest.raises(Drop):
        repair(text, own_numbers=False)


# ---- the published layout ----

_BRACKETS = re.compile(r"\[((?:[^\[\]]|\[[^\[\]]*\])*)\]")
_AS_WRITTEN: Any = Chem.SmilesParserParams()
_AS_WRITTEN.removeHs = False
# SMILES as they are published, the label of the hidden atoms of an abbreviation, and why not.
_PUBLISHED: list[tuple[str, dict[str, list[int]], str | None]] = [
    ("CCC(=O)NC1=CC=C(SC2=NC(N3CCN(C)CC3)=CC(NC3=CC(C)=NN3)=N2)C=C1", {}, None),
    ("CC1=C(NC(=O)CNC2=CC(F)=C(F)C=C2)C=CC=C1OC1CCNCC1", {}, None),
    ("FC1=CC=C(CN2N=NC3=NC=C(C4=CC=CS4)N=C32)C=C1", {}, None),
    ("CC(C)(C)C1CCC(C(C)(C)C)CC1", {}, None),
    ("[H]C1(C2=CC=CC=C2)CC2=CC=CC=C2C(=O)N1C", {}, None),
    ("O=C(/C=C/C=C/C1=CN=C2C=CC=CC2=C1)N1CCCCC1", {}, None),
    ("N#CC1=CC(C2=CN(C3=NC=CC=C3[N+](=O)[O-])N=N2)=CC=C1", {}, None),
    ("CC(=O)CNC1=CC=C(C[C@H]([NH3+])C(=O)[O-])C=C1", {"COO-": [12, 13, 14]}, None),
    ("CS(=O)(=O)C1=CC=C(C(=O)OCC2=CC=NC=C2)S1", {"SO2Me": [0, 1, 2, 3]}, None),
    ("CCC(=O)NC1=CC(C(=O)O)=CC(C2=CCCC2)=C1", {"CO2H": [8, 9, 10]}, None),
    ("OC1=C(C(F)(F)F)C=CC=N1", {"CF3": [3, 4, 5, 6]}, None),
    ("[R5]OP([OR])(=O)C1=CC2=CC(OS(=O)N([R2])[R3])=C([R1])C=C2NC1=O", {}, None),
    ("[(4)]N(C)C1=C(Cl)C=CC=N1", {}, None),
    ("[R1]C1=CC([R2])=C([R3])N=C1[L4,]", {}, None),
    ("COC1=CC=C(/C(C2=CC=CC=C2)=C(\\[COOR3,])C#N)C=C1", {}, None),
    ("C", {}, None),
    ("[H]C(=O)NOC(F)(F)FC", {"CF3CO": [4, 5, 6, 7, 8, 9]}, "RDKit cannot read the SMILES"),
    ("[H][[L-V]m][Z]C1=[X]C([A2][B2][2H][2H])=[X]C=N1", {}, "RDKit cannot read the SMILES"),
    ("O=C([TeH])N(C1=CC=CC=C1)C1=CC=CC=C1", {"CN": [1, 3]}, "which atom a label stands for"),
    ("CC(C)CC1(C)CC1(C)C", {"CHCH2": [1, 3, 4, 6]}, "which atom a label stands for"),
    ("CC1=CC=C(S(O)(O)O)C=C1", {"HO3S": [5, 6, 7, 8]}, "which atom a label stands for"),
]  # fmt: skip


def _published(smiles: str, labels: dict[str, list[int]]) -> str:
    """An answer as the published files have it: one nested dict, atoms in the order of the SMILES,
    labels without brackets, those of an abbreviation on all its atoms, at one position."""
    own: list[str] = []

    def dummy(match: re.Match[str]) -> str:
        if Chem.AtomFromSmiles(match[0]) is not None:
            return match[0]
        own.append(match[1])
        return f"[*:{len(own)}]"

    with rdBase.BlockLogs():
        mol = Chem.MolFromSmiles(marked := _BRACKETS.sub(dummy, smiles), _AS_WRITTEN)
    if mol is None:  # the public files have some that no chemistry allows
        mol = Chem.MolFromSmiles(marked, sanitize=False)
        mol.UpdatePropertyCache(strict=False)
        Chem.FastFindRings(mol)
    else:
        Chem.Kekulize(mol, clearAromaticFlags=True)
    rdDepictor.Compute2DCoords(mol)
    Chem.WedgeMolBonds(mol, mol.GetConformer())
    points = [[round(x, 4), round(y, 4)] for x, y, _ in mol.GetConformer().GetPositions().tolist()]
    texts = [own[a.GetAtomMapNum() - 1] if a.GetAtomMapNum() else a.GetSymbol()
             for a in mol.GetAtoms()]  # fmt: skip
    for label, members in labels.items():
        for member in members:
            texts[member], points[member] = label, points[members[0]]
    wedges = {Chem.BondDir.BEGINWEDGE: 5, Chem.BondDir.BEGINDASH: 6}
    items: list[dict[str, Any]] = []
    for number, (text, point) in enumerate(zip(texts, points, strict=True)):
        items.append({"a": text, "id": number, "xy": point})
        for bond in mol.GetAtomWithIdx(number).GetBonds():
            if (other := bond.GetOtherAtomIdx(number)) < number:
                order = wedges.get(bond.GetBondDir(), int(bond.GetBondTypeAsDouble()))
                items.append({"b": order, "a1": other, "a2": number})
    return str({"cot": items, "smiles": smiles})


@pytest.mark.parametrize(("smiles", "labels", "reason"), _PUBLISHED)
def test_published_answers_are_kept_or_dropped_for_a_reason(
    smiles: str, labels: dict[str, list[int]], reason: str | None
) -> None:
    text = _published(smiles, labels)
    if reason is not None:
        with pytest.raises(Drop, match=reason):
            repair(text, own_numbers=True)
        return
    repaired = repair(text, own_numbers=True)
    assert numbered_as_smiles(text)
    assert repaired.smiles == canonical_smiles(plain_smiles(smiles))
    drawn = [atom.text for atom in repaired.graph.atoms]
    for label, members in labels.items():
        assert drawn.count(f"[{label}]") == 1
        assert len(drawn) == text.count("'xy'") - len(members) + 1


def test_published_rows_are_imported_and_each_drop_says_why(tmp_path: Path) -> None:
    rows = []
    for number, (smiles, labels, _) in enumerate(_PUBLISHED):
        text = _published(smiles, labels)
        items = ast.literal_eval(text)["cot"]
        _lines(items, tmp_path / f"images/{number}.png")
        question = f"<image>\n{_PROMPTS[0]}"
        rows.append(_row(f"{number:010d}", f"{number}.png", question, text))
    (tmp_path / "cot.json").write_text(json.dumps(rows))
    out = tmp_path / "out"
    command = ["import", "eyesmol-dataset", "--cot", str(tmp_path / "cot.json"), "--workers", "1"]
    assert main([*command, "--images", str(tmp_path / "images"), "--out", str(out)]) == 0
    info = json.loads((out / "dataset_info.json").read_text())
    assert info["sources"][0]["atom_numbers"] == "of the SMILES"
    kept = {row["id"].split("~")[0] for row in json.loads((out / "train.json").read_text())}
    wanted = {f"{n:010d}" for n, (_, _, reason) in enumerate(_PUBLISHED) if reason is None}
    assert kept == wanted
    drops = [json.loads(line) for line in (out / "drops.jsonl").read_text().splitlines()]
    assert len(drops) == len(_PUBLISHED) - len(wanted)
    assert all(drop["name"] and drop["reason"].startswith("cot: ") for drop in drops)


# ---- the file ----


@given(
    st.lists(st.dictionaries(st.text(max_size=4), st.text(max_size=6) | st.integers()), max_size=6),
    st.integers(1, 9),
    st.booleans(),
)
def test_a_list_is_read_in_any_chunks(
    tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, Any]], chunk: int, indent: bool
) -> None:
    path = tmp_path_factory.mktemp("json") / "a.json"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_stream, "_CHUNK", chunk)
        path.write_text(json.dumps(rows, ensure_ascii=False, indent=2 if indent else None),
                        encoding="utf-8")  # fmt: skip
        assert list(json_objects(path)) == rows
        whole = path.read_text(encoding="utf-8")
        if rows and not indent:
            path.write_text(whole[:-2], encoding="utf-8")
            with pytest.raises(InputError, match=f"row {len(rows)} is not JSON"):
                list(json_objects(path))


def test_memory_does_not_grow_with_the_list(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    row = json.dumps({"id": "a", "value": "x" * 1000})
    with path.open("w") as file:
        file.write("[" + ",\n".join([row] * 40_000) + "]")
    program = (
        "import sys, resource; from pathlib import Path\n"
        "from data_preprocess.dataset.json_stream import json_objects\n"
        "rows = json_objects(Path(sys.argv[1])); next(rows)\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "count = sum(1 for _ in rows)\n"
        "print(count, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(path)],
        env={**os.environ, "PYTHONPATH": str(Path(json_stream.__file__).parents[2])},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    count, grown = map(int, done.stdout.split())
    assert count == 39_999
    assert grown < 16_000  # kilobytes, of a file of 40,000


# ---- the whole ----


def _image(block: str, path: Path) -> None:
    """Its bonds as plain lines, 40 pixels a unit."""
    graph = mol_to_graph(block_to_mol(block, sanitize=False), collapse=False)
    _draw([(a.x, a.y) for a in graph.atoms], [(b.begin, b.end) for b in graph.bonds], path)


def _lines(items: list[dict[str, Any]], path: Path) -> None:
    """The bonds of an answer as plain lines; a label where there are none."""
    points = [(item["xy"][0], item["xy"][1]) for item in items if "a" in item]
    bonds = [(item["a1"], item["a2"]) for item in items if "b" in item]
    _draw(points, bonds, path)


def _draw(places: list[tuple[float, float]], bonds: list[tuple[int, int]], path: Path) -> None:
    left, top = min(x for x, _ in places), max(y for _, y in places)
    points = [(30 + 40 * (x - left), 30 + 40 * (top - y)) for x, y in places]
    width, height = (round(max(p[axis] for p in points)) + 30 for axis in (0, 1))
    image = Image.new("L", (width, height), 255)
    pen = ImageDraw.Draw(image)
    for begin, end in bonds:
        pen.line([*points[begin], *points[end]], fill=0, width=3)
    if not bonds:
        pen.text(points[0], "CH4", fill=0)
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)


def _row(name: str, image: str | None, question: str, answer: str) -> dict[str, Any]:
    turns = [{"from": "human", "value": question}, {"from": "gpt", "value": answer}]
    return {"id": name, **({"image": image} if image else {}), "conversations": turns}


_SMILES = ("CC(=O)Oc1ccccc1C(=O)O", "CN1C=NC2=C1C(=O)N(C)C(=O)N2C", "C[C@H](N)C(=O)OCC", "CCCCCCO")


@pytest.fixture
def original(tmp_path: Path) -> Path:
    """The published files with four good molecules, and what is wrong with others."""
    rows = []
    for number, smiles in enumerate(_SMILES):
        block = _block(smiles)
        name = f"uspto_mol/2005/US{number}.TIF"
        _image(block, tmp_path / "images" / name)
        answer = _original(block)
        assert answer is not None
        prompt = f"<image>\n{_PROMPTS[number % 3]}"
        rows.append(_row(f"US{number}", f"/home/author/data/{name}", prompt, answer))
    good = rows[0]["conversations"][1]["value"]
    wrong = rows[1]["conversations"][1]["value"]
    image = "uspto_mol/2005/US0.TIF"
    rows += [
        _row("gone", "uspto_mol/2005/gone.TIF", "<image>\nWhat?", good),
        _row("out", "../../secret.png", "<image>\nWhat?", good),
        _row("other", image, "<image>\nWhat?", wrong),
        _row("broken", image, "<image>\nWhat?", good.replace("c1ccccc1", "c1cccc")),
    ]
    (tmp_path / "cot.json").write_text(json.dumps(rows))
    questions = [
        _row("2244", image, "<image>\nWhat is its SMILES?", _SMILES[0]),
        _row("2244", image, "Describe the molecule.", "An ester of salicylic acid."),
        _row("CHEBI:15377", None, "What is water?", "A solvent."),
        _row("999", image, "<image>\nWhat is it?", "Its SMILES is C1CC."),
        _row("998", "gone.png", "<image>\nWhat is it?", "A molecule."),
        _row("997", None, "<image>\nWhat is it?", "A molecule."),
        {"id": "996", "conversations": [{"from": "human", "value": "What?"}]},
    ]
    (tmp_path / "instruction.json").write_text(json.dumps(questions))
    table = pa.table({"ChEBI_ID": [15377, 5], "what": ["a", "b"]})
    pq.write_table(table, tmp_path / "ids.parquet")
    return tmp_path


def _command(folder: Path, out: Path, *more: str) -> list[str]:
    return [
        *("import", "eyesmol-dataset", "--cot", str(folder / "cot.json"), "--workers", "1"),
        *("--instruction", str(folder / "instruction.json"), "--images", str(folder / "images")),
        *("--ids", str(folder / "ids.parquet"), "--out", str(out), *more),
    ]


def test_the_published_files_become_a_dataset(original: Path) -> None:
    out = original / "out"
    assert main(_command(original, out, "--form", "json")) == 0
    info = json.loads((out / "dataset_info.json").read_text())
    rows = json.loads((out / "train.json").read_text())
    assert info["tasks"] == {"cot": 4, "instruction": 3}
    assert {reason: drop["count"] for reason, drop in info["drops"].items()} == {
        "cot: missing image": 1,
        "cot: image path that leads out of the folder": 1,
        "cot: no fit on the ink: bonds without ink": 1,
        "cot: RDKit cannot read the SMILES": 1,
        "instruction: RDKit cannot read the SMILES": 1,
        "instruction: missing image": 1,
        "instruction: image marks do not fit the images": 1,
        "instruction: no conversation of questions and answers": 1,
    }
    assert info["items"] == len(rows) + sum(d["count"] for d in info["drops"].values())
    assert sorted(info["prompts"]) == sorted(_PROMPTS)
    assert info["ids"] == {
        "column": "ChEBI_ID",
        "listed": 2,
        "rows_listed": 1,
        "rows_not_listed": 2,
        "listed_without_a_row": 1,
    }
    assert len({row["id"] for row in rows}) == len(rows)
    for number, smiles in enumerate(_SMILES):
        _check_cot(rows[number], smiles, out)
    # The image mark that the second question lacked, and one image for all rows that name it.
    assert rows[5]["conversations"][0]["value"] == "<image>\nDescribe the molecule."
    assert rows[4]["image"] == rows[5]["image"]
    assert "image" not in rows[6]
    assert not (out / "parts").exists()
    # The other commands take it for what it is.
    assert main(["check", str(out), "--workers", "1"]) == 0
    assert main(["card", str(out)]) == 0


def _check_cot(row: dict[str, Any], smiles: str, out: Path) -> None:
    """The answer lies where `_picture` drew it, and says the molecule."""
    answer = read_answer(row["conversations"][1]["value"])
    assert not answer.problems
    assert answer.smiles == canonical_smiles(smiles)
    block = _block(smiles)
    drawn = parse_molblock(block)
    left, top = min(a.x for a in drawn.atoms), max(a.y for a in drawn.atoms)
    with Image.open(out / row["image"]) as image:
        frame = image.size
    _, bottom = (max(30 + 40 * (a.x - left) for a in drawn.atoms), min(a.y for a in drawn.atoms))
    width = round(max(30 + 40 * (a.x - left) for a in drawn.atoms)) + 30
    height = round(30 + 40 * (top - bottom)) + 30
    wanted = sorted(
        (a.text, (30 + 40 * (a.x - left)) * frame[0] / width,
         (30 + 40 * (top - a.y)) * frame[1] / height)
        for a in drawn.atoms
    )  # fmt: skip
    for atom in answer.graph.atoms:
        near = [w for w in wanted if w[0] == atom.text and abs(w[1] - atom.x) <= 4
                and abs(w[2] - atom.y) <= 4]  # fmt: skip
        assert near, (atom, wanted)


_KILLED = """
import os, signal, sys
from data_preprocess.original import import_eyesmol
from data_preprocess.__main__ import main
import_eyesmol._PART = 3
record, seen = import_eyesmol._record, 0
def dying(*args):
    global seen
    seen += 1
    if seen == 6:
        os.kill(os.getpid(), signal.SIGKILL)
    return record(*args)
import_eyesmol._record = dying
main(sys.argv[1:])
"""


def test_killed_it_goes_on_and_ends_alike(original: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    killed = subprocess.run(
        [sys.executable, "-c", _KILLED, *_command(original, original / "killed")],
        env={**os.environ, "PYTHONPATH": str(Path(json_stream.__file__).parents[2])},
        stderr=subprocess.DEVNULL,
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL
    assert not (original / "killed/train.json").exists()
    monkeypatch.setattr(import_eyesmol, "_PART", 3)
    read: list[int] = []
    record = import_eyesmol._record

    def noted(row: Any, place: int, job: Any) -> Any:
        read.append(place)
        return record(row, place, job)

    monkeypatch.setattr(import_eyesmol, "_record", noted)
    for name in ("killed", "whole"):
        assert main(_command(original, original / name)) == 0
    assert len(read) == 12 + 15  # the first part of the killed run was there
    for name in ("train.json", "valid.json", "test.json", "dataset_info.json"):
        assert (original / "killed" / name).read_bytes() == (original / "whole" / name).read_bytes()
    left, right = (
        sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))
        for folder in (original / "killed", original / "whole")
    )
    assert left == right  # the killed run leaves no half file


def test_faulty_files_are_named(original: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = original / "out"
    pq.write_table(pa.table({"weight": [1.0], "what": ["a"]}), original / "ids.parquet")
    assert main(_command(original, out)) == 2
    assert "found the columns weight, what; expected one of ids" in capsys.readouterr().err
    (original / "instruction.json").write_text('[{"id": "1"}, [1]]')
    assert main(_command(original, out)) == 2
    assert "instruction.json: row 2 is a list" in capsys.readouterr().err


def test_real_pictures_get_their_places(shared_data: Path, tmp_path: Path) -> None:
    """CLEF drawings: what is imported lies where the molfile itself is laid."""
    folder = shared_data / "clef300"
    rows, truth = [], {}
    for path in sorted((folder / "images").iterdir())[::25]:
        molfile = next((folder / "molfiles").glob(f"{path.stem}.*"))
        answer = _original(read_molblock(molfile))
        if answer is not None:
            rows.append(_row(path.stem, path.name, "<image>\nWhat?", answer))
            truth[path.stem] = Item(path.stem, "clef", image=path, molfile=molfile)
    (tmp_path / "cot.json").write_text(json.dumps(rows))
    published = import_eyesmol.Published(folder / "images", cot=tmp_path / "cot.json")
    settings = import_eyesmol.Settings()
    info = import_eyesmol.import_dataset(published, tmp_path / "out", settings, progress=False)
    kept = json.loads((tmp_path / "out/train.json").read_text())
    assert len(kept) >= len(rows) / 2, info.drops
    for row in kept:
        item = truth[row["id"].split("~")[0]]
        example = render_or_load(item, molecule_of(item, draw=False), task="cot", draw=False,
                           size=(448, 448), seed=0)  # fmt: skip
        wanted = fit_to_frame(example, PixelFrame()).graph
        found = read_answer(row["conversations"][1]["value"]).graph
        assert wanted is not None
        assert sorted(a.text for a in found.atoms) == sorted(a.text for a in wanted.atoms)
        for atom in found.atoms:
            assert any(
                atom.text == w.text and abs(atom.x - w.x) <= 3 and abs(atom.y - w.y) <= 3
                for w in wanted.atoms
            ), (row["id"], atom)
