"""Folders of charts: what goes in comes out, in a stream, and faulty files are named."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_preprocess.catalogue.charts import CHARTS, Chart
from eyesmol.exceptions import InputError

_word = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)
_charts = st.builds(
    lambda name, turns: Chart(
        name, "test", "CC0-1.0", "images/a.png", *(tuple(side) for side in zip(*turns, strict=True))
    ),
    _word,
    st.lists(st.tuples(_word, _word), min_size=1),
)


@given(st.lists(_charts, max_size=5))
def test_rows_come_back_in_order(
    tmp_path_factory: pytest.TempPathFactory, rows: list[Chart]
) -> None:
    folder = tmp_path_factory.mktemp("charts")
    with CHARTS.writer(folder) as charts:
        for row in rows:
            charts.add(row)
    assert list(CHARTS.read(folder)) == rows


def test_faulty_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no charts there"):
        list(CHARTS.read(tmp_path))
    file = tmp_path / CHARTS.name
    columns = {name: ["x", "x"] for name in ("id", "source", "licence", "image")}
    pq.write_table(pa.table(columns), file)
    with pytest.raises(InputError, match="expected questions, answers too"):
        list(CHARTS.read(file))
    texts = {"questions": ["How many?", "Why?"], "answers": ["3", "4"]}
    pq.write_table(pa.table({**columns, **texts}), file)
    with pytest.raises(InputError, match="string in the column questions; expected lists of text"):
        list(CHARTS.read(file))
    lists = {"questions": [["How many?"], ["How many?", "Why?"]], "answers": [["3"], ["3"]]}
    pq.write_table(pa.table({**columns, **lists}), file)
    with pytest.raises(InputError, match="row 2: 2 questions and 1 answers"):
        list(CHARTS.read(tmp_path))
