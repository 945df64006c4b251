"""Files as the sources publish them: text, TSV and SDF, gzipped or not, read in a stream.

Every fault names the file and the line or record where it was found. Nothing here holds more than
one line, row or record in memory.
"""

from __future__ import annotations

import csv
import gzip
import re
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from eyesmol.atomic import write_bytes
from eyesmol.exceptions import InputError

__all__ = ["Record", "parse_records", "sdf_records", "table_rows", "text_lines", "write_file"]

_GZIP = b"\x1f\x8b"
_LONGEST_RECORD = 64 << 20  # bytes: what has no $$$$ for so long is no SDF
_LONGEST_FIELD = 16 << 20  # characters: the largest molfile of ChEBI is far below

Progress = Callable[[int], object]
"""Is told how many bytes of the file, as it lies on disk, were read since the last call."""


@contextmanager
def _opened(path: Path) -> Iterator[tuple[IO[bytes], IO[bytes]]]:
    """The bytes of a file, unpacked where it is gzipped, and the file as it lies on disk.

    Gzip is known by its first bytes: mirrors unpack files and leave the name as it was.
    """
    try:
        raw = path.open("rb")
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except IsADirectoryError:
        raise InputError(f"{path}: is a folder, expected a file") from None
    with raw:
        packed = raw.read(2) == _GZIP
        raw.seek(0)
        if not packed:
            yield raw, raw
            return
        with gzip.GzipFile(fileobj=raw) as unpacked:
            yield unpacked, raw  # type: ignore[misc]  # GzipFile has what IO[bytes] is used for


def _byte_lines(path: Path, unit: str, progress: Progress | None = None) -> Iterator[bytes]:
    """Lines of a file; a broken gzip is an `InputError` that says how far it could be read."""
    number = told = 0
    with _opened(path) as (file, raw):
        try:
            for number, line in enumerate(file, start=1):
                yield line
                if progress is not None and not number % 4096:
                    progress(raw.tell() - told)
                    told = raw.tell()
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise InputError(
                f"{path}, after {unit} {number}: the gzip file is cut off or damaged ({error}); "
                "expected a whole one: download it again"
            ) from None
        if progress is not None:
            progress(raw.tell() - told)


def text_lines(path: Path, *, progress: Progress | None = None) -> Iterator[str]:
    """Lines of a UTF-8 text file, gzipped or not, with their line ends.

    Raises:
        InputError: no such file, a gzip that is cut off, or a line that is not UTF-8.
    """
    for number, line in enumerate(_byte_lines(path, "line", progress), start=1):
        try:
            yield line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            raise InputError(
                f"{path}, line {number}: not UTF-8 text ({error.reason}, byte {error.start + 1} "
                "of the line); expected UTF-8: convert the file, with iconv for example"
            ) from None


def table_rows(
    path: Path,
    columns: Iterable[str] = (),
    *,
    progress: Progress | None = None,
) -> Iterator[dict[str, str]]:
    """Rows of a TSV file with a header, as column (in lower case) -> value.

    A quoted value may hold line ends, as the molfiles of ChEBI's flat files do.

    Args:
        path: the table, gzipped or not.
        columns: must be in the header.
        progress: see `Progress`.

    Raises:
        InputError: a column is missing, or a row has another number of values than the header.
    """
    csv.field_size_limit(_LONGEST_FIELD)
    rows = csv.reader(text_lines(path, progress=progress), delimiter="\t")
    try:
        header = [name.strip().lower() for name in next(rows, [])]
        if missing := [name for name in columns if name not in header]:
            raise InputError(
                f"{path}: found the columns {', '.join(header) or 'none'}; expected "
                f"{', '.join(missing)} too"
            )
        for number, row in enumerate(rows, start=1):
            if len(row) != len(header):
                if not row:
                    continue
                raise InputError(
                    f"{path}, row {number} (line {rows.line_num}): found {len(row)} values, "
                    f"expected {len(header)}, as many as the header has columns"
                )
            yield dict(zip(header, row, strict=True))
    except csv.Error as error:
        raise InputError(f"{path}, line {rows.line_num}: not a table ({error})") from None


@dataclass(frozen=True)
class Record:
    """One record of an SDF.

    Attributes:
        molblock: up to and with ``M  END``.
        tags: name -> value; names in upper case with ``_`` for blanks, so that ``ChEBI ID`` of
            today and yesterday is ``CHEBI_ID``.
    """

    molblock: str
    tags: dict[str, str]

    @property
    def atoms(self) -> bool:
        """Whether the molblock has any."""
        lines = self.molblock.split("\n", 4)
        counts = lines[3] if len(lines) > 3 else ""
        return counts[:3].strip() not in ("", "0") or "V3000" in counts


_TAG = re.compile(r">.*<([^<>]+)>")


def sdf_records(path: Path, *, progress: Progress | None = None) -> Iterator[Record]:
    """Records of an SDF file, gzipped or not, one at a time.

    Raises:
        InputError: no such file, a gzip or a last record that is cut off, text that is not UTF-8,
            or no SDF at all.
    """
    return parse_records(_byte_lines(path, "line", progress), str(path))


def parse_records(lines: Iterable[bytes], name: str) -> Iterator[Record]:
    """Records of an SDF given as lines of bytes; `name` stands in error messages.

    Raises:
        InputError: as `sdf_records`.
    """
    held: list[bytes] = []
    size, number = 0, 1
    for line in lines:
        if line.startswith(b"$$$$"):
            yield _record(held, name, number)
            held.clear()
            size, number = 0, number + 1
            continue
        held.append(line)
        size += len(line)
        if size > _LONGEST_RECORD:
            raise InputError(f"{name}, record {number}: no $$$$ within {size:,} bytes; not an SDF")
    if any(line.strip() for line in held):
        raise InputError(
            f"{name}, record {number}: the file ends without $$$$; it is cut off, or not an SDF"
        )


def _record(lines: list[bytes], name: str, number: int) -> Record:
    try:
        text = b"".join(lines).decode()
    except UnicodeDecodeError as error:
        raise InputError(
            f"{name}, record {number}: not UTF-8 text ({error.reason}); expected UTF-8: convert "
            "the file, with iconv for example"
        ) from None
    molblock, tags, tag = [], {}, ""
    for line in text.replace("\r\n", "\n").split("\n"):
        if found := _TAG.match(line):
            tag = found.group(1).strip().upper().replace(" ", "_")
            tags[tag] = ""
        elif tag:
            tags[tag] += f"{line}\n"
        else:
            molblock.append(line)
    while molblock and not molblock[-1].strip():
        molblock.pop()
    return Record(
        "\n".join(molblock) + "\n", {tag: value.strip("\n") for tag, value in tags.items()}
    )


def write_file(path: Path, content: bytes) -> None:
    """Write a file in one step, in a folder that is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(path, content)
