"""``collect pubchem`` against a loopback service that fails in every known way, and from files."""

from __future__ import annotations

import gzip
import json
import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from rdkit import Chem

from data_preprocess.__main__ import main
from data_preprocess.catalogue.compounds import COMPOUNDS, Compound, read_file

ROOT = Path(__file__).resolve().parents[3]
# No waiting where the service does not ask for it.
FAST = ["--per-second", "100000", "--per-minute", "100000", "--backoff", "0.01", "--rest", "0.02"]


def command(service: Any, ids: Path, out: Path, *more: str) -> list[str]:
    base = ["collect", "pubchem", "--cids", str(ids), "--base-url", service.url]
    return [*base, "--out", str(out), *FAST, *more]


def info(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "collect_info.json").read_text()))


def rows(folder: Path) -> dict[str, Compound]:
    return {row.id: row for row in COMPOUNDS.read(folder)}


def images(folder: Path) -> list[bytes]:
    return [read_file(folder, row.image or "") for row in COMPOUNDS.read(folder)]


@pytest.fixture
def ids(tmp_path: Path, pubchem: Any) -> Path:
    """MoleculeSTM's form: 30 compounds, an unknown one, a double one and one that is no CID."""
    pubchem.compounds = {cid: "C" * (cid - 100) + "O" for cid in range(101, 131)}
    pubchem.descriptions = {
        cid: [(f"long text of {cid}, and more", "DrugBank"), (f"text of {cid}", "ChEBI")]
        for cid in range(101, 131, 3)
    }
    file = tmp_path / "CID2SMILES.csv"
    lines = [f"{n},{cid},C" for n, cid in enumerate([*pubchem.compounds, 999, 101])]
    file.write_text("\n".join([",CID,SMILES", *lines, "32,none,C"]) + "\n")
    return file


def test_every_fault_passes_and_nothing_is_asked_twice(
    pubchem: Any, ids: Path, tmp_path: Path, faults: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    out, plain = tmp_path / "out", tmp_path / "plain"
    pubchem.faults = faults
    assert main(command(pubchem, ids, out, "--molfiles")) == 0
    assert "30 rows of 31 compounds" in capsys.readouterr().out
    pubchem.faults = []
    assert main(command(pubchem, ids, plain, "--molfiles")) == 0
    assert list(COMPOUNDS.read(out)) == list(COMPOUNDS.read(plain))
    assert images(out) == images(plain)

    first, second = rows(out)["CID101"], rows(out)["CID102"]
    assert (first.smiles, first.name, first.inchikey) == (
        "CO",
        "title of 101",
        Chem.MolToInchiKey(Chem.MolFromSmiles("CO")),
    )
    assert (first.description, first.description_source) == ("text of 101", "ChEBI")
    assert "CC BY 4.0" in first.licence
    assert "CC BY" not in second.licence
    assert (second.description, second.name) == (None, "compound 102")
    assert first.image is not None
    assert first.molfile is not None
    assert read_file(out, first.image).startswith(b"\x89PNG")
    assert Chem.MolToSmiles(Chem.MolFromMolBlock(first.molfile)) == "CO"

    about = info(out)
    assert about["ids"] == {"file": "CID2SMILES.csv", "where": "column 'CID'"}
    assert {reason: drop["count"] for reason, drop in about["drops"].items()} == {
        "CID listed before": 1,
        "not a CID": 1,
        "not in the answer": 1,
    }
    assert about["drops"]["not a CID"]["examples"] == ["CID2SMILES.csv row 33: 'none'"]
    assert about["absent"]["description"]["not found (PUGREST.NotFound)"]["count"] == 20
    assert about["failed"] == {}
    assert all(agent.startswith("EyesMol/") for agent in pubchem.agents)

    pubchem.asked.clear()
    assert main(command(pubchem, ids, out, "--molfiles")) == 0
    assert pubchem.asked == []
    assert main(command(pubchem, ids, out, "--image-size", "large")) == 0
    assert {kind for kind, _ in pubchem.asked} == {"PNG"}


def test_kill_at_any_moment_loses_nothing_and_asks_nothing_twice(
    pubchem: Any, ids: Path, tmp_path: Path
) -> None:
    whole, out = tmp_path / "whole", tmp_path / "out"
    assert main(command(pubchem, ids, whole)) == 0
    for answers in (9, 40):
        known = answered(out)
        pubchem.asked.clear()
        pubchem.hold(after=answers)
        run = [sys.executable, "-m", "data_preprocess", *command(pubchem, ids, out)]
        process = subprocess.Popen(run, cwd=ROOT, stderr=subprocess.DEVNULL)
        assert pubchem.held.wait(60)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        pubchem.hold_after = None
        pubchem.release.set()
        assert not known & set(pubchem.asked)
        assert len(answered(out)) >= len(known) + answers - 8  # some were on the way
    known = answered(out)
    assert {kind for kind, _ in known} == {"property", "description", "PNG"}
    pubchem.asked.clear()
    pubchem.held.clear()
    assert main(command(pubchem, ids, out)) == 0
    assert pubchem.asked
    assert not known & set(pubchem.asked)
    assert list(COMPOUNDS.read(out)) == list(COMPOUNDS.read(whole))
    assert images(out) == images(whole)


def answered(folder: Path) -> set[tuple[str, int]]:
    """What the state holds, by the service's own words."""
    words = {"structure": "property", "description": "description", "picture 300x300": "PNG"}
    if not (folder / "state.sqlite").exists():
        return set()
    with sqlite3.connect(folder / "state.sqlite") as state:
        found = state.execute("SELECT kind, id FROM answers WHERE status < 2").fetchall()
    state.close()
    return {(words[kind], id) for kind, id in found}


def test_a_refused_compound_does_not_take_its_batch_along(
    pubchem: Any, ids: Path, tmp_path: Path
) -> None:
    pubchem.refused = {107}
    pubchem.old = True
    more = ["--no-images", "--descriptions", "none"]
    assert main(command(pubchem, ids, tmp_path / "out", *more)) == 0
    assert info(tmp_path / "out")["drops"]["refused (PUGREST.BadRequest)"] == {
        "count": 1,
        "examples": ["CID107"],
    }
    assert len(rows(tmp_path / "out")) == 29
    assert rows(tmp_path / "out")["CID110"].smiles == pubchem.compounds[110]


def test_descriptions_in_bulk(pubchem: Any, ids: Path, tmp_path: Path, faults: list[str]) -> None:
    pubchem.faults = faults
    more = ["--no-images", "--descriptions", "bulk"]
    assert main(command(pubchem, ids, tmp_path / "out", *more)) == 0
    found = {row.id: row for row in rows(tmp_path / "out").values() if row.description}
    assert set(found) == {f"CID{cid}" for cid in pubchem.descriptions}
    # Both licences are unknown to PUG View's table here, so the longer text is taken.
    assert found["CID104"].description == "long text of 104, and more"
    assert "https://DrugBank.example/licence" in found["CID104"].licence
    gaps = info(tmp_path / "out")["absent"]["description pages"]
    assert gaps["an annotation without a CID or a text"]["examples"] == ["1 on page 1"]
    pubchem.asked.clear()
    assert main(command(pubchem, ids, tmp_path / "out", *more)) == 0
    assert pubchem.asked == []


def test_a_service_that_is_down_ends_the_run_and_the_next_goes_on(
    pubchem: Any, ids: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    more = ["--attempts", "2", "--descriptions", "none"]
    assert main(command(pubchem, ids, out, *more, "--no-images")) == 0
    pubchem.close()
    assert main(command(pubchem, ids, out, *more)) == 5
    assert "does not answer (ConnectError" in capsys.readouterr().err
    assert len(answered(out)) == 31


def test_failed_questions_are_named_and_asked_again(
    pubchem: Any, ids: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    more = ["--no-images", "--attempts", "1"]
    assert main(command(pubchem, ids, out, "--no-images", "--descriptions", "none")) == 0
    pubchem.faults = ["", "", "", "busy 200"]
    assert main(command(pubchem, ids, out, *more)) == 1
    assert "no answer to description: PUGREST.ServerBusy" in capsys.readouterr().out
    failed = info(out)["failed"]["description: PUGREST.ServerBusy"]["count"]
    assert 0 < failed < 30
    pubchem.asked.clear()
    assert main(command(pubchem, ids, out, *more)) == 0
    assert len(pubchem.asked) == failed
    assert info(out)["failed"] == {}


# ---- files ----

NEW = {
    "PUBCHEM_COMPOUND_CID": "7",
    "PUBCHEM_SMILES": "C[C@H](O)F",
    "PUBCHEM_CONNECTIVITY_SMILES": "CC(O)F",
    "PUBCHEM_IUPAC_INCHIKEY": "KEY",
    "PUBCHEM_IUPAC_NAME": "1-fluoroethanol",
}
OLD = {
    "PUBCHEM_COMPOUND_CID": "8",
    "PUBCHEM_OPENEYE_CAN_SMILES": "CCN",
    "PUBCHEM_OPENEYE_ISO_SMILES": "CC[15NH2]",
}


def record(tags: dict[str, str], block: str) -> str:
    return block + "".join(f"> <{tag}>\n{value}\n\n" for tag, value in tags.items()) + "$$$$\n"


def test_sdf_files_old_and_new(
    tmp_path: Path, drawn: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    sdf, out = tmp_path / "Compound.sdf.gz", tmp_path / "out"
    empty = "\n  x\n\n  0  0  0  0  0  0  0  0  0  0999 V2000\nM  END\n"
    unreadable = {"PUBCHEM_COMPOUND_CID": "9", "PUBCHEM_SMILES": "C(C)(C)(C)(C)C"}
    text = "".join(
        [
            record(NEW, drawn("C[C@H](O)F")),
            record(OLD, drawn("CCN")),
            record(unreadable, drawn("CCO")),
            record({"PUBCHEM_COMPOUND_CID": "10"}, empty),
            record({"PUBCHEM_SMILES": "C"}, drawn("C")),
            record({**unreadable, "PUBCHEM_COMPOUND_CID": "11"}, empty),
        ]
    )
    sdf.write_bytes(gzip.compress(text.encode()))
    assert main(["collect", "pubchem", "--sdf", str(sdf), "--out", str(out)]) == 0
    found = rows(out)
    assert list(found) == ["CID7", "CID8", "CID9"]
    assert (found["CID7"].smiles, found["CID7"].inchikey) == ("C[C@H](O)F", "KEY")
    assert (found["CID8"].smiles, found["CID8"].name) == ("CC[15NH2]", None)
    assert found["CID9"].smiles == "CCO"  # of the molfile, since RDKit cannot read the other
    assert found["CID8"].inchikey == Chem.MolToInchiKey(Chem.MolFromSmiles("CC[15NH2]"))
    drops = {reason: drop["examples"] for reason, drop in info(out)["drops"].items()}
    assert drops == {
        "no structure": ["CID10"],
        "record without PUBCHEM_COMPOUND_CID": ["Compound.sdf.gz record 5"],
        "RDKit cannot read its SMILES": ["CID11"],
    }

    chosen, some = tmp_path / "list.txt", tmp_path / "some"
    chosen.write_text("CID8\n12\n7\n")
    arguments = ["collect", "pubchem", "--sdf", str(sdf), "--cids", str(chosen)]
    assert main([*arguments, "--out", str(some)]) == 0
    assert list(rows(some)) == ["CID8", "CID7"]
    assert info(some)["drops"]["in none of the files"]["examples"] == ["CID12"]


def test_cid_smiles_file_and_a_source_of_another_kind(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, out = tmp_path / "CID-SMILES.gz", tmp_path / "out"
    file.write_bytes(gzip.compress(b"1\tCC\n2\tCCO\nbroken\n3\tnothing like SMILES\n"))
    arguments = ["--cid-smiles", str(file), "--out", str(out)]
    assert main(["collect", "pubchem", *arguments]) == 0
    assert [row.smiles for row in rows(out).values()] == ["CC", "CCO"]
    assert info(out)["drops"]["line without a CID, a tab and a SMILES"]["count"] == 1
    assert main(["collect", "chebi", "--sdf", str(file), "--out", str(out)]) == 2
    assert "holds a collection of pubchem" in capsys.readouterr().err


def test_a_catalogue_holds_what_its_own_files_say(tmp_path: Path) -> None:
    out = tmp_path / "out"
    for number, smiles in enumerate(["CC", "CCO"]):
        file = tmp_path / f"{number}.gz"
        file.write_bytes(gzip.compress(f"{number + 1}\t{smiles}\n".encode()))
        assert main(["collect", "pubchem", "--cid-smiles", str(file), "--out", str(out)]) == 0
        assert [row.smiles for row in rows(out).values()] == [smiles]


def test_reading_goes_on_in_the_middle_of_a_file(tmp_path: Path) -> None:
    from data_preprocess.collect.state import Absent, State

    read: list[int] = []

    def stopped_at(last: int) -> Any:
        for number in range(1, 5_001):
            if number == last:
                raise KeyboardInterrupt
            read.append(number)
            yield Absent("odd") if number % 2 else (number, {"n": number})

    with State(tmp_path, "pubchem") as state, pytest.raises(KeyboardInterrupt):
        state.read_once("file", "sdf", stopped_at(4_500))
    with State(tmp_path, "pubchem") as state:
        assert state.read_once("file", "sdf", stopped_at(0)) == 5_000
        state.want_all(["sdf"])
        assert [id for id, _ in state.rows(["sdf"])] == list(range(2, 5_001, 2))
        assert [count["count"] for _, count in state.rejects("file", "").items()] == [2_500]
        read.clear()
        state.read_once("file", "sdf", stopped_at(0))
        assert not read


def test_two_commands_do_not_share_a_folder(
    pubchem: Any, ids: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from data_preprocess.collect.state import State

    with State(tmp_path / "out", "pubchem"):
        assert main(command(pubchem, ids, tmp_path / "out")) == 2
    assert "another process collects into this folder" in capsys.readouterr().err
    assert pubchem.asked == []
