"""Whatever is wrong with one row harms that row alone, with a reason; a full disk loses nothing."""

from __future__ import annotations

import json
import math
import re
import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from rdkit import Chem

from data_preprocess.__main__ import main
from data_preprocess.build.build import Settings, build
from data_preprocess.build.exclude import read_excluded
from data_preprocess.build.settings import Task
from data_preprocess.catalogue.compounds import COMPOUNDS, Compound
from data_preprocess.catalogue.source import CompoundCatalogue
from data_preprocess.dataset.info import DatasetInfo
from data_preprocess.drawing.render import Drawing, render
from data_preprocess.sources.files import PairedFolders, SmilesList
from eyesmol.answer.text import read_answer
from eyesmol.chem.molfile import graph_to_molblock
from eyesmol.chem.smiles import graph_to_smiles
from eyesmol.exceptions import InputError
from eyesmol.image.pixel_frame import PixelFrame

DRAWING = render("CC(=O)Nc1ccc(O)cc1", (300, 200))
BLOCK = graph_to_molblock(DRAWING.graph)
GOOD = Compound("good", "test", "CC0-1.0", image="good.png", molfile=BLOCK)


def built(folder: Path, *rows: Compound) -> DatasetInfo:
    """A dataset of a catalogue that has these rows besides a good one."""
    DRAWING.image.save(folder / "good.png")
    with COMPOUNDS.writer(folder) as writer:
        for row in (GOOD, *rows):
            writer.add(row)
    return build(CompoundCatalogue(folder), folder / "out", Settings("cot"), progress=False)


def rows_of(dataset: Path) -> list[dict[str, Any]]:
    names = ("train", "valid", "test")
    return [row for name in names for row in json.loads((dataset / f"{name}.json").read_text())]


def _cut_zip(folder: Path) -> Compound:
    with zipfile.ZipFile(folder / "cut.zip", "w") as archive:
        archive.writestr("a.png", b"x" * 1000)
    (folder / "cut.zip").write_bytes((folder / "cut.zip").read_bytes()[:600])
    return replace(GOOD, id="bad", image="cut.zip!a.png")


def _damaged_member(folder: Path) -> Compound:
    with zipfile.ZipFile(folder / "bad.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.png", bytes(range(256)) * 50)
    data = bytearray((folder / "bad.zip").read_bytes())
    data[40:80] = b"\xff" * 40
    (folder / "bad.zip").write_bytes(data)
    return replace(GOOD, id="bad", image="bad.zip!a.png")


def _bomb_in_zip(folder: Path) -> Compound:
    """Zeros that claim to be an image of 300 MB; the claim is what counts, so it is enough."""
    with zipfile.ZipFile(folder / "zeros.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.png", bytes(1000))
        archive.getinfo("a.png").file_size = 300 << 20
    return replace(GOOD, id="bad", image="zeros.zip!a.png")


def _outside(folder: Path) -> Compound:
    DRAWING.image.save(folder.parent / "secret.png")
    return replace(GOOD, id="bad", image="../secret.png")


def _outside_by_archive(folder: Path) -> Compound:
    return replace(GOOD, id="bad", image="deep/../../x.zip!a.png")


def _bomb(folder: Path) -> Compound:
    Image.new("1", (20_000, 20_000)).save(folder / "bomb.tif", compression="group4")
    return replace(GOOD, id="bad", image="bomb.tif")


def _large(folder: Path) -> Compound:
    Image.new("1", (20_000, 4_000)).save(folder / "large.png")
    return replace(GOOD, id="bad", image="large.png")


def _not_a_number(folder: Path) -> Compound:
    line = BLOCK.splitlines()[4]
    return replace(GOOD, id="bad", molfile=BLOCK.replace(line, "       nan" + line[10:]))


def _html(folder: Path) -> Compound:
    (folder / "a.png").write_text("<html>Not found</html>")
    return replace(GOOD, id="bad", image="a.png")


@pytest.mark.parametrize(
    ("spoiled", "reason"),
    [
        (_cut_zip, "broken archive"),
        (_damaged_member, "unreadable image|broken archive"),
        (_bomb_in_zip, "unreadable image"),
        (_outside, "image outside the catalogue's folder"),
        (_outside_by_archive, "image outside the catalogue's folder"),
        (_bomb, "image of too many pixels"),
        (_large, "image of too many pixels"),
        (_html, "unreadable image"),
        (_not_a_number, "no usable coordinates in the molfile|RDKit cannot parse the molfile"),
        (lambda _: replace(GOOD, id="bad", image="none.png"), "missing image"),
        (lambda _: replace(GOOD, id="bad", image="none.zip!a.png"), "missing image"),
        (lambda _: replace(GOOD, id="bad", molfile=None), "missing molfile"),
        (
            lambda _: replace(GOOD, id="bad", smiles="CCO"),
            "the SMILES is another molecule than the molfile",
        ),
        (lambda _: replace(GOOD, id="bad", molfile="words"), "RDKit cannot parse the molfile"),
        (lambda _: replace(GOOD, id="good"), "duplicate id"),
        (lambda _: replace(GOOD, id="../bad"), "an id that cannot be a file's name"),
        (lambda _: replace(GOOD, id="b" * 300), "an id that cannot be a file's name"),
    ],
)
def test_a_bad_row_is_a_counted_drop(
    spoiled: Callable[[Path], Compound], reason: str, tmp_path: Path
) -> None:
    folder = tmp_path / "catalogue"
    folder.mkdir()
    row = spoiled(folder)
    info = built(folder, row)
    ((found, drop),) = info.drops.items()
    assert re.fullmatch(reason, found)
    assert drop == {"count": 1, "examples": [row.id]}
    assert [one["id"] for one in rows_of(folder / "out")] == ["good"]
    assert sorted(path.name for path in (folder / "out").rglob("*.png")) == ["good.png"]


def test_an_id_in_two_sources_is_a_drop_of_the_second(tmp_path: Path) -> None:
    for name in ("one", "two"):
        with COMPOUNDS.writer(tmp_path / name) as writer:
            writer.add(Compound("a", name, "CC0-1.0", smiles="CCO" if name == "one" else "CCN"))
    sources = [CompoundCatalogue(tmp_path / name) for name in ("one", "two")]
    info = build(sources, tmp_path / "out", Settings("cot", images=False))
    assert info.drops == {"duplicate id": {"count": 1, "examples": ["a CCN"]}}
    assert [row["source"] for row in rows_of(tmp_path / "out")] == ["one"]


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"id": ["a"], "smiles": ["C"]}, "expected source, licence too"),
        ({"id": [1], "source": ["s"], "licence": ["l"]}, "found int64 in the column id"),
        ({"id": ["a"], "source": [""], "licence": ["l"]}, "row 1: source is empty"),
        (None, "not a whole Parquet file: Parquet magic bytes not found"),
    ],
)
def test_a_table_of_another_kind_is_one_clear_error(
    table: dict[str, Any] | None, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "catalogue.parquet"
    if table is None:
        file.write_bytes(b"PAR1 and no more")
    else:
        pq.write_table(pa.table(table), file)
    assert main(["build", "cot", "--catalogue", str(file), "--out", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert file.name in said
    assert not (tmp_path / "out").exists()


def test_text_that_is_not_utf8_names_the_file(tmp_path: Path) -> None:
    names = pa.Array.from_buffers(
        pa.string(), 1, [None, pa.py_buffer(b"\0\0\0\0\2\0\0\0"), pa.py_buffer(b"\xff\xfe")]
    )
    table = {"id": ["a"], "source": ["s"], "licence": ["l"], "molfile": names}
    pq.write_table(pa.table(table), tmp_path / "catalogue.parquet")
    with pytest.raises(ValueError, match=r"catalogue\.parquet: cannot be read: .*UTF-8"):
        CompoundCatalogue(tmp_path)


def test_a_molfile_that_is_not_utf8_is_read(tmp_path: Path) -> None:
    for name in ("images", "molfiles"):
        (tmp_path / name).mkdir()
    DRAWING.image.save(tmp_path / "images/a.png")
    (tmp_path / "molfiles/a.mol").write_bytes("Molek\xfcl".encode("cp1252") + BLOCK.encode())
    source = PairedFolders(tmp_path / "images", tmp_path / "molfiles")
    assert build(source, tmp_path / "out", Settings("cot")).splits["train"] == 1


def _sixteen_bits(image: Image.Image) -> Image.Image:
    return image.convert("I").point(lambda value: value * 257).convert("I;16")


def _on_glass(image: Image.Image) -> Image.Image:
    """Black ink on transparency: where the paper should be, the colour is black too."""
    ink = Image.new("RGBA", image.size, (0, 0, 0, 0))
    ink.putalpha(image.point(lambda value: 255 - value))
    return ink


def _enlarged(image: Image.Image) -> Image.Image:
    return image.resize((image.width * 30, image.height * 30), Image.Resampling.BILINEAR)


@pytest.mark.parametrize("ending", ["png", "tif"])
@pytest.mark.parametrize(
    "turned",
    [
        lambda image: image.convert("1"),
        lambda image: image.convert("P"),
        lambda image: image.convert("CMYK"),
        lambda image: image.convert("LA"),
        _sixteen_bits,
        _on_glass,
        _enlarged,
    ],
)
def test_every_kind_of_picture_is_placed_alike(
    turned: Callable[[Image.Image], Image.Image], ending: str, tmp_path: Path
) -> None:
    image = turned(DRAWING.image)
    if image.mode == "CMYK" and ending == "png":
        pytest.skip("PNG has no CMYK")
    image.save(tmp_path / f"a.{ending}")
    built(tmp_path, replace(GOOD, id="a", image=f"a.{ending}"))
    rows = {row["id"]: row for row in rows_of(tmp_path / "out")}
    good, other = (_shares(tmp_path / "out", rows[name]) for name in ("good", "a"))
    assert len(good) == len(other)
    assert all(min(math.dist(a, b) for b in other) < 0.02 for a in good)


def _shares(dataset: Path, row: dict[str, Any]) -> list[tuple[float, float]]:
    """Places as fractions of the image, whose paper must be white."""
    with Image.open(dataset / row["image"]) as image:
        assert (image.mode, image.getpixel((1, 1))) == ("L", 255)
        graph = read_answer(row["conversations"][1]["value"]).graph
        return [(atom.x / image.width, atom.y / image.height) for atom in graph.atoms]


def test_what_is_drawn_counts_where_rdkit_refuses_what_is_hidden(tmp_path: Path) -> None:
    """As in a CLEF molfile: behind the label CF3 hides a carbon of five bonds, behind X a carbon.

    RDKit's SMILES of the hidden atoms does not exist, that of the drawing does.
    """
    drawing: Drawing = render("Cc1ccc(C(F)(F)F)cc1", (300, 200))
    graph = drawing.graph
    elements = [atom.label for atom in graph.atoms]
    trifluoro = next(i for i, row in enumerate(graph.neighbours())
                     if sum(elements[n] == "F" for n, _ in row) == 3)  # fmt: skip
    methyl = next(i for i, row in enumerate(graph.neighbours())
                  if len(row) == 1 and elements[i] == "C")  # fmt: skip
    hidden = [trifluoro, *(n for n, _ in graph.neighbours()[trifluoro] if elements[n] == "F")]
    double = next(i for i, b in enumerate(graph.bonds) if {b.begin, b.end} == set(hidden[:2]))
    lines = graph_to_molblock(graph).splitlines()
    at = 4 + len(graph.atoms) + double
    lines[at] = lines[at][:6] + "  2" + lines[at][9:]
    members = "".join(f" {index + 1:3d}" for index in hidden)
    lines[-1:] = [
        *(f"A  {methyl + 1:3d}", "X"),
        *("M  STY  1   1 SUP", f"M  SAL   1{len(hidden):3d}{members}", "M  SMT   1 CF3"),
        *("M  END", ""),
    ]
    for name in ("images", "molfiles"):
        (tmp_path / name).mkdir()
    (tmp_path / "molfiles/a.mol").write_text("\n".join(lines))
    drawing.image.save(tmp_path / "images/a.png")
    source = PairedFolders(tmp_path / "images", tmp_path / "molfiles")
    info = build(source, tmp_path / "out", Settings("cot", images=False))
    assert not info.drops
    (row,) = rows_of(tmp_path / "out")
    assert read_answer(row["conversations"][1]["value"]).smiles == "*c1ccc(C(F)(F)F)cc1"

    excluded = read_excluded([tmp_path / "molfiles"])
    with pytest.raises(InputError, match="on the exclude list: 1"):
        build(source, tmp_path / "none", Settings("cot", images=False), excluded=excluded)


@pytest.mark.parametrize("task", ["cot", "instruction"])
@pytest.mark.parametrize(
    ("smiles", "hidden", "label", "reason"),
    [
        ("Cc1ccccc1", "[CH3]", "OH", "the molfile contradicts its own labels"),
        ("[C-]#[N+]c1ccccc1", "[N+]#[C-]", "CN", "the molfile contradicts its own labels"),
        ("Cc1ccccc1", "[CH3]", "C8H13O", "a label that cannot be read hides atoms"),
    ],
)
def test_a_label_that_hides_something_else_gives_no_row_of_any_task(
    smiles: str, hidden: str, label: str, reason: str, task: Task, tmp_path: Path
) -> None:
    """As in some public molfiles: the image says OH, and the atom behind it is a carbon."""
    drawing = render(smiles, (200, 200))
    mol = Chem.MolFromMolBlock(graph_to_molblock(drawing.graph))
    (members,) = mol.GetSubstructMatches(Chem.MolFromSmarts(hidden))
    group = Chem.CreateMolSubstanceGroup(mol, "SUP")
    group.SetProp("LABEL", label)
    group.SetAtoms(list(members))
    Chem.AddMolSubstanceGroup(mol, group)
    lines = Chem.MolToMolBlock(mol).splitlines()
    for name in ("images", "molfiles"):
        (tmp_path / name).mkdir()
    (tmp_path / "molfiles/a.mol").write_text("\n".join(lines) + "\n")
    drawing.image.save(tmp_path / "images/a.png")
    source = PairedFolders(tmp_path / "images", tmp_path / "molfiles")
    for number, images in enumerate((True, False)):
        with pytest.raises(InputError, match=f"{reason}: 1"):
            build(source, tmp_path / f"out{number}", Settings(task, images=images))
    assert not list((tmp_path / "out0").rglob("*.png"))


def test_a_drawing_whose_whole_pixels_are_another_molecule_is_dropped(tmp_path: Path) -> None:
    """A cage with stereo in few pixels: what the answer can say is no longer what was drawn."""
    cage = "CC(C)c1ccc(NC23C[C@H]4C[C@@H](C2)C[C@@H](C3)C4)c2c1C(OC1CCCC1)=NCCN2"
    (tmp_path / "cage.smi").write_text(f"{cage}\n")
    source = SmilesList(str(tmp_path / "cage.smi"), copies=40)
    frame = PixelFrame(min_pixels=56 * 56)
    info = build(source, tmp_path / "out", Settings("cot", size=(84, 84), frame=frame))
    assert info.drops["in whole pixels it is another molecule"]["count"]
    for row in rows_of(tmp_path / "out"):
        answer = read_answer(row["conversations"][1]["value"])
        assert graph_to_smiles(answer.graph)[0] == answer.smiles


_LIMITED = """
import resource, sys
from data_preprocess.__main__ import main
limit = int(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
sys.exit(main(sys.argv[2:]))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no file size limits there")
@pytest.mark.parametrize("limit", [4_000, 70_000])
def test_a_full_disk_loses_nothing(limit: int, tmp_path: Path) -> None:
    """Full at the first part, or not before the lists; the same command resumes either way."""
    words = ["build", "cot", "--smiles", "small", "--max-atoms", "3", "--copies", "2",
             "--size", "56x56", "--workers", "1", "--out"]  # fmt: skip
    out = tmp_path / "out"
    ran = subprocess.run(
        [sys.executable, "-c", _LIMITED, str(limit), *words, str(out)],
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 1, ran.stderr
    assert re.search(r"error: .*no room to write .* and the same command resumes", ran.stderr)
    assert "Traceback" not in ran.stderr
    assert not (out / "dataset_info.json").exists()
    for part in (out / "parts").glob("*.part"):
        assert [json.loads(line) for line in part.read_text().splitlines()], "no half file"
    assert main([*words, str(out)]) == 0
    assert main([*words, str(tmp_path / "clean")]) == 0
    names = {path.relative_to(out) for path in out.rglob("*") if path.is_file()}
    clean = tmp_path / "clean"
    assert names == {path.relative_to(clean) for path in clean.rglob("*") if path.is_file()}
    assert all((out / name).read_bytes() == (clean / name).read_bytes() for name in names)
