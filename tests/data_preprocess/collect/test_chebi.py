"""``collect chebi`` from the SDF, the flat files and the web service: the same compounds."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rdkit import Chem

from data_preprocess.__main__ import main
from data_preprocess.catalogue.compounds import COMPOUNDS, Compound

FAST = ["--per-second", "100000", "--per-minute", "100000", "--backoff", "0.01", "--rest", "0.02"]
DEFINITION = "An <em>ortho</em>-fused H<sub>2</sub>O &amp; more; p &lt; 0.05."
NO_ATOMS = "\n  x\n\n  0  0  0  0  0  0  0  0  0  0999 V2000\nM  END\n"


def info(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "collect_info.json").read_text()))


def rows(folder: Path) -> dict[str, Compound]:
    return {row.id: row for row in COMPOUNDS.read(folder)}


def key(smiles: str) -> str:
    return str(Chem.MolToInchiKey(Chem.MolFromSmiles(smiles)))


def test_sdf(tmp_path: Path, drawn: Callable[[str], str]) -> None:
    def record(block: str, **tags: str) -> str:
        names = {"ID": "ChEBI ID", "NAME": "ChEBI NAME"}
        fields = "".join(f"> <{names.get(k, k)}>\n{v}\n\n" for k, v in tags.items())
        return f"{block}{fields}$$$$\n"

    salt = "InChI=1S/C2H6O.ClH/c1-2-3;/h3H,2H2,1H3;1H"
    records = [
        record(
            drawn("OCC"),
            ID="CHEBI:16236",
            NAME="ethan<small>ol</small>",
            STAR="3",
            DEFINITION=DEFINITION,
            SMILES="CCO",
            INCHIKEY=key("CCO"),
        ),
        # As the old files had it: no SMILES, the name among others, an InChI with a semicolon.
        record(
            drawn("CCO.Cl"),
            ID="CHEBI:2",
            IUPAC_NAME="ethanol hydrochloride;another",
            STAR="2",
            INCHI=salt,
        ),
        record(NO_ATOMS, ID="CHEBI:3", NAME="a class", STAR="3"),
        record(drawn("CN"), ID="CHEBI:4", NAME="hard", STAR="3", SMILES="not [a SMILES"),
        record(drawn("CN"), NAME="nameless"),
        record(drawn("*CC"), ID="CHEBI:5", NAME="a residue", STAR="3", SMILES="*CC"),
    ]
    file, out = tmp_path / "chebi.sdf.gz", tmp_path / "out"
    file.write_bytes(gzip.compress("".join(records).encode()))
    assert main(["collect", "chebi", "--sdf", str(file), "--out", str(out)]) == 0
    found = rows(out)
    assert list(found) == ["CHEBI2", "CHEBI4", "CHEBI5", "CHEBI16236"]
    ethanol = found["CHEBI16236"]
    assert ethanol.name == "ethanol"
    assert ethanol.description == "An ortho-fused H2O & more; p < 0.05."
    assert (ethanol.description_source, ethanol.licence[:9]) == ("ChEBI", "CC BY 4.0")
    assert ethanol.molfile == drawn("OCC")
    assert found["CHEBI2"].name == "ethanol hydrochloride"
    assert (found["CHEBI2"].smiles, found["CHEBI2"].inchikey) == ("CCO.Cl", key("CCO.Cl"))
    assert found["CHEBI4"].smiles == "CN"
    assert (found["CHEBI5"].smiles, found["CHEBI5"].inchikey) == ("*CC", None)
    drops = {reason: drop["examples"] for reason, drop in info(out)["drops"].items()}
    assert drops == {
        "no structure": ["CHEBI3"],
        "record without ChEBI ID": ["chebi.sdf.gz record 5"],
    }

    ids, some = tmp_path / "ids.txt", tmp_path / "some"
    ids.write_text("CHEBI:4\nCHEBI:77\nCHEBI:2\n")
    arguments = ["collect", "chebi", "--sdf", str(file), "--ids", str(ids), "--stars", "3"]
    assert main([*arguments, "--out", str(some)]) == 0
    assert list(rows(some)) == ["CHEBI4"]
    drops = {reason: drop["examples"] for reason, drop in info(some)["drops"].items()}
    assert drops == {
        "fewer than 3 stars": ["CHEBI2"],
        "in none of the files": ["CHEBI77"],
        "record without ChEBI ID": ["chebi.sdf.gz record 5"],
    }


def tsv(path: Path, *rows: list[str]) -> Path:
    text = io.StringIO(newline="")
    csv.writer(text, delimiter="\t", lineterminator="\n").writerows(rows)
    path.write_bytes(gzip.compress(text.getvalue().encode()))
    return path


def test_flat_files(
    tmp_path: Path, drawn: Callable[[str], str], capsys: pytest.CaptureFixture[str]
) -> None:
    compounds = tsv(
        tmp_path / "compounds.tsv.gz",
        ["stars", "definition", "name", "id", "parent_id"],
        ["3", DEFINITION, 'a "quoted" name', "10", ""],
        ["3", "", "a class", "11", ""],
        ["2", "", "two stars", "12", ""],
        ["3", "", "an old entry", "13", "10"],
    )
    structures = tsv(
        tmp_path / "structures.tsv.gz",
        ["id", "compound_id", "molfile", "smiles", "standard_inchi_key", "default_structure"],
        ["1", "10", drawn("CCO"), "CCO", key("CCO"), "true"],
        ["2", "10", drawn("CCC"), "CCC", key("CCC"), "false"],
        ["3", "12", drawn("CC"), "", "", "true"],
    )
    files = ["--compounds", str(compounds), "--structures", str(structures)]
    out = tmp_path / "out"
    assert main(["collect", "chebi", *files, "--stars", "3", "--out", str(out)]) == 0
    (row,) = rows(out).values()
    assert (row.id, row.smiles, row.molfile) == ("CHEBI10", "CCO", drawn("CCO"))
    assert row.name == 'a "quoted" name'
    assert {reason: drop["count"] for reason, drop in info(out)["drops"].items()} == {
        "no structure": 1,
        "fewer than 3 stars": 1,
        "merged into another entry": 1,
    }
    assert main(["collect", "chebi", *files, "--out", str(out)]) == 0
    assert rows(out)["CHEBI12"].smiles == "CC"
    assert main(["collect", "chebi", *files[:2], "--out", str(out)]) == 2
    assert "give --sdf FILE, or both" in capsys.readouterr().err


def test_web_service(
    chebi: Any, tmp_path: Path, drawn: Callable[[str], str], faults: list[str]
) -> None:
    def entry(id: int, smiles: str | None, **more: Any) -> dict[str, Any]:
        structure = smiles and {"smiles": smiles, "standard_inchi_key": key(smiles)}
        return {
            "chebi_accession": f"CHEBI:{id}",
            "name": f"<i>compound</i> {id}",
            "definition": DEFINITION,
            "stars": 3,
            "default_structure": structure,
            **more,
        }

    chebi.compounds = {n: entry(n, "C" * (n - 10)) for n in range(12, 16)}
    chebi.compounds[16] = entry(16, None)
    chebi.compounds[17] = entry(17, "CCCl", stars=2)
    chebi.molfiles = {n: drawn("C" * (n - 10)) for n in range(12, 15)}
    chebi.molfiles[14] = drawn("c1ccccc1")
    chebi.replaced = {1: 12, 2: 13}
    chebi.faults = [fault for fault in faults if fault not in ("waiting", "bare 403")]
    ids, out = tmp_path / "ids.csv", tmp_path / "out"
    lines = ["chebi_id", *(f"CHEBI:{n}" for n in (1, 12, 2, 14, 15, 16, 17, 99))]
    ids.write_text("\n".join(lines) + "\n")
    arguments = ["collect", "chebi", "--ids", str(ids), "--base-url", chebi.url, *FAST]
    arguments += ["--images", "--image-size", "200x100", "--stars", "3", "--out", str(out)]
    assert main(arguments) == 0
    found = rows(out)
    assert list(found) == ["CHEBI12", "CHEBI13", "CHEBI14", "CHEBI15"]
    assert found["CHEBI13"].name == "compound 13"
    assert found["CHEBI13"].molfile == drawn("CCC")
    assert found["CHEBI13"].image is None  # the builder reads no SVG
    assert b"<svg" in (out / "images/200x100/013/CHEBI13.svg").read_bytes()
    assert found["CHEBI14"].molfile is None  # it is benzene's
    assert {reason: drop["examples"] for reason, drop in info(out)["drops"].items()} == {
        "the same compound as another id of the list": ["CHEBI12"],
        "no structure": ["CHEBI16"],
        "fewer than 3 stars": ["CHEBI17"],
        "not found": ["CHEBI99"],
    }
    absent = info(out)["absent"]["molfile"]
    assert absent["the molfile is of another compound"]["examples"] == ["CHEBI14"]
    assert absent["not found (status 404)"]["examples"] == ["CHEBI15", "CHEBI17"]
    assert absent["no structure"]["examples"] == ["CHEBI16"]
    assert {id for kind, id in chebi.asked if kind == "molfile"} == {12, 13, 14, 15, 17}
    chebi.asked.clear()
    assert main(arguments) == 0
    assert chebi.asked == []
