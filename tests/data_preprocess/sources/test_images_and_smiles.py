"""Images with a table of SMILES: the rows that become items, and a dataset that labels itself."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from rdkit import Chem
from rdkit.Chem import Draw

from data_preprocess.__main__ import main
from data_preprocess.build.detector_labels import Labeller
from data_preprocess.sources.images_and_smiles import ImagesWithSmiles
from eyesmol.answer.text import read_answer
from eyesmol.chem.smiles import canonical_smiles, graph_to_smiles
from eyesmol.exceptions import InputError

ESTER, AMIDE = "CCOC(=O)c1ccccc1", "CC(=O)Nc1ccc(Cl)cc1"


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    folder.mkdir()
    for name, smiles in (("ester.png", ESTER), ("amide.v2.png", AMIDE)):
        Draw.MolToImage(Chem.MolFromSmiles(smiles), (400, 300)).save(folder / name)
    return folder


def table(folder: Path, text: str, name: str = "drugs.csv") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("drugs.csv", f"image,smiles\nester.png,{ESTER}\nimages/amide.v2.png,{AMIDE}\n"),
        ("drugs.csv", f"Name,note,SMILES\nester,,{ESTER}\namide.v2,,{AMIDE}\n"),
        ("drugs.tsv", f"SMILES\tfile\n{ESTER}\tester.png\n{AMIDE}\tamide.v2.png\n"),
    ],
)
def test_rows_name_their_images(images: Path, name: str, text: str) -> None:
    items = list(ImagesWithSmiles(images, table(images.parent, text, name)).items())
    assert [(i.name, i.smiles, i.problem) for i in items] == [
        ("ester", ESTER, None),
        ("amide.v2", AMIDE, None),
    ]
    assert [i.image for i in items] == [images / "ester.png", images / "amide.v2.png"]


def test_gaps_are_items_with_their_reason(images: Path) -> None:
    text = f"image,smiles\nester.png,{ESTER}\ngone.png,CC\namide.v2.png,\n,CCC\n"
    source = ImagesWithSmiles(images, table(images.parent, text))
    assert [(i.name, i.problem) for i in source.items()] == [
        ("ester", None),
        ("gone", "missing image"),
        ("amide.v2", "no SMILES in the table"),
    ]
    assert source.describe()["items"] == 3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("picture,smiles\na,CC\n", "found the columns picture, smiles; with --images expected"),
        ("image,formula\na,C2H6\n", "expected image and SMILES"),
        ("image,smiles\nother.png,CC\n", "no row names an image"),
    ],
)
def test_table_that_does_not_fit_is_refused(images: Path, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        ImagesWithSmiles(images, table(images.parent, text))


def test_labeller_needs_a_detector(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no detector there"):
        Labeller.of(str(tmp_path))


def test_images_label_themselves(images: Path, tmp_path: Path) -> None:
    text = f"image,smiles\nester.png,{ESTER}\namide.v2.png,{AMIDE}\n"
    # The third row names the ester's drawing with another molecule.
    (images / "wrong.png").write_bytes((images / "ester.png").read_bytes())
    drugs, out = table(tmp_path, f"{text}wrong.png,CCOC(=O)c1ccccn1\n"), tmp_path / "cot"
    arguments = ["build", "cot", "--images", images, "--smiles", drugs, "--out", out]
    assert main([*map(str, arguments), "--workers", "1", "--valid", "0", "--test", "0"]) == 0

    info = json.loads((out / "dataset_info.json").read_text("utf-8"))
    assert info["labelled"] == {"as read": 2}
    assert info["settings"]["labeller"] == {
        "model": "detector",
        "sha256": Labeller.of("detector").sha256,
    }
    [(reason, drop)] = info["drops"].items()
    assert reason.startswith("labels: another molecule was read")
    assert (drop["count"], drop["examples"]) == (1, ["wrong.png"])
    rows = json.loads((out / "train.json").read_text("utf-8"))
    for row, smiles in zip(rows, (ESTER, AMIDE), strict=True):
        answer = read_answer(row["conversations"][1]["value"])
        assert not answer.problems
        assert graph_to_smiles(answer.graph)[0] == answer.smiles == canonical_smiles(smiles)


def test_images_alone_say_what_is_missing(
    images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["build", "cot", "--images", str(images), "--out", str(tmp_path / "cot")]
    assert main(arguments) != 0
    assert "together with --molfiles DIR, or with one --smiles TABLE" in capsys.readouterr().err
