"""Fuzzing of the reading side: answers and picture files that are random or spoilt.

    python benchmarks/fuzz.py --answers 10000 --pictures 1000

Whatever comes in, something comes out: no exception, nothing that takes longer than a few seconds,
and memory that does not grow. ``tests/benchmarks/test_fuzz.py`` runs the same on a few hundred.
"""

from __future__ import annotations

import argparse
import io
import json
import random
import resource
import sys
import time
from collections.abc import Iterator
from contextlib import suppress

import numpy as np
from PIL import Image, ImageDraw
from tqdm import tqdm

from eyesmol.answer.confidence import TokenTrace
from eyesmol.answer.text import AnswerForm, write_answer
from eyesmol.chem.smiles import canonical_smiles, graph_from_smiles, molblock_to_smiles
from eyesmol.image.loading import load_picture
from eyesmol.image.pixel_frame import PixelFrame
from eyesmol.image.screening import no_molecule
from eyesmol.recognition import Recognition

_SMILES = (
    "CCO", "C[C@H](N)C(=O)O", "F/C=C\\Cl", "C12C3C4C1C5C4C3C25", "[13CH3][N+](C)(C)C.[Cl-]",
    "[1*]c1ccc2[nH]ccc2c1", "O=[N+]([O-])c1ccccc1", "CC(C)(C)OC(=O)N1CCC[C@@H]1C(=O)O",
)  # fmt: skip
_FORMS: tuple[AnswerForm, AnswerForm] = ("json", "compact")
_PIECES = (
    "{", "}", "[", "]", '"', "\\", ",", "\n", " ", "-0", "=1", "smiles ", '{"a":"', '"xy":[',
    "1e999", "-1", "99999999999999999999", "NaN", "null", "[OMe]", "\x00", "\ufffd", "é", "•",
    "(CH2)9999", "[[[[", "))))", "%99", "R#", "$$$$", "```json\n", "\u2028", "C" * 300,
)  # fmt: skip


def main() -> int:
    """Run both and print; returns the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--answers", type=int, default=10_000, help="spoilt answers (10000)")
    parser.add_argument("--pictures", type=int, default=1000, help="spoilt picture files (1000)")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    for name, count, run in (
        ("answers", options.answers, read_answers),
        ("pictures", options.pictures, read_pictures),
    ):
        run(count // 10, options.seed + 1)  # caches fill
        before = memory()
        slowest, good = run(count, options.seed)
        print(
            f"{count:,} {name}: no crash, {good:,} gave a "
            f"{'molecule' if name == 'answers' else 'picture'}, slowest {slowest:.2f} s, memory "
            f"{before:.0f} -> {memory():.0f} MiB"
        )
    return 0


def memory() -> float:
    """Most memory that the process has held, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def read_answers(count: int, seed: int) -> tuple[float, int]:
    """Read spoilt answers to the end; seconds of the slowest and how many gave a molecule.

    Raises:
        AssertionError: SMILES and molblock differ, or the row cannot be read back.
    """
    slowest, good = 0.0, 0
    for text in tqdm(spoilt_answers(count, seed), total=count, disable=count < 1000):
        start = time.perf_counter()
        trace = TokenTrace([len(text) // 2, len(text)], [-0.5, -0.1])
        read = Recognition.from_answer(
            "a", text, size=(500, 300), frame_size=(448, 280), trace=trace
        )
        row = json.loads(json.dumps(read.to_dict()))
        again = Recognition.from_dict(row).to_dict()
        # Labels are read once more: of one in ten thousand spoilt ones signs are counted anew.
        assert {**again, "atoms": None} == {**row, "atoms": None}, text
        if read.smiles:
            good += 1
            assert canonical_smiles(read.smiles)
            for found in (read, read.as_v3000()):
                if found.molecule.molblock:
                    assert molblock_to_smiles(found.molecule.molblock) == read.smiles, text
        slowest = max(slowest, time.perf_counter() - start)
    return slowest, good


def spoilt_answers(count: int, seed: int) -> Iterator[str]:
    """Good answers with letters changed, cut, doubled and inserted; and plain noise."""
    chance = random.Random(seed)
    good = [
        write_answer(graph_from_smiles(s).transformed(20, 150, 150, flip=True), s, form)
        for s in _SMILES
        for form in _FORMS
    ]
    for _ in range(count):
        if chance.random() < 0.15:
            length = chance.randint(0, 400)
            yield "".join(chance.choice((*_PIECES, "C", "1", "2", "N")) for _ in range(length))
            continue
        text = chance.choice(good)
        for _ in range(chance.randint(1, 6)):
            place, length = chance.randint(0, len(text)), chance.randint(0, 12)
            taken = text[place : place + length]
            new = chance.choice(
                (
                    "",
                    taken * 3,
                    chance.choice(_PIECES),
                    chr(chance.randint(1, 0xD7FF)),
                    str(chance.randint(-5, 9999)),
                )
            )
            text = text[:place] + new + text[place + length :]
        yield text * chance.choice((1, 1, 1, 1, 8))


def read_pictures(count: int, seed: int) -> tuple[float, int]:
    """Open spoilt files as the reader does; seconds of the slowest and how many gave a picture."""
    slowest, good, frame = 0.0, 0, PixelFrame(56 * 56, 112 * 112)
    for data in tqdm(spoilt_files(count, seed), total=count, disable=count < 1000):
        start = time.perf_counter()
        # The exceptions that the reader makes an error row of.
        with suppress(Exception):
            image = load_picture(data)
            no_molecule(image)
            good += frame.fit(image).mode == "RGB"
        slowest = max(slowest, time.perf_counter() - start)
    return slowest, good


def spoilt_files(count: int, seed: int) -> Iterator[bytes]:
    """Encoded pictures with bytes changed, cut or inserted; odd sizes and modes; noise."""
    chance = random.Random(seed)
    bytes_ = np.random.default_rng(seed)
    for _ in range(count):
        if chance.random() < 0.1:
            head = chance.choice(
                (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"II*\x00", b"GIF89a", b"")
            )
            yield head + bytes_.bytes(chance.randint(0, 3000))
            continue
        size = (chance.choice((1, 3, 40, 333)), chance.choice((1, 2, 60, 250)))
        mode = chance.choice(("L", "RGB", "RGBA", "P", "1", "I;16", "LA", "CMYK", "F"))
        kind = chance.choice(("PNG", "JPEG", "TIFF", "GIF", "BMP", "WEBP"))
        image, file = Image.new(mode, size), io.BytesIO()
        if mode in ("L", "RGB"):
            ImageDraw.Draw(image).line([0, 0, *size], fill="white", width=2)
        try:
            image.save(file, kind)
        except (OSError, ValueError, KeyError):  # formats do not hold every mode
            image.convert("RGB").save(file, kind)
        data = bytearray(file.getvalue())
        for _ in range(chance.randint(0, 8)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        if chance.random() < 0.3:
            del data[chance.randrange(len(data)) :]
        yield bytes(data)


if __name__ == "__main__":
    sys.exit(main())
