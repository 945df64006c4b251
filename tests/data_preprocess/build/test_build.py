"""The builder: every input is a row or a counted drop, and the same again whatever happens."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pytest
from PIL import Image
from rdkit import Chem

import data_preprocess.build.rows as builder
from data_preprocess.__main__ import main
from data_preprocess.build.build import Settings, build
from data_preprocess.drawing.render import Drawing, RenderError, Style, render
from data_preprocess.sources.files import PairedFolders, SmilesList
from eyesmol.answer.text import PROMPT_VERSION, prompt, read_answer
from eyesmol.chem.graph import Bracket
from eyesmol.chem.molfile import graph_to_molblock
from eyesmol.chem.smiles import graph_to_smiles
from eyesmol.exceptions import InputError
from eyesmol.image.pixel_frame import PixelFrame

SMALL_FRAME = PixelFrame(min_pixels=28 * 28)
SMILES = ["CC(=O)Nc1ccc(O)cc1", "C[C@H](N)C(=O)O", "CCOC(C)=O", r"F/C(Cl)=C\CO"]


def drawn(task: Literal["cot", "instruction"], seed: int = 0) -> Settings:
    return Settings(task, size=(112, 112), frame=SMALL_FRAME, seed=seed)


def rows_of(dataset: Path) -> dict[str, list[dict[str, Any]]]:
    names = ("train", "valid", "test")
    return {name: json.loads((dataset / f"{name}.json").read_text("utf-8")) for name in names}


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def write_pair(folder: Path, name: str, drawing: Drawing) -> tuple[Path, Path]:
    image, molfile = folder / "images" / f"{name}.png", folder / "molfiles" / f"{name}.MOL"
    for path in (image, molfile):
        path.parent.mkdir(exist_ok=True)
    drawing.image.save(image)
    molfile.write_text(graph_to_molblock(drawing.graph))
    return image, molfile


def folders(folder: Path) -> PairedFolders:
    return PairedFolders(folder / "images", folder / "molfiles")


def test_drawn_rows_are_what_the_trainer_and_the_reader_expect(tmp_path: Path) -> None:
    info = build(SmilesList("small", max_atoms=3), tmp_path, drawn("cot"))
    splits = rows_of(tmp_path)
    assert info.splits == {name: len(rows) for name, rows in splits.items()}
    assert sum(info.splits.values()) == info.items == 73
    assert info.pixel_frame == SMALL_FRAME
    for row in (row for rows in splits.values() for row in rows):
        human, gpt = row["conversations"]
        assert human["value"].startswith("<image>\n")
        answer = read_answer(gpt["value"])
        assert not answer.problems
        assert graph_to_smiles(answer.graph) == (answer.smiles, [])
        with Image.open(tmp_path / row["image"]) as image:
            assert (image.size, image.mode) == ((112, 112), "L")


def test_no_molecule_stands_on_two_sides(tmp_path: Path) -> None:
    source = SmilesList("small", max_atoms=3, copies=3)
    build(source, tmp_path / "cot", drawn("cot"))
    build(source, tmp_path / "ask", drawn("instruction"))
    cot, ask = rows_of(tmp_path / "cot"), rows_of(tmp_path / "ask")
    keys = {
        split: {
            Chem.MolToInchiKey(Chem.MolFromSmiles(smiles))[:14]
            for row in rows
            if (smiles := read_answer(row["conversations"][1]["value"]).smiles)
        }
        for split, rows in cot.items()
    }
    assert not keys["train"] & (keys["valid"] | keys["test"])
    assert not keys["valid"] & keys["test"]
    for split in cot:
        assert {row["image"] for row in cot[split]} == {row["image"] for row in ask[split]}
        assert cot[split], f"{split} is empty"


def test_places_follow_both_scales_of_the_resize(tmp_path: Path) -> None:
    """300 x 101 becomes 784 x 280: the two sides are not stretched alike."""
    drawing = render("C1CC2CCC1CC2CCCCCC", (300, 101), style=Style(bond_length=30, bond_width=2))
    write_pair(tmp_path, "wide", drawing)
    build(folders(tmp_path), tmp_path / "out", Settings("cot", form="json"))
    (row,) = (row for rows in rows_of(tmp_path / "out").values() for row in rows)
    with Image.open(tmp_path / "out" / row["image"]) as image:
        width, height = image.size
    assert width / 300 != pytest.approx(height / 101, rel=0.05)
    found = sorted((a.x, a.y) for a in read_answer(row["conversations"][1]["value"]).graph.atoms)
    true = sorted((a.x * width / 300, a.y * height / 101) for a in drawing.graph.atoms)
    assert found == [pytest.approx(point, abs=3) for point in true]


def test_every_input_is_a_row_or_a_counted_drop(tmp_path: Path) -> None:
    for number, smiles in enumerate(SMILES):
        write_pair(tmp_path, f"good{number}", render(smiles, (300, 200), seed=number))
    spare = render("CCOCC", (300, 200))
    write_pair(tmp_path, "only_molfile", spare)[0].unlink()
    write_pair(tmp_path, "only_image", spare)[1].unlink()
    image, _ = write_pair(tmp_path, "truncated", spare)
    image.write_bytes(image.read_bytes()[:300])
    write_pair(tmp_path, "empty", spare)[1].write_text(" \n")
    write_pair(tmp_path, "words", spare)[1].write_text("this is no molfile\n")
    _, molfile = write_pair(tmp_path, "five_bonds", render("CC(C)(C)C", (300, 200)))
    molfile.write_text(molfile.read_text().replace("  1  2  1  0", "  1  2  2  0"))
    image, _ = write_pair(tmp_path, "blank", spare)
    Image.new("L", (300, 200), 255).save(image)
    image, _ = write_pair(tmp_path, "other", spare)
    render("FC(F)(F)c1ccc(Cl)cc1", (300, 200)).image.save(image)
    spare.image.save(tmp_path / "images" / "good0.tif")

    info = build(folders(tmp_path), tmp_path / "out", Settings("cot"))
    found = {reason: drop["examples"] for reason, drop in info.drops.items()}
    assert found.pop("no fit on the ink: bonds without ink", None) or found.pop(
        "no fit on the ink: ink without bonds"
    ) == ["other.png"]
    assert found == {
        "RDKit cannot parse the molfile": ["words.png"],
        "RDKit cannot sanitise the molecule": ["five_bonds.png"],
        "empty molfile": ["empty.png"],
        "missing image": ["only_molfile.MOL"],
        "missing molfile": ["good0.tif", "only_image.png"],
        "no ink in the image": ["blank.png"],
        "unreadable image": ["truncated.png"],
    }
    dropped = sum(drop["count"] for drop in info.drops.values())
    assert sum(info.splits.values()) == len(SMILES)
    assert len(SMILES) + dropped == info.items
    assert info.reads_back == {"same": len(SMILES)}


def test_a_label_that_stands_for_nothing_is_open_in_the_smiles(tmp_path: Path) -> None:
    """An alias hides a carbon in the molfile; the answer must not call X a methyl group."""
    drawing = render("CC(=O)Nc1ccc(C)cc1", (300, 200))
    _, molfile = write_pair(tmp_path, "aliased", drawing)
    molfile.write_text(molfile.read_text().replace("M  END", "A    1\nX\nM  END"))
    build(folders(tmp_path), tmp_path / "out", Settings("cot"))
    (row,) = (row for rows in rows_of(tmp_path / "out").values() for row in rows)
    answer = read_answer(row["conversations"][1]["value"])
    assert answer.smiles == "*C(=O)Nc1ccc(C)cc1"
    assert "X" in [atom.label for atom in answer.graph.atoms]


@pytest.mark.parametrize("label", ["C8H13", "(H4NO)2", "PH3C"])
def test_a_formula_that_cannot_be_read_is_no_open_position(label: str, tmp_path: Path) -> None:
    drawing = render("CC(=O)Nc1ccc(C)cc1", (300, 200))
    _, molfile = write_pair(tmp_path, "aliased", drawing)
    molfile.write_text(molfile.read_text().replace("M  END", f"A    1\n{label}\nM  END"))
    with pytest.raises(InputError, match="a formula in the drawing that cannot be read: 1"):
        build(folders(tmp_path), tmp_path / "out", Settings("instruction"))


def test_brackets_are_in_the_answer_and_no_older_prompt_has_words_for_them(tmp_path: Path) -> None:
    """A repeat unit has a chain of thought; its SMILES alone would be another molecule's."""
    drawing = render("OCCCCN", (200, 120), seed=1)
    carbons = tuple(n for n, atom in enumerate(drawing.graph.atoms) if atom.label == "C")
    _, molfile = write_pair(tmp_path, "a", drawing)
    molfile.write_text(graph_to_molblock(replace(drawing.graph, brackets=(Bracket(carbons, "n"),))))
    info = build(folders(tmp_path), tmp_path / "cot", Settings("cot"))
    assert info.prompt_version == PROMPT_VERSION
    (row,) = (row for rows in rows_of(tmp_path / "cot").values() for row in rows)
    question, answer = (turn["value"] for turn in row["conversations"])
    assert question.endswith(prompt("compact"))
    read = read_answer(answer)
    assert [(b.mark, b.kind, len(b.atoms)) for b in read.graph.brackets] == [("n", "SRU", 4)]
    assert read.smiles == "NCCCCO"
    with pytest.raises(InputError, match="no words for what is drawn: 1"):
        build(folders(tmp_path), tmp_path / "old", Settings("cot", prompt_version=2))
    with pytest.raises(InputError, match="a repeat unit in brackets"):
        build(folders(tmp_path), tmp_path / "ask", Settings("instruction"))


def test_an_older_prompt_is_asked_where_it_is_wanted(tmp_path: Path) -> None:
    settings = replace(drawn("cot"), prompt_version=2)
    info = build(SmilesList("small", max_atoms=2), tmp_path, settings)
    assert info.prompt_version == 2
    for row in (row for rows in rows_of(tmp_path).values() for row in rows):
        assert row["conversations"][0]["value"] == f"<image>\n{prompt('compact', 2)}"


@pytest.mark.parametrize(
    "smiles", ["N->[Pt]", "CO~O |H:1.1|", "CC* |$;;_AP1$|", "CCCO |Sg:n:1:n:ht|"]
)
def test_what_no_style_draws_is_dropped(smiles: str) -> None:
    with pytest.raises(RenderError, match=r"has (a|brackets)"):
        render(smiles, (200, 200))


@pytest.mark.parametrize("task", ["cot", "instruction"])
def test_workers_and_kills_change_nothing(
    task: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = SmilesList("small", max_atoms=3, copies=3)
    settings = drawn(task)
    info = build(source, tmp_path / "one", settings)
    build(source, tmp_path / "two", settings, workers=2)

    made: list[int] = []
    original = builder._records

    def killed(item: Any, folder: Path, job: Any) -> Any:
        made.append(job.number)
        if len(made) == 150:
            raise KeyboardInterrupt
        return original(item, folder, job)

    monkeypatch.setattr(builder, "_records", killed)
    with pytest.raises(KeyboardInterrupt):
        build(source, tmp_path / "three", settings)
    assert not (tmp_path / "three" / "dataset_info.json").exists()
    assert build(source, tmp_path / "three", settings) == info
    assert made.count(0) == 100, "the first part was whole, so it is not built again"
    assert build(source, tmp_path / "three", settings) == info  # finished: nothing is done
    assert len(made) == 150 + 119

    one = contents(tmp_path / "one")
    assert one == contents(tmp_path / "two") == contents(tmp_path / "three")


def test_an_image_that_a_kill_cut_off_is_written_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, settings = SmilesList("small", max_atoms=2), drawn("cot")
    build(source, tmp_path / "whole", settings)

    def half(image: Image.Image, path: Path) -> None:
        path.write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(builder, "save", half)
    with pytest.raises(KeyboardInterrupt):
        build(source, tmp_path / "cut", settings)
    assert b"half" in contents(tmp_path / "cut").values()
    monkeypatch.undo()
    build(source, tmp_path / "cut", settings)
    assert contents(tmp_path / "cut") == contents(tmp_path / "whole")


def test_another_setting_is_refused_and_overwrite_builds_anew(tmp_path: Path) -> None:
    source = SmilesList("small", max_atoms=2)
    build(source, tmp_path, drawn("cot"))
    with pytest.raises(InputError, match=r"settings\.seed"):
        build(source, tmp_path, drawn("cot", seed=1))
    assert build(source, tmp_path, drawn("cot", seed=1), overwrite=True).seed == 1


def test_pictures_of_others_are_left_alone(tmp_path: Path) -> None:
    """Building into the folder of one's own drawings must not mix, let alone delete them."""
    write_pair(tmp_path, "mine", render("CCO", (200, 200)))
    before = contents(tmp_path)
    for overwrite in (False, True):
        with pytest.raises(InputError, match="no build made"):
            build(folders(tmp_path), tmp_path, Settings("cot"), overwrite=overwrite)
    assert contents(tmp_path) == before


def test_instruction_answers_are_right(tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text("name,SMILES\naniline,Nc1ccccc1\nbroken,C1CC\n")
    info = build(
        SmilesList(str(tmp_path / "list.csv")), tmp_path, Settings("instruction", questions=8)
    )
    assert info.drops == {
        "RDKit cannot read the SMILES": {"count": 1, "examples": ["list-000001-0 C1CC"]}
    }
    answers = {
        row["task"]: row["conversations"][1]["value"]
        for rows in rows_of(tmp_path).values()
        for row in rows
    }
    counts = {"element_count": answers.pop("element_count"), "yes_no": answers.pop("yes_no")}
    assert counts["element_count"] in {"6", "1", "0"}
    assert counts["yes_no"] in {"Yes", "No"}
    assert answers == {
        "smiles": "Nc1ccccc1",
        "formula": "C6H7N",
        "heavy_atoms": "7",
        "rings": "1",
        "elements": "C, N",
        "description": "A molecule of 7 heavy atoms (6 carbon and 1 nitrogen) with one ring and "
        "a double bond; its formula is C6H7N.",
    }


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--images", "nowhere", "--molfiles", "nowhere"], "expected a folder"),
        (["--images", "images", "--molfiles", "texts"], "shares its name with a molfile"),
        (["--smiles", "nowhere.txt"], "no such file"),
        (["--smiles", "texts/prose.txt"], "none of its first 2 entries is a SMILES"),
        (["--smiles", "texts/table.csv"], "found the columns name, mass"),
        (["--smiles", "texts/empty.txt"], "the file is empty"),
        (["--smiles", "images/a.png"], "not a text file"),
        (["--images", "images"], "together"),
        ([], "give either"),
        (["--smiles", "small", "--test", "1"], "leave something for training"),
        (["--smiles", "small", "--max-pixels", "5"], "max_pixels"),
        (["--smiles", "small", "--copies", "0"], "at least 1"),
    ],
)
def test_bad_input_is_one_clear_error(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("images").mkdir()
    Path("texts").mkdir()
    Image.new("L", (9, 9)).save("images/a.png")
    Path("texts/prose.txt").write_text("Some prose\nabout molecules\n")
    Path("texts/table.csv").write_text("name,mass\nx,1\n")
    Path("texts/empty.txt").write_text("\n")
    assert main(["build", "cot", *arguments, "--out", "out"]) == 2
    assert message in capsys.readouterr().err
    assert not Path("out").exists()


@pytest.mark.parametrize("task", ["cot", "instruction"])
@pytest.mark.parametrize("ending", ["png", "html"])
def test_preview_shows_rows(task: Any, ending: str, tmp_path: Path) -> None:
    build(SmilesList("small", max_atoms=2), tmp_path / "set", drawn(task))
    sheet = tmp_path / f"sheet.{ending}"
    assert main(["preview", str(tmp_path / "set"), "--out", str(sheet), "--rows", "5"]) == 0
    if ending == "png":
        with Image.open(sheet) as image:
            assert image.width > 1000
    else:
        assert sheet.read_text("utf-8").count("<figure>") == 5


def test_real_patent_drawings_become_rows(shared_data: Path, tmp_path: Path) -> None:
    for kind in ("images", "molfiles"):
        (tmp_path / kind).mkdir()
        for path in sorted((shared_data / "clef300" / kind).iterdir())[::10]:
            (tmp_path / kind / path.name).symlink_to(path)
    info = build(folders(tmp_path), tmp_path / "out", Settings("cot"))
    rows = sum(info.splits.values())
    assert rows + sum(drop["count"] for drop in info.drops.values()) == info.items == 30
    assert rows >= 27
    assert "the molfile contradicts its own labels" not in info.drops
