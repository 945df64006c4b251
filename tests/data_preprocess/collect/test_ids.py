"""Lists of ids: which column, which rows, and what is said of the others."""

from __future__ import annotations

import gzip
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_preprocess.collect.ids import CHEBI, PUBCHEM, read_ids
from eyesmol.exceptions import InputError

_number = st.integers(1, 999_999_999)


@given(_number, st.sampled_from(["{}", " {} ", "CID{}", "cid:{}", "CID {}", "{}.0", "00{}"]))
def test_forms_of_a_cid(number: int, form: str) -> None:
    text = form.format(number)
    assert PUBCHEM.parse(text) == number
    assert CHEBI.parse(text) == (None if "c" in text.lower() else number)
    assert CHEBI.parse(f"CHEBI:{number}") == CHEBI.parse(f"CHEBI_{number}") == number


@given(st.text() | st.floats() | st.none() | st.integers(max_value=0))
def test_anything_else_is_none_and_no_error(value: object) -> None:
    found = PUBCHEM.parse(value)
    assert found is None or (found > 0 and str(found) in str(value))


@given(
    st.lists(_number | st.sampled_from(["", "none", "-5", "1e5", "2.5", "CHEBI:7"]), min_size=1),
    st.permutations(["CID", "SMILES", ""]),
)
def test_every_row_of_a_table_is_an_id_or_counted(
    tmp_path_factory: pytest.TempPathFactory, values: list[object], header: list[str]
) -> None:
    values = [5, *values]
    file = tmp_path_factory.mktemp("ids") / "list.csv"
    rows = [",".join(str(v) if name == "CID" else "x" for name in header) for v in values]
    file.write_text("\n".join([",".join(header), *rows]) + "\n")
    found = read_ids(file, PUBCHEM)
    numbers = [value for value in values if isinstance(value, int)]
    assert found.ids == list(dict.fromkeys(numbers))
    assert found.where == "column 'CID'"
    counts = {reason: count["count"] for reason, count in found.drops.items()}
    assert counts.get("CID listed before", 0) == len(numbers) - len(set(numbers))
    assert counts.get("not a CID", 0) == len(values) - len(numbers)


def test_other_files_and_columns(tmp_path: Path) -> None:
    table = pa.table({"name": ["a", "b", "c"], "PubChem_CID": [7.0, None, 9.0], "id": [1, 2, 3]})
    pq.write_table(table, tmp_path / "ids.parquet")
    found = read_ids(tmp_path / "ids.parquet", PUBCHEM)
    assert (found.ids, found.where) == ([7, 9], "column 'PubChem_CID'")
    assert dict(found.drops.items())["not a CID"]["examples"] == ["ids.parquet row 2: 'None'"]
    assert read_ids(tmp_path / "ids.parquet", PUBCHEM, "id").ids == [1, 2, 3]
    (tmp_path / "ids.tsv.gz").write_bytes(gzip.compress(b"chebi_accession\tx\nCHEBI:15377\ty\n"))
    assert read_ids(tmp_path / "ids.tsv.gz", CHEBI).ids == [15377]
    (tmp_path / "ids.txt").write_bytes(b"\xef\xbb\xbf2244\r\n\r\nCID3672\r\n")
    assert read_ids(tmp_path / "ids.txt", PUBCHEM).ids == [2244, 3672]


def test_faulty_lists_are_named(tmp_path: Path) -> None:
    file = tmp_path / "list.csv"
    with pytest.raises(InputError, match=r"list\.csv: no such file"):
        read_ids(file, PUBCHEM)
    file.write_text("name,SMILES\na,C\n")
    with pytest.raises(InputError, match=r"found the columns 'name', 'SMILES'; expected .*cid"):
        read_ids(file, PUBCHEM)
    with pytest.raises(InputError, match="expected one called Number"):
        read_ids(file, PUBCHEM, "Number")
    file.write_text("cid\nnone\n")
    with pytest.raises(InputError, match=r"found no CID in column 'cid' \(list\.csv row 1: 'none'"):
        read_ids(file, PUBCHEM)
    file.write_bytes(b"cid\n1\n\xff\n")
    with pytest.raises(InputError, match=r"list\.csv, line 3: not UTF-8"):
        read_ids(file, PUBCHEM)
    (tmp_path / "ids.parquet").write_bytes(b"PAR1 cut")
    with pytest.raises(InputError, match="not a whole Parquet file"):
        read_ids(tmp_path / "ids.parquet", PUBCHEM)
