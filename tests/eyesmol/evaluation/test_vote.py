"""Several readers, one answer: votes counted by hand, and probabilities learnt from a truth."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from eyesmol.chem.molfile import graph_to_molblock
from eyesmol.chem.smiles import graph_from_smiles
from eyesmol.cli.main import main
from eyesmol.evaluation.gold import Gold, GoldSet, ScoreError
from eyesmol.evaluation.vote import Trust, ballots, learn, voted
from eyesmol.recognition import Molecule, Recognition

NAMES = ("a", "b", "c")


def reads(*smiles: str | None) -> list[Recognition]:
    return [Recognition(f"{n}.png", molecule=Molecule(s)) for n, s in enumerate(smiles)]


def test_most_votes_win_and_of_equally_many_the_better_readers() -> None:
    found = ballots([reads("CCO", "C"), reads("OCC", "N"), reads("CCN", None)], NAMES)
    first, second = (voted(ballot, (0, 1, 2), NAMES) for ballot in found)
    assert (first.smiles, first.confidence, first.alternatives) == ("CCO", 0.6667, ("CCN",))
    assert first.molecule.why == "2 of 3 readers agree: a, b"
    assert (second.smiles, second.confidence) == ("C", 0.3333)
    assert voted(found[1], (1, 0, 2)).smiles == "N", "the second reader is the better one"
    # Stereo counts: these are three answers.
    [split] = ballots([reads("C[C@H](N)O"), reads("C[C@@H](N)O"), reads("CC(N)O")], NAMES)
    assert len(split.answers) == 3


def test_names_of_one_image_may_differ_in_folder_and_ending() -> None:
    ours = [Recognition("x/1.png", molecule=Molecule("CCO"))]
    osra = [Recognition("1", molecule=Molecule("OCC")), Recognition("2", molecule=Molecule("C"))]
    found = ballots([ours, osra], ("ours", "osra"))
    assert [ballot.image for ballot in found] == ["x/1.png", "2"]
    assert found[0].answers == {"CCO": (0, 1)}
    with pytest.raises(ScoreError, match="no image in common"):
        ballots([ours, [Recognition("y.png")]], ("ours", "other"))
    with pytest.raises(ScoreError, match=r"osra: found .*1.* twice"):
        ballots([ours, [*osra, osra[0]]], ("ours", "osra"))


def test_silence_and_withheld_guesses() -> None:
    withheld = Recognition("0.png", withheld_smiles="CCO", reason="not sure")
    failed = Recognition("0.png", error="0.png: cannot be read")
    [ballot] = ballots([[withheld], reads("CCO"), [failed]], NAMES)
    answer = voted(ballot, (0, 1, 2), NAMES)
    assert (answer.smiles, answer.reason, answer.error) == ("CCO", None, None)
    assert answer.molecule.why == "2 of 3 readers agree: a, b"
    [silent] = ballots([[failed], reads(None), reads("no SMILES")], NAMES)
    none = voted(silent, (0, 1, 2), NAMES)
    assert (none.smiles, none.error) == (None, None)
    assert none.reason == "no molecule: none of 3 readers gives one"


def test_the_answer_keeps_the_drawing_of_a_reader_that_has_one() -> None:
    graph = graph_from_smiles("CCO").transformed(20, 60, 60, flip=True)
    seen = Recognition.from_graph("0.png", graph, size=(120, 120))
    [ballot] = ballots([reads("OCC"), [seen]], ("osra", "ours"))
    answer = voted(ballot, (0, 1), ("osra", "ours"))
    assert answer.graph == graph
    assert answer.molecule.molblock == seen.molecule.molblock


def _pool(count: int = 400) -> tuple[GoldSet, list[list[Recognition]]]:
    """Readers right in 90, 70 and 70 %; the last makes the mistakes of the one before."""
    draw = random.Random(0)
    golds, pool = [], [[], [], []]  # type: ignore[var-annotated]
    for n in range(count):
        golds.append(Gold(f"{n}.png", "C" * (n + 1)))
        good, fair = draw.random() < 0.9, draw.random() < 0.7
        for reader, is_right in enumerate((good, fair, fair)):
            wrong = "N" if reader else "O"
            smiles = ("C" if is_right else wrong) + "C" * n
            pool[reader].append(Recognition(f"{n}.png", molecule=Molecule(smiles)))
    return GoldSet("gold", tuple(golds)), pool


def test_two_readers_that_make_the_same_mistakes_do_not_count_twice() -> None:
    """Where both stand against the better reader, they are the majority, and seldom right."""
    gold, pool = _pool()
    learnt = learn(ballots(pool, NAMES), NAMES, gold)
    trust = learnt.trust
    assert trust.order[0] == 0
    groups: dict[int, list[tuple[float, bool]]] = {}
    for ballot, right in learnt.rows:
        answer = ballot.ranked(trust.order)[0]
        sure = learnt.honest[ballot.image]
        assert sure == pytest.approx(trust.probability(ballot, answer), abs=0.05)
        groups.setdefault(len(ballot.answers[answer]), []).append((sure, right))
    shares = {count: sum(right for _, right in rows) / len(rows) for count, rows in groups.items()}
    assert shares[3] > 0.9
    assert shares[2] < 0.5
    for count, rows in groups.items():
        mean = sum(sure for sure, _ in rows) / len(rows)
        assert mean == pytest.approx(shares[count], abs=0.03), f"{count} agree"


def test_too_few_images_to_learn_from() -> None:
    gold, pool = _pool(29)
    with pytest.raises(ScoreError, match="29 images with a truth and an answer; expected at least"):
        learn(ballots(pool, NAMES), NAMES, gold)


# ---- the command ----


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    """Four readers' files as they write them, and a truth."""
    gold, pool = _pool(60)
    lines = ["image,smiles", *(f"{row.image},{row.smiles}" for row in gold.rows)]
    (tmp_path / "gold.csv").write_text("\n".join(lines))
    ours = "\n".join(json.dumps(r.to_dict()) for r in pool[0])
    (tmp_path / "ours.jsonl").write_text(ours)
    (tmp_path / "osra").mkdir()
    for read in pool[1]:
        (tmp_path / "osra" / f"{Path(read.image).stem}.txt").write_text(f"{read.smiles} 2.5\n")
    scribe = [f"{Path(r.image).stem},[X]C,{r.smiles},0.9" for r in pool[2]]
    table = "\n".join(["image_id,SMILES,post_SMILES,score", *scribe])
    (tmp_path / "molscribe.csv").write_text(table)
    (tmp_path / "molvec").mkdir()
    for read in pool[0][:20]:
        block = graph_to_molblock(graph_from_smiles(read.smiles or ""))
        (tmp_path / "molvec" / f"{read.image}.mol").write_text(block)
    return {name: str(tmp_path / name) for name in
            ("gold.csv", "ours.jsonl", "osra", "molscribe.csv", "molvec")}  # fmt: skip


def test_command_votes_over_files_of_other_tools(
    files: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gold, *readers = files.values()
    out, kept = tmp_path / "voted.jsonl", tmp_path / "vote.json"
    command = ["vote", *readers, "--learn", gold, "--save-calibration", str(kept)]
    assert main([*command, "--out", str(out)]) == 0
    said = capsys.readouterr().err
    assert "60 images, 4 readers" in said
    assert "with a truth" in said
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert len(rows) == 60
    assert {row["readers"] for row in rows} == {4}
    assert all(row["agreed"] == len(row["votes"][row["smiles"]]) for row in rows)
    assert all(0 < row["confidence"] < 1 for row in rows)
    assert Trust.read(kept).readers == ("ours", "osra", "molscribe", "molvec")
    # What was learnt is used again, and the result is scored like any other.
    again = tmp_path / "again.csv"
    assert main(["vote", *readers, "--calibration", str(kept), "--out", str(again)]) == 0
    assert main(["evaluate", gold, str(out), str(again)]) == 0
    assert "again" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["ours.jsonl", "--out", "x.jsonl"], "at least two readers"),
        (["ours.jsonl", "osra"], "give --out FILE, or --learn GOLD"),
        (["ours.jsonl", "osra", "--out", "x.jsonl", "--save-calibration", "v.json"], "--learn"),
        (["ours.jsonl", "osra", "--out", "x.jsonl", "--calibration", "gold.csv"], "gold.csv: cann"),
        (["ours.jsonl", "osra", "--out", "x.jsonl", "--name", "one"], "1 times --name"),
        (["ours.jsonl", "osra", "--out", "ours.jsonl"], "is there already; --overwrite"),
    ],
)
def test_what_does_not_go_together_is_said(
    files: dict[str, str],
    arguments: list[str],
    complaint: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    paths = [files.get(a, str(tmp_path / a) if "." in a else a) for a in arguments]
    assert main(["vote", *paths]) == 2
    assert complaint in capsys.readouterr().err
