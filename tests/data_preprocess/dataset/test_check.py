"""check: a good dataset passes, and each thing that can be wrong is found and named."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

import data_preprocess.dataset.check as checker
import data_preprocess.dataset.json_stream as lists
from data_preprocess.__main__ import main
from data_preprocess.build.build import Settings, build
from data_preprocess.dataset.check import Report, check
from data_preprocess.dataset.json_stream import json_objects, read_list
from data_preprocess.dataset.lengths import TokenCounter
from data_preprocess.sources.files import SmilesList
from eyesmol.exceptions import InputError
from eyesmol.image.pixel_frame import PixelFrame

Row = dict[str, Any]
ROWS = 15  # of the dataset below


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("built") / "cot"
    frame = PixelFrame(min_pixels=28 * 28)
    settings = Settings("cot", size=(112, 112), frame=frame, valid=0.2, test=0.2)
    build(SmilesList("small", max_atoms=2), folder, settings, progress=False)
    return folder


@pytest.fixture
def dataset(built: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(built, tmp_path / "cot"))


def looked_at(dataset: Path, **options: Any) -> Report:
    return check(dataset, progress=False, **options)


def kinds(report: Report) -> dict[str, int]:
    return {finding.kind: finding.count for finding in report.findings}


def test_what_the_builder_makes_is_right(dataset: Path) -> None:
    report = looked_at(dataset)
    assert report.findings == report.skipped == ()
    assert sum(report.rows.values()) == ROWS
    assert sum(report.lengths.total.values()) == ROWS
    assert main(["check", str(dataset), "--workers", "1"]) == 0


def test_a_task_that_is_answered_without_its_image_is_an_error(tmp_path: Path) -> None:
    def row(number: int, task: str, answer: str) -> Row:
        turns = [{"from": "human", "value": "How many?"}, {"from": "gpt", "value": answer}]
        return {"id": f"{task}-{number}", "task": task, "conversations": turns}

    rows = [row(number, "fair", str(number % 7)) for number in range(200)]
    rows += [row(number, "guessed", str(number % 7 % 3 % 2)) for number in range(200)]
    (tmp_path / "train.json").write_text(json.dumps(rows))
    report = looked_at(tmp_path, workers=1)
    found = {f.kind: f.examples for f in report.findings if f.is_error}
    (example,) = found["task is answered without its image"]
    assert example.startswith("guessed: ")
    assert "50.0% by chance" in example
    assert [task.task for task in report.solved] == ["guessed", "fair"]


def rows_of(dataset: Path, split: str = "train") -> list[Row]:
    rows: list[Row] = json.loads((dataset / f"{split}.json").read_text("utf-8"))
    return rows


def rewrite(dataset: Path, rows: Any, split: str = "train") -> None:
    (dataset / f"{split}.json").write_text(json.dumps(rows, indent=1), "utf-8")


def answered(row: Row, change: Callable[[str], str]) -> None:
    row["conversations"][1]["value"] = change(row["conversations"][1]["value"])


def with_atom_outside(text: str) -> str:
    return f"900 {text.split(' ', 1)[1]}"


# What is done to the third row, and what must be found.
ROW_FAULTS: dict[str, Callable[[Row], object]] = {
    "no id": lambda row: row.pop("id"),
    "no conversations": lambda row: row.update(conversations=[]),
    "odd number of turns": lambda row: row["conversations"].pop(),
    "turns do not alternate human, gpt": lambda row: row["conversations"].reverse(),
    "empty turn": lambda row: row["conversations"][1].update(value=" "),
    "text is not Unicode": lambda row: answered(row, lambda text: text + "\ud800"),
    "images and <image> marks differ": lambda row: row.pop("image"),
    "<image> in an answer": lambda row: answered(row, lambda text: text + "<image>"),
    "image is no path": lambda row: row.update(image=7),
    "image is missing": lambda row: row.update(image="images/none.png"),
    "image outside the dataset's folder": lambda row: row.update(image="../a.png"),
    "answer does not read back": lambda row: answered(row, lambda text: text.split("smiles")[0]),
    "atom outside the image": lambda row: answered(row, with_atom_outside),
    "graph is another molecule than the SMILES": lambda row: answered(
        row, lambda text: text.split("smiles")[0] + "smiles CCCCC"
    ),
    "SMILES that RDKit cannot read": lambda row: answered(
        row, lambda text: text.split("smiles")[0] + "smiles C(C"
    ),
    "SMILES not in canonical form": lambda row: answered(
        row, lambda text: text.split("smiles")[0] + "smiles [CH3]CC(C)=O"
    ),
}


@pytest.mark.parametrize("kind", ROW_FAULTS)
def test_a_fault_of_a_row_is_found_where_it_is(kind: str, dataset: Path) -> None:
    rows = rows_of(dataset)
    ROW_FAULTS[kind](rows[2])
    rewrite(dataset, rows)
    (finding,) = [found for found in looked_at(dataset).findings if found.kind == kind]
    assert finding.count == (2 if kind.startswith("turns do not") else 1)
    assert all(example.startswith("train row 3: ") for example in finding.examples)


def test_the_table_and_the_exit_status(dataset: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = rows_of(dataset)
    rows[1]["id"] = rows[0]["id"]
    rewrite(dataset, rows)
    assert main(["check", str(dataset), "--workers", "1"]) == 0
    said = capsys.readouterr().out
    assert f"        1  warning id stands twice\n{'':21}train row 2: " in said
    assert "0 errors, 1 warnings" in said
    rewrite(dataset, rows[1:])
    assert main(["check", str(dataset), "--workers", "1"]) == 1
    said = capsys.readouterr().out
    assert "        2  error   count differs from dataset_info.json\n" in said
    assert f"splits.train: stated {len(rows)}, counted {len(rows) - 1}" in said


def test_faults_of_pictures(dataset: Path) -> None:
    rows = rows_of(dataset)
    paths = [dataset / rows[number]["image"] for number in range(3)]
    paths[0].write_bytes(paths[0].read_bytes()[:90])
    Image.new("L", (100, 112), 255).save(paths[1])
    found = kinds(looked_at(dataset))
    assert found["image cannot be read"] == 1
    assert found["image size off the pixel frame"] == 1


def test_leaks_and_duplicates(dataset: Path) -> None:
    train, test = rows_of(dataset), rows_of(dataset, "test")
    (dataset / "images" / "copy.png").write_bytes((dataset / train[0]["image"]).read_bytes())
    leak = {**train[0], "id": "leak", "image": "images/copy.png"}
    rewrite(dataset, [*test, leak], "test")
    twin = {**train[1], "image": "images/twin.png"}
    (dataset / "images" / "twin.png").write_bytes((dataset / train[1]["image"]).read_bytes())
    rewrite(dataset, [*train, train[3], twin])
    report = looked_at(dataset)
    assert kinds(report) == {
        "image stands in two splits": 1,
        "molecule stands in two splits": 1,
        "count differs from dataset_info.json": 3,  # two splits and a task
        "id stands twice": 2,
        "image stands twice under two names": 1,
        "row stands twice": 1,
    }
    examples = {finding.kind: finding.examples for finding in report.findings}
    (leaked,) = examples["image stands in two splits"]
    assert leaked == (
        f"test row {len(test) + 1}: images/copy.png as in train row 1 ({train[0]['image']})"
    )
    assert examples["molecule stands in two splits"][0].endswith("as in train row 1")
    assert f"splits.test: stated {len(test)}, counted {len(test) + 1}" in str(examples)


def test_several_processes_find_the_same(dataset: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checker, "_PART", 5)
    rows = rows_of(dataset) * 3
    for number in range(0, len(rows), 4):
        rows[number] = {**rows[number], "id": ""}
    rewrite(dataset, rows)
    one = looked_at(dataset)
    assert kinds(one)["no id"] > 5
    assert one == looked_at(dataset, workers=2)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "expected a JSON list"),
        (b'{"id": 1}', "begins with '{'"),
        (b'[{"id": 1},]', "row 2 is not JSON"),
        (b'[{"id": 1} {"id": 2}]', "behind row 1"),
        (b'[{"id": 1}', "the end"),
        (b"[] x", "behind the end"),
        (b'["\xff"]', "not UTF-8"),
        (b'["a', "row 1 is not JSON"),
    ],
)
def test_a_broken_list_is_one_finding(content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "list.json").write_bytes(content)
    found = [f for f in looked_at(tmp_path / "list.json").findings if "list cannot" in f.kind]
    assert [f.count for f in found] == [1]
    assert message in found[0].examples[0]


def test_lists_of_others(tmp_path: Path) -> None:
    """Text alone, several images, several turns: all legal; no dataset_info.json: said so."""
    for name, size in (("a.png", (50, 40)), ("b.jpg", (64, 64))):
        Image.new("RGB", size, "white" if name == "a.png" else "red").save(tmp_path / name)
    rows = [
        {"id": "1", "conversations": [say("human", "Hello?"), say("gpt", "Hello!")]},
        {
            "id": "2",
            "image": ["a.png", "b.jpg"],
            "conversations": [
                say("human", "<image> and <image>: which is red?"),
                say("gpt", "The second."),
                say("human", "Sure?"),
                say("gpt", "Yes."),
            ],
        },
    ]
    (tmp_path / "any.json").write_text(json.dumps(rows), "utf-8")
    for where in (tmp_path, tmp_path / "any.json"):
        report = looked_at(where)
        assert report.findings == ()
        assert "no dataset_info.json" in report.skipped[0]
    assert kinds(looked_at(tmp_path, max_tokens=100)) == {"row is too long": 1}
    (tmp_path / "any.json").write_text("[]")
    assert kinds(looked_at(tmp_path)) == {"list is empty": 1}


def say(speaker: str, value: str) -> dict[str, str]:
    return {"from": speaker, "value": value}


@pytest.mark.parametrize("name", ["nothing", "empty"])
def test_nothing_to_check_is_an_error(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    assert main(["check", str(tmp_path / name)]) == 2
    assert "expected a dataset folder" in capsys.readouterr().err


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(), inner, max_size=2),
    max_leaves=4,
)


@example([0.5, 12, {"a": 1e9}], None, 1)
@settings(max_examples=60)
@given(st.lists(JSON, max_size=4), st.sampled_from([None, 1]), st.integers(1, 9))
def test_a_list_reads_the_same_through_a_small_window(
    tmp_path_factory: pytest.TempPathFactory, value: list[Any], indent: int | None, chunk: int
) -> None:
    path = tmp_path_factory.mktemp("lists") / "list.json"
    path.write_text(json.dumps(value, indent=indent), "utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lists, "_CHUNK", chunk)
        assert list(read_list(path)) == value


def test_a_real_tokenizer_counts(dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="folder without a tokenizer"):
        looked_at(dataset, model=str(dataset))
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = Tokenizer(models.WordLevel({"[UNK]": 0}, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    PreTrainedTokenizerFast(tokenizer_object=words, unk_token="[UNK]").save_pretrained(tmp_path)
    counter = TokenCounter(str(tmp_path))
    assert counter.text("one two  three\nfour") == 4
    report = looked_at(dataset, model=str(tmp_path))
    answers = [row["conversations"][1]["value"] for row in rows_of(dataset)]
    assert max(report.lengths.answer) >= max(len(answer.split()) for answer in answers)
    assert report.lengths.image == {4 * 4 + 2: ROWS}


def test_json_lines_and_a_list_that_is_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    path.write_text('\ufeff{"id": "a"}\n{"id": "b"}{"id": "c"}\n', "utf-8")
    assert [row["id"] for row in json_objects(path)] == ["a", "b", "c"]
    path.write_text('[{"id": "a"}')
    with pytest.raises(InputError, match="'the end' behind row 1"):
        list(json_objects(path))
