"""Tables: rows with their line numbers, columns by any name, files that are no table."""

from __future__ import annotations

from pathlib import Path

import pytest

from eyesmol.evaluation.tables import (
    IMAGE_COLUMNS,
    expected_columns,
    first_of,
    plain_names,
    table_rows,
)
from eyesmol.outputs import OutputError


def test_rows_of_a_tsv_come_with_the_lines_where_they_end(tmp_path: Path) -> None:
    file = tmp_path / "a.TSV"
    file.write_text('\ufeffimage\tsmiles\na.png\tCC\n"b\nc.png"\tC,O\n', "utf-8")
    assert list(table_rows(file)) == [
        (2, {"image": "a.png", "smiles": "CC"}),
        (4, {"image": "b\nc.png", "smiles": "C,O"}),
    ]


def test_the_same_rows_come_from_csv_and_json_lines(tmp_path: Path) -> None:
    texts = {
        "a.csv": "image,smiles\na.png,CC\n",
        "a.tsv": "image\tsmiles\na.png\tCC\n",
        "a.jsonl": '{"image": "a.png", "smiles": "CC"}\n',
    }
    for name, text in texts.items():
        (tmp_path / name).write_text(text, "utf-8")
        assert [row for _, row in table_rows(tmp_path / name)] == [
            {"image": "a.png", "smiles": "CC"}
        ]


@pytest.mark.parametrize("content", [None, b"image\tsmiles\n\xff\xfe\tC\n"])
def test_a_tsv_that_cannot_be_read_is_named(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "broken.tsv"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(OutputError, match=r"broken\.tsv: cannot be read"):
        list(table_rows(file))


def test_columns_are_found_by_any_of_their_names_and_empty_ones_are_passed_over() -> None:
    row = plain_names({" File ": "a.png", "IMAGE": "", "Path": None})
    assert first_of(row, IMAGE_COLUMNS) == "a.png"
    assert first_of({"file": 0}, IMAGE_COLUMNS) == 0
    assert first_of({"smiles": "C"}, IMAGE_COLUMNS) is None


def test_what_a_table_lacks_is_said_with_what_it_has() -> None:
    assert expected_columns("a.csv", ["x", "y"], ["image", "id"]) == (
        "a.csv: found the columns x, y; expected one of image, id"
    )
    assert "found the columns none" in expected_columns("a.csv", [], ["image"])
