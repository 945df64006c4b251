"""The compound catalogue: what goes in comes out, in a stream, and nothing outside the folder."""

from __future__ import annotations

import random
import zipfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_preprocess.catalogue.compounds import COMPOUNDS, Compound, read_file
from data_preprocess.catalogue.table import ROW_GROUP
from eyesmol.exceptions import InputError

_word = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)
_compounds = st.builds(
    Compound,
    id=_word,
    source=_word,
    licence=_word,
    smiles=st.none() | _word,
    description=st.none() | _word,
    molfile=st.none() | _word,
)


@given(st.lists(_compounds))
def test_rows_come_back_in_order(
    tmp_path_factory: pytest.TempPathFactory, rows: list[Compound]
) -> None:
    folder = tmp_path_factory.mktemp("catalogue")
    with COMPOUNDS.writer(folder) as catalogue:
        for row in rows:
            catalogue.add(row)
    assert list(COMPOUNDS.read(folder)) == rows


def test_a_failed_write_leaves_the_old_catalogue(tmp_path: Path) -> None:
    first = Compound("a", "test", "CC0-1.0")
    with COMPOUNDS.writer(tmp_path) as catalogue:
        catalogue.add(first)

    def stop_half_way() -> None:
        with COMPOUNDS.writer(tmp_path) as catalogue:
            catalogue.add(Compound("b", "test", "CC0-1.0"))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stop_half_way()
    assert list(COMPOUNDS.read(tmp_path)) == [first]
    assert [path.name for path in tmp_path.iterdir()] == [COMPOUNDS.name]


def test_faulty_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no catalogue there"):
        list(COMPOUNDS.read(tmp_path))
    file = tmp_path / COMPOUNDS.name
    file.write_bytes(b"PAR1 cut off")
    with pytest.raises(InputError, match="not a whole Parquet file"):
        list(COMPOUNDS.read(tmp_path))
    pq.write_table(pa.table({"id": ["a"], "smiles": ["C"]}), file)
    with pytest.raises(InputError, match="expected source, licence too"):
        list(COMPOUNDS.read(file))
    pq.write_table(pa.table({"id": ["a", ""], "source": ["s", "s"], "licence": ["l", "l"]}), file)
    with pytest.raises(InputError, match="row 2: id is empty"):
        list(COMPOUNDS.read(file))


def test_pictures_are_read_from_the_folder_and_its_archives_only(tmp_path: Path) -> None:
    folder = tmp_path / "catalogue"
    (folder / "images").mkdir(parents=True)
    (folder / "images/a.png").write_bytes(b"a")
    (tmp_path / "secret.png").write_bytes(b"secret")
    with zipfile.ZipFile(folder / "all.zip", "w") as archive:
        archive.writestr("deep/b.tif", b"b")
    assert read_file(folder, "images/a.png") == b"a"
    assert read_file(folder, "all.zip!deep/b.tif") == b"b"
    for outside in ("../secret.png", str(tmp_path / "secret.png"), "..\\secret.png", "../x.zip!a"):
        with pytest.raises(InputError, match="leads out"):
            read_file(folder, outside)
    with pytest.raises(FileNotFoundError, match="no member"):
        read_file(folder, "all.zip!deep/c.tif")


def test_reading_holds_a_few_row_groups_at_most(tmp_path: Path) -> None:
    """One reader over all of them keeps a part of each: here the most part of the file at once."""
    dice = random.Random(0)
    texts = [dice.randbytes(800).hex() for _ in range(2_000)]
    with COMPOUNDS.writer(tmp_path) as catalogue:
        for number in range(50_000):
            catalogue.add(Compound(str(number), "a", "none", molfile=dice.choice(texts)))
    held = 0
    for number, _ in enumerate(COMPOUNDS.read(tmp_path)):
        if number % ROW_GROUP == ROW_GROUP // 2:
            held = max(held, pa.total_allocated_bytes())
    assert held < 4 * ROW_GROUP * len(texts[0])
