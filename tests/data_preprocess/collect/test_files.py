"""Files of the sources: SDF and tables in a stream, every fault with its place."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_preprocess.collect import files
from data_preprocess.collect.files import sdf_records, table_rows, text_lines
from eyesmol.exceptions import InputError

BLOCK = "\n  x\n\n  1  0  0  0  0  0  0  0  0  0999 V2000\n    0.0       0.0       0.0 C\nM  END\n"
_line = st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"]), min_size=1).filter(
    lambda line: line.strip() and not line.startswith((">", "$$$$"))
)


@given(st.lists(st.dictionaries(st.sampled_from(["A", "B C", "Definition"]), _line)), st.booleans())
def test_records_come_back(
    tmp_path_factory: pytest.TempPathFactory, tags: list[dict[str, str]], packed: bool
) -> None:
    file = tmp_path_factory.mktemp("sdf") / "a.sdf"
    text = "".join(
        BLOCK + "".join(f">  <{tag}> (1)\n{value}\n\n" for tag, value in one.items()) + "$$$$\n"
        for one in tags
    ).encode()
    file.write_bytes(gzip.compress(text) if packed else text)
    steps: list[int] = []
    found = list(sdf_records(file, progress=steps.append))
    assert [record.tags for record in found] == [
        {tag.upper().replace(" ", "_"): value for tag, value in one.items()} for one in tags
    ]
    assert all(record.molblock == BLOCK and record.atoms for record in found)
    assert sum(steps) == file.stat().st_size


def test_values_of_several_lines_and_windows_line_ends(tmp_path: Path) -> None:
    file = tmp_path / "a.sdf"
    text = f"{BLOCK}> <NOTE>\none\n\ntwo; three\n\n> <EMPTY>\n\n$$$$\n\n"
    file.write_bytes(text.replace("\n", "\r\n").encode())
    (record,) = sdf_records(file)
    assert record.tags == {"NOTE": "one\n\ntwo; three", "EMPTY": ""}
    assert record.molblock == BLOCK


def test_faulty_sdf_files_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "a.sdf.gz"
    with pytest.raises(InputError, match="no such file"):
        list(sdf_records(file))
    whole = f"{BLOCK}> <A>\nb\n\n$$$$\n".encode()
    file.write_bytes(gzip.compress(whole * 5_000)[:-20])
    records = sdf_records(file)
    assert next(records).tags == {"A": "b"}
    with pytest.raises(InputError, match=r"a\.sdf\.gz, after line \d+: .*download it again"):
        list(records)
    file.write_bytes(whole + BLOCK.encode())
    with pytest.raises(InputError, match=r"record 2: the file ends without \$\$\$\$"):
        list(sdf_records(file))
    file.write_bytes(whole * 2 + whole.replace(b"b", b"\xe9"))
    with pytest.raises(InputError, match="record 3: not UTF-8"):
        list(sdf_records(file))
    monkeypatch.setattr(files, "_LONGEST_RECORD", 1_000)
    file.write_bytes(b">protein\nMKV\n" * 1_000)
    with pytest.raises(InputError, match="not an SDF"):
        list(sdf_records(file))


_value = st.text(st.characters(exclude_categories=["Cs", "Cc"])) | st.just('two\nlines, "quoted"')


@given(st.lists(st.tuples(_value, _value)))
def test_rows_of_a_table_come_back(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]]
) -> None:
    import csv
    import io

    text = io.StringIO(newline="")
    csv.writer(text, delimiter="\t", lineterminator="\n").writerows([("ID", "Molfile"), *rows])
    file = tmp_path_factory.mktemp("tsv") / "a.tsv.gz"
    file.write_bytes(gzip.compress(text.getvalue().encode()))
    assert list(table_rows(file, ["id"])) == [{"id": a, "molfile": b} for a, b in rows]


def test_faulty_tables_are_named(tmp_path: Path) -> None:
    file = tmp_path / "a.tsv"
    file.write_text("id\tname\n1\ta\n2\tb\textra\n")
    with pytest.raises(InputError, match="found the columns id, name; expected smiles too"):
        list(table_rows(file, ["id", "smiles"]))
    with pytest.raises(InputError, match=r"a\.tsv, row 2 \(line 3\): found 3 values, expected 2"):
        list(table_rows(file, ["id"]))
    with pytest.raises(InputError, match="is a folder"):
        list(text_lines(tmp_path))
