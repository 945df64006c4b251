"""What other tools write becomes predictions; what is no prediction is refused by file and line."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eyesmol.chem.labelled_smiles import plain_smiles
from eyesmol.chem.molfile import graph_to_molblock
from eyesmol.chem.smiles import canonical_smiles, graph_from_smiles
from eyesmol.evaluation.gold import ScoreError
from eyesmol.evaluation.predictions import load_predictions
from eyesmol.recognition import Recognition


def block(smiles: str) -> str:
    return graph_to_molblock(graph_from_smiles(smiles).transformed(20, 60, 60, flip=True))


def test_osras_words(tmp_path: Path) -> None:
    said = {
        "one": "N[C@H](C(S)(*)*)C(=O)O 3.49409\n",
        # bond length, confidence, page, box: as -b -p -e -c print them
        "all": "CCO 53.269 3.49409 1 0x0-244x255\n",
        "bare": "CCO\n",
        "several": "Cl 9.1\nCCO 2.5\nCCN 2.75\n",
        "nothing": "\n",
    }
    for name, text in said.items():
        (tmp_path / f"{name}.txt").write_text(text)
    (tmp_path / "notes.md").write_text("no prediction")
    found = {read.image: (read.smiles, read.confidence) for read in load_predictions(tmp_path)}
    assert found == {
        "one": ("N[C@H](C(S)(*)*)C(=O)O", 3.49409),
        "all": ("CCO", 3.49409),
        "bare": ("CCO", None),
        "several": ("CCN", 2.75),  # the largest, of equals the more confident
        "nothing": (None, None),
    }
    (tmp_path / "bad.txt").write_text("CCO 1.5\n--- 99 ---\n")
    with pytest.raises(ScoreError, match=r"bad\.txt, line 2: found '--- 99 ---'"):
        load_predictions(tmp_path)


def test_osras_sdf(tmp_path: Path) -> None:
    """Several records of a picture, without a name, with OSRA's field."""
    small, large = block("Cl"), block("CCO")
    field = ">  <Confidence_estimate>\n1.25\n\n"
    (tmp_path / "a.sdf").write_text(f"{small}{field}$$$$\n{large}{field}$$$$\n")
    [read] = load_predictions(tmp_path)
    assert (read.image, read.smiles, read.confidence) == ("a", "CCO", 1.25)
    assert read.graph is not None
    assert len(read.graph.atoms) == 3
    with pytest.raises(ScoreError, match=r"a\.sdf, record 1: no name"):
        load_predictions(tmp_path / "a.sdf")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("decimer.csv", "filename,SMILES,confidence,time\na.png,CCO,0.5,1.5\n"),
        ("molscribe.csv", "image_id,SMILES,post_SMILES,score,seconds\na,[R]CO,CCO,0.5,1.5\n"),
        ("any.tsv", "File_Path\tPredicted_SMILES\tConfidence\tRuntime\nx/a.png\tCCO\t0.5\t1.5\n"),
        ("any.jsonl", '{"id": "a.png", "smiles": "CCO", "score": 0.5, "time": 1.5}\n'),
    ],
)
def test_columns_of_other_tools(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_text(content)
    [read] = load_predictions(tmp_path / name)
    assert Path(read.image).stem == "a"
    assert (read.smiles, read.confidence, read.seconds) == ("CCO", 0.5, 1.5)


def test_a_column_of_molfiles(tmp_path: Path) -> None:
    text = block("CCO").replace('"', '""')
    (tmp_path / "m.csv").write_text(f'image,molfile,score\na.png,"{text}",0.5\nb.png,"",\n')
    first, second = load_predictions(tmp_path / "m.csv")
    assert (first.smiles, first.confidence) == ("CCO", 0.5)
    assert first.graph is not None
    assert (second.smiles, second.graph) == (None, None)


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        ("a.csv", "picture,smiles\na.png,CCO\n", r"a\.csv, line 2: no image: found the columns "
         r"picture, smiles; expected one of image, file"),
        ("b.csv", "image,formula\na.png,CCO\n", r"b\.csv: no molecule: found the columns image, "
         r"formula; expected one of post_smiles"),
        ("c.csv", "image,smiles,confidence\na.png,C,1\nb.png,C,high\n", r"c\.csv, line 3: .*high"),
        ("d.tsv", None, r"d\.tsv: cannot be read"),
        ("empty", "", "no prediction in this folder"),
    ],
)  # fmt: skip
def test_mistakes_name_file_and_line(
    tmp_path: Path, name: str, content: str | None, complaint: str
) -> None:
    if name == "empty":
        (tmp_path / name).mkdir()
    elif content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(ScoreError, match=complaint):
        load_predictions(tmp_path / name)


def test_labels_in_smiles() -> None:
    expected = {
        "[R1]C[R2]": "[1*]C[2*]",
        "[R]C": "*C",
        "C[X]": "C*",
        "[[B1]p]CC": "*CC",
        "[OMe]c1ccccc1": "COc1ccccc1",
        "C[C@H]([CO2Et])[Ph]": "C[C@H](C(=O)OCC)c1ccccc1",
        "[Ph]/C=C/[NO2]": "O=[N+]([O-])/C=C/c1ccccc1",
        "[Ar]CC": "*CC",  # argon has no bonds
        "[Ac]Nc1ccccc1": "CC(=O)Nc1ccccc1",
        "[Na+].[Cl-]": "[Na+].[Cl-]",
        "[13CH4].[U+2].[Ar]": "[13CH4].[U+2].[Ar]",
    }
    for text, plain in expected.items():
        assert canonical_smiles(plain_smiles(text)) == canonical_smiles(plain), text


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("headless.csv", "a.png,CCO\nb.png,CCN\n"),
        ("headless.tsv", "a.png\tCCO\t0.9\nb.png\tCCN\t0.1\n"),
        ("lines.smi", "CCO a.png\nCCN\tb.png\n"),
        ("rows.json", '[{"image": "a.png", "smiles": "CCO"}, {"file": "b.png", "smiles": "CCN"}]'),
        ("names.json", '{"a.png": "CCO", "b.png": {"smiles": "CCN"}}'),
        ("ours.csv", "image,cxsmiles\na.png,CCO\nb.png,CCN |$;;$|\n"),
    ],
)
def test_other_shapes_of_tables(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_text(content)
    found = {read.image: read.smiles for read in load_predictions(tmp_path / name)}
    assert found == {"a.png": "CCO", "b.png": "CCN"}


def test_molvecs_folder_and_sdf(tmp_path: Path) -> None:
    """MolVec names a molfile after the image's whole name, a record after its stem."""
    folder = tmp_path / "molvec"
    folder.mkdir()
    (folder / "a.png.mol").write_text(block("CCO"))
    (folder / "b.mol").write_text(block("CCN"))
    assert {r.image: r.smiles for r in load_predictions(folder)} == {"a.png": "CCO", "b.mol": "CCN"}
    record = block("CCO").replace(block("CCO").partition("\n")[0], "a", 1)
    (tmp_path / "out.sdf").write_text(f"{record}\n$$$$\n\n")
    [read] = load_predictions(tmp_path / "out.sdf")
    assert (read.image, read.smiles) == ("a", "CCO")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.jsonl", '{"image": "a.png", "smiles": ["CCO", "[R1]C", ""]}\n'),
        ("a.jsonl", '{"image": "a.png", "smiles": [["CCO", 0.5], ["[R1]C", 0.1]]}\n'),
        ("a.jsonl", '{"image": "a.png", "smiles": [{"smiles": "CCO", "score": 0.5}, "[1*]C"]}\n'),
        ("a.csv", 'image,smiles\na.png,"[""CCO"", ""[R1]C""]"\n'),
    ],
)
def test_a_list_of_smiles_has_a_first_and_others(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_text(content)
    [read] = load_predictions(tmp_path / name)
    assert (read.smiles, read.alternatives) == ("CCO", ("[1*]C",))
    assert read.confidence == (0.5 if "0.5" in content else None)
    again = Recognition.from_dict(read.to_dict())
    assert again.alternatives == read.alternatives


def test_an_empty_list_is_no_molecule_and_a_broken_one_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"image": "a.png", "smiles": []}\n')
    [read] = load_predictions(tmp_path / "a.jsonl")
    assert (read.smiles, read.alternatives) == (None, ())
    (tmp_path / "b.csv").write_text('image,smiles\na.png,"[""CCO"""\n')
    with pytest.raises(ScoreError, match=r"b\.csv, line 2: found .* a list in JSON"):
        load_predictions(tmp_path / "b.csv")


@given(st.text(alphabet="CNOR1[]()=@+-*#PhXMe", max_size=24))
def test_any_text_may_be_a_smiles(text: str) -> None:
    assert isinstance(plain_smiles(text), str)
