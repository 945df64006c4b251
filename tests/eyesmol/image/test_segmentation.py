"""Structures are found on pages of text, tables and drawings, and read in their places."""

from __future__ import annotations

import io
import random
from pathlib import Path

import pytest
from matplotlib import get_data_path
from PIL import Image, ImageDraw, ImageFont
from rdkit import Chem
from rdkit.Chem.Draw import rdMolDraw2D

from eyesmol.image.loading import Box, Source, load_picture, part_of
from eyesmol.image.pixel_frame import PixelFrame
from eyesmol.image.screening import no_molecule
from eyesmol.image.segmentation import find_structures
from eyesmol.reader.local import LocalRecognizer
from eyesmol.reader.structures import structures_of
from nano.model import create_nano

TEXT = """the compound of formula was obtained as white solid after extraction with ethyl acetate
and dried over magnesium sulfate to give 12.3 mg (85%) NMR CDCl3 ppm Example"""
WORDS = TEXT.split()
MOLECULES = (
    "CC(=O)Oc1ccccc1C(=O)O", "CN1C=NC2=C1C(=O)N(C(=O)N2C)C", "CC(C)Cc1ccc(cc1)C(C)C(=O)O",
    "OC[C@H]1OC(O)[C@H](O)[C@@H](O)[C@@H]1O", "FC(F)(F)c1ccc(Oc2ccc(Cl)nc2)cc1",
    "N#Cc1ccc(cc1)S(=O)(=O)N1CCOCC1", "CCCCCCCC(=O)OC", "C1CCNCC1",
)  # fmt: skip


def font(points: float, dpi: int, name: str = "STIXGeneral") -> ImageFont.FreeTypeFont:
    path = Path(get_data_path()) / "fonts" / "ttf" / f"{name}.ttf"
    return ImageFont.truetype(str(path), round(points * dpi / 72))


def molecule(smiles: str, dpi: int, bond: float) -> Image.Image:
    """A black drawing with bonds of some inches, cut to its ink."""
    drawing = rdMolDraw2D.MolDraw2DCairo(-1, -1)
    options = drawing.drawOptions()
    settings = {
        "scalingFactor": bond * dpi / 1.5,
        "bondLineWidth": max(1, dpi // 100),
        "fixedFontSize": round(0.14 * dpi),
    }
    for name, value in settings.items():
        setattr(options, name, value)
    options.useBWAtomPalette()
    rdMolDraw2D.PrepareAndDrawMolecule(drawing, Chem.MolFromSmiles(smiles))
    drawing.FinishDrawing()
    return cut(Image.open(io.BytesIO(drawing.GetDrawingText())))


def cut(image: Image.Image) -> Image.Image:
    grey = image.convert("L")
    return grey.crop(grey.point([255 * (v < 160) for v in range(256)]).getbbox())


def page(dpi: int, pictures: list[Image.Image], seed: int) -> tuple[Image.Image, list[Box]]:
    """A page with a heading, paragraphs, a table, and structures in rows with their numbers."""
    chance = random.Random(seed)
    image = Image.new("L", (round(8.3 * dpi), round(11.7 * dpi)), 255)
    pen, text, left = ImageDraw.Draw(image), font(11, dpi), round(0.9 * dpi)
    right, y, line = image.width - left, round(0.8 * dpi), round(0.21 * dpi)
    pen.text((left, y), "Synthesis Of Amides", font=font(16, dpi, "DejaVuSans-Bold"), fill=0)
    y += 2 * line
    boxes: list[Box] = []
    waiting = list(pictures)
    while waiting:
        for _ in range(chance.randint(2, 4)):
            words = chance.choices(WORDS, k=40)
            while pen.textlength(" ".join(words), font=text) > right - left:
                words.pop()
            pen.text((left, y), " ".join(words), font=text, fill=0)
            y += line
        y += line
        x, lowest = left, y
        while waiting and x + waiting[0].width < right:
            drawn = waiting.pop(0)
            image.paste(drawn, (x, y))
            boxes.append((x, y, x + drawn.width, y + drawn.height))
            x, lowest = x + drawn.width + dpi // 2, max(lowest, y + drawn.height)
        if lowest == y:
            waiting.pop(0)  # wider than the page
        y = lowest + dpi // 8
        pen.text((left + dpi // 3, y), f"({chance.randint(1, 40)})", font=text, fill=0)
        y += 2 * line
        if y > image.height - 3.5 * dpi:
            break
    for row in range(4):
        pen.line([left, y + row * line, right, y + row * line], fill=0, width=max(1, dpi // 150))
        for column in range(5):
            x = left + column * (right - left) // 4
            pen.line([x, y, x, y + 3 * line], fill=0, width=max(1, dpi // 150))
            if row < 3 and column < 4:
                pen.text((x + 9, y + row * line), chance.choice(WORDS), font=text, fill=0)
    return image, boxes


def overlap(a: Box, b: Box) -> float:
    """Intersection over union."""

    def area(box: Box) -> int:
        return max(box[2] - box[0], 0) * max(box[3] - box[1], 0)

    inside = area((max(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), min(a[3], b[3])))
    return inside / (area(a) + area(b) - inside)


def counted(pages: list[tuple[Image.Image, list[Box]]]) -> tuple[int, int, int]:
    """Structures on the pages, boxes found, and how many of these match (overlap 0.7)."""
    drawn = found = right = 0
    for image, boxes in pages:
        these = find_structures(image)
        drawn, found = drawn + len(boxes), found + len(these)
        right += sum(max((overlap(box, b) for b in boxes), default=0) >= 0.7 for box in these)
    return drawn, found, right


@pytest.mark.parametrize("dpi", [150, 300])
def test_structures_between_text_and_tables(dpi: int) -> None:
    pages = []
    for seed in range(2):
        chance = random.Random(seed)
        pictures = [molecule(s, dpi, chance.uniform(0.18, 0.28)) for s in MOLECULES]
        chance.shuffle(pictures)
        pages.append(page(dpi, pictures, seed))
    drawn, found, right = counted(pages)
    assert drawn > 8
    assert right >= 0.95 * drawn
    assert right >= 0.9 * found


def test_structures_of_patents(shared_data: Path) -> None:
    files = sorted((shared_data / "clef300" / "images").iterdir())
    pages = []
    for seed in range(2):
        chosen = random.Random(seed).sample(files, 8)
        pages.append(page(300, [cut(Image.open(path)) for path in chosen], seed))
    drawn, found, right = counted(pages)
    assert drawn > 8
    assert right >= 0.9 * drawn
    assert right >= 0.85 * found


def test_a_page_without_structures() -> None:
    image, _ = page(150, [Image.new("L", (9999, 9), 255)], 0)
    assert find_structures(image) == []
    assert find_structures(Image.new("L", (600, 800), 255)) == []


def test_pages_are_read(tmp_path: Path) -> None:
    reader = LocalRecognizer.from_folder(
        create_nano(tmp_path / "nano", width=32, layers=1, frame=PixelFrame(56 * 56, 112 * 112))
    )
    image, boxes = page(150, [molecule(s, 150, 0.2) for s in MOLECULES[:3]], 0)
    image.save(tmp_path / "scan.png")
    pages: list[Source] = [str(tmp_path / "scan.png"), str(tmp_path / "missing.png"), image]
    results = list(reader.recognize_pages(pages, max_new_tokens=60))
    assert [r.error is None for r in results] == [True] * 3 + [False] + [True] * 3
    for result, box in zip([*results[:3], *results[4:]], boxes * 2, strict=True):
        assert result.page == 1
        assert result.box
        assert overlap(result.box, box) >= 0.7
        assert result.size == (result.box[2] - result.box[0], result.box[3] - result.box[1])
    [other] = reader.recognize_pages(
        pages[:1], finder=lambda page: [(0, 0, 90, 90)], max_new_tokens=60
    )
    assert other.box == (0, 0, 90, 90)


def test_names_of_parts(tmp_path: Path) -> None:
    image, _ = page(150, [molecule(MOLECULES[0], 150, 0.2)], 0)
    image.save(tmp_path / "scan.png")
    [part] = structures_of([str(tmp_path / "scan.png")], pages=True)
    assert isinstance(part, Image.Image)
    name = str(part.filename)  # type: ignore[attr-defined]
    left, top, right, bottom = map(int, name.rpartition("@")[2].split(","))
    assert load_picture(name).tobytes() == part.tobytes()
    assert part.tobytes() == image.crop((left, top, right, bottom)).tobytes()
    for box in ((0, 0, 10**6, 10**6), (50, 50, 50, 60)):
        with pytest.raises(ValueError, match="part"):
            load_picture(part_of(str(tmp_path / "scan.png"), box))


def test_pictures_that_show_no_molecule_are_refused(tmp_path: Path) -> None:
    import matplotlib.figure
    import numpy as np
    from scipy import ndimage

    chance = np.random.default_rng(0)
    clouds = ndimage.gaussian_filter(chance.random((200, 300, 3)), (9, 9, 0))
    clouds = (clouds - clouds.min()) / np.ptp(clouds) * 0.9 + chance.random(clouds.shape) * 0.1
    figure = matplotlib.figure.Figure(figsize=(4, 3))
    figure.subplots().plot(chance.random(20))
    figure.savefig(tmp_path / "chart.png")
    text, _ = page(150, [Image.new("L", (9999, 9), 255)], 0)
    refused = {
        "blank": Image.new("RGB", (200, 200), "white"),
        "photograph": Image.fromarray((clouds * 255).astype(np.uint8)),
        "chart": Image.open(tmp_path / "chart.png"),
        "text": text.crop((100, 100, 1100, 500)),
    }
    for word, image in refused.items():
        assert word in (no_molecule(image) or ""), word
    for smiles in (*MOLECULES, "C", "CCl", "C1CCC1", "[Na+].[Cl-]"):
        for dpi in (100, 300):
            framed = Image.new("L", (900, 700), 255)
            framed.paste(molecule(smiles, dpi, 0.2), (30, 30))
            assert no_molecule(framed) is None, smiles

    reader = LocalRecognizer.from_folder(create_nano(tmp_path / "nano", width=32, layers=1))
    pictures = list(refused.values())
    for result in reader.recognize(pictures):
        assert (result.reason or "").startswith("no molecule: ")
        assert (result.smiles, result.answer, result.error) == (None, "", None)
    [asked] = reader.recognize(pictures[:1], any_picture=True, max_new_tokens=60)
    assert asked.answer


def drawn(smiles: str, highlighted: int = 0) -> Image.Image:
    """RDKit's own drawing, 400 x 300, in colour, the first so many atoms highlighted."""
    drawing = rdMolDraw2D.MolDraw2DCairo(400, 300)
    mol, chosen = Chem.MolFromSmiles(smiles), list(range(highlighted))
    rdMolDraw2D.PrepareAndDrawMolecule(drawing, mol, highlightAtoms=chosen)
    drawing.FinishDrawing()
    return Image.open(io.BytesIO(drawing.GetDrawingText())).convert("RGB")


def test_drawings_with_something_round_or_behind_them_are_not_refused() -> None:
    plain = drawn(MOLECULES[0])
    bar = plain.copy()
    ImageDraw.Draw(bar).rectangle([0, 0, 30, 300], fill="black")
    framed = Image.new("RGB", (460, 400), "white")
    framed.paste(plain, (30, 30))
    pen = ImageDraw.Draw(framed)
    pen.rectangle([10, 10, 450, 350], outline="black", width=2)
    pen.text((100, 360), "Figure 1: Aspirin (2)", fill="black")
    highlighted = drawn(MOLECULES[0], highlighted=8)
    for name, image in {"bar": bar, "frame": framed, "highlight": highlighted}.items():
        assert no_molecule(image) is None, name


@pytest.mark.parametrize(
    "smiles", ["c1ccc(C#Cc2ccccc2)cc1", "c1ccc(C#CC#Cc2ccc(OC)cc2)cc1", "CC#Cc1ccccc1"]
)
def test_long_level_bonds_are_no_rules(smiles: str) -> None:
    """Without text there is nothing to tell a page's rules by but the drawing itself."""
    drawing = rdMolDraw2D.MolDraw2DCairo(800, 300)
    rdMolDraw2D.PrepareAndDrawMolecule(drawing, Chem.MolFromSmiles(smiles))
    drawing.FinishDrawing()
    image = Image.open(io.BytesIO(drawing.GetDrawingText()))
    [(left, top, right, bottom)] = find_structures(image)
    ink = image.convert("L").point([255 * (v < 160) for v in range(256)]).getbbox()
    assert ink is not None
    assert left <= ink[0] + 3
    assert top <= ink[1] + 3
    assert right >= ink[2] - 3
    assert bottom >= ink[3] - 3


def test_real_drawings_are_not_refused(shared_data: Path) -> None:
    for path in sorted((shared_data / "clef300" / "images").iterdir())[::15]:
        assert no_molecule(Image.open(path)) is None, path.name
