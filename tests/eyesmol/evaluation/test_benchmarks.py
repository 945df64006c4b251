"""Public benchmarks are found as they are published, and what is not there is said."""

from __future__ import annotations

from pathlib import Path

import pytest

from eyesmol.chem.molfile import graph_to_molblock
from eyesmol.chem.smiles import graph_from_smiles
from eyesmol.cli.main import main
from eyesmol.evaluation.benchmarks import benchmark_names, load_benchmark, read_benchmark
from eyesmol.evaluation.gold import ScoreError

EXPECTED = {
    "acs",
    "clef",
    "decimer-hand-drawn",
    "jpo",
    "molrec-bench",
    "molrecbench-wild",
    "staker",
    "uob",
    "uspto",
}


def review(root: Path) -> Path:
    """Two molecules of CLEF in the layout of the OCSR review, one of them as SDF."""
    pictures = root / "assets/images/CLEF"
    molfiles = root / "assets/reference/CLEF_mol_ref"
    for folder in (pictures, molfiles):
        folder.mkdir(parents=True)
    block = graph_to_molblock(graph_from_smiles("CCO").transformed(20, 60, 60, flip=True))
    (molfiles / "a.MOL").write_text(block)
    (molfiles / "b.sdf").write_text(block + "\n$$$$\n")
    return root


def test_every_benchmark_says_where_it_comes_from() -> None:
    assert set(benchmark_names()) >= EXPECTED
    for name in benchmark_names():
        benchmark = read_benchmark(name)
        assert benchmark.source
        assert benchmark.layouts


@pytest.mark.parametrize(
    "part", ["", "assets", "assets/reference", "assets/reference/CLEF_mol_ref"]
)
def test_the_data_folder_may_be_any_part_of_the_download(tmp_path: Path, part: str) -> None:
    found = load_benchmark("clef", review(tmp_path) / part)
    assert [(gold.image, gold.smiles) for gold in found.gold.rows] == [
        ("a.MOL", "CCO"),
        ("b.sdf", "CCO"),
    ]
    assert (found.images is not None) == (part in ("", "assets"))
    assert any("as published it has 992" in line for line in found.used)


def test_tables_with_and_without_a_header(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real/acs.csv").write_text(
        "image_id,file_path,SMILES\n101,real/acs/101.png,[R1]CO\n102,real/acs/102.png,C1CO\n"
    )
    found = load_benchmark("acs", tmp_path)
    assert [(gold.image, gold.smiles) for gold in found.gold.rows] == [("101", "[1*]CO")]
    assert found.gold.unscorable == (("102", "its SMILES is none that RDKit reads"),)
    assert "columns image_id and smiles" in found.used
    hand = tmp_path / "hand"
    hand.mkdir()
    (hand / "DECIMER_HDM_Dataset_SMILES.tsv").write_text("CDK_1\tCCO\nCDK_2\tCCN\n")
    found = load_benchmark("decimer-hand-drawn", hand)
    assert [(gold.image, gold.smiles) for gold in found.gold.rows] == [
        ("CDK_1", "CCO"),
        ("CDK_2", "CCN"),
    ]
    assert any(line.startswith("no header") for line in found.used)


def test_a_benchmark_of_your_own(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(
        "title: Mine\nlayouts:\n  - table: 'truth/*.csv'\n    image_columns: [Bild]\n"
        "    smiles_columns: [Struktur]\n"
    )
    (tmp_path / "truth").mkdir()
    (tmp_path / "truth/one.csv").write_text("Bild,Struktur\na.png,CCO\n")
    found = load_benchmark(str(tmp_path / "mine.yaml"), tmp_path)
    assert [gold.smiles for gold in found.gold.rows] == ["CCO"]
    (tmp_path / "truth/one.csv").write_text("Name,Formel\na.png,x\n")
    with pytest.raises(ScoreError, match=r"one\.csv: no picture: found the columns name, formel; "
                                         r"expected one of bild"):  # fmt: skip
        load_benchmark(str(tmp_path / "mine.yaml"), tmp_path)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("layouts: [", "not YAML"),
        ("title: x", "expected fields title"),
        ("colour: red\nlayouts: []", "found the field 'colour'"),
        ("layouts:\n  - images: x", "layout 1: expected molfiles .* or carbon"),
        ("layouts:\n  - table: x\n    column: y", "layout 1: found the field 'column'"),
    ],
)
def test_a_broken_description_is_refused(tmp_path: Path, text: str, complaint: str) -> None:
    (tmp_path / "mine.yaml").write_text(text)
    with pytest.raises(ScoreError, match=complaint):
        read_benchmark(str(tmp_path / "mine.yaml"))


def test_what_is_missing_is_said(tmp_path: Path) -> None:
    with pytest.raises(ScoreError, match=r"holds no CLEF-IP.*CLEF_mol_ref \(OCSR review.*https://"):
        load_benchmark("clef", tmp_path)
    with pytest.raises(ScoreError, match="no such folder"):
        load_benchmark("clef", tmp_path / "nowhere")
    with pytest.raises(ScoreError, match=r"expected one of acs, clef.*YAML file"):
        load_benchmark("cleff", tmp_path)


def test_the_command_scores_and_lists(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = review(tmp_path / "data")
    (tmp_path / "mine.csv").write_text("image,smiles\na.png,CCO\nb.png,CCN\n")
    mine = str(tmp_path / "mine.csv")
    assert main(["evaluate", "--benchmark", "clef", "--data", str(data), mine]) == 0
    said = capsys.readouterr()
    assert "50.0 %" in said.out
    assert "CLEF_mol_ref" in said.err
    assert main(["evaluate", "--list-benchmarks"]) == 0
    assert all(f"{name}: " in capsys.readouterr().out for name in ["clef"])
    assert main(["evaluate", "--benchmark", "clef", mine]) == 2
    assert main(["evaluate", "--benchmark", "clef", "--data", str(data)]) == 2
    assert main(["evaluate"]) == 2
    err = capsys.readouterr().err
    for complaint in ("belong together", "at least one", "expected GOLD and PREDICTIONS"):
        assert complaint in err


def test_the_patents_of_clef(shared_data: Path) -> None:
    found = load_benchmark("clef", shared_data / "clef300")
    assert (len(found.gold.rows), len(found.gold.unscorable)) == (296, 4)
    assert found.images == shared_data / "clef300/images"
