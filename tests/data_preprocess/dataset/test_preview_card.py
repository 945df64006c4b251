"""preview and card: what they show is what the dataset says, in files that need nothing else."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
import yaml
from PIL import Image

from data_preprocess.__main__ import main
from data_preprocess.build.build import Settings, build
from data_preprocess.dataset.card import write_card
from data_preprocess.dataset.preview import choose, preview
from data_preprocess.recipes import Recipe
from data_preprocess.sources.files import SmilesList
from eyesmol.exceptions import InputError
from eyesmol.image.pixel_frame import PixelFrame

SMILES = ("CC(=O)Nc1ccc(O)cc1", "C[C@H](N)C(=O)O", "CCOC(C)=O", r"F/C(Cl)=C\CO", "C1CC", "CCO")


@pytest.fixture(scope="module", params=["cot", "instruction"])
def dataset(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("built")
    (folder / "list.txt").write_text("\n".join(SMILES))
    recipe = Recipe.load("v2") if request.param == "instruction" else None
    frame = PixelFrame(min_pixels=28 * 28)
    settings = Settings(request.param, size=(112, 112), frame=frame, recipe=recipe)
    source = SmilesList(str(folder / "list.txt"), copies=3)
    build(source, folder / "set", settings, progress=False)
    return folder / "set"


class Page(HTMLParser):
    """Everything that a page refers to, and its cards."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.references: list[str] = []
        self.cards: list[dict[str, str | None]] = []
        self.bars = 0
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.references += [str(values[key]) for key in ("src", "href") if key in values]
        if "card" in str(values.get("class", "")).split():
            self.cards.append(values)
        self.bars += tag == "rect"


def test_the_page_needs_nothing_else(dataset: Path, tmp_path: Path) -> None:
    out = tmp_path / "page.html"
    shown = preview(dataset, out, rows=9, seed=3, progress=False)
    page = Page(text := out.read_text("utf-8"))
    assert shown == len(page.cards) == 9
    assert page.references
    assert all(reference.startswith("data:image/png;base64,") for reference in page.references)
    assert not re.search(r"https?://|@import|url\(", text)
    rows = choose(dataset, 9, 3, progress=False).rows
    assert [(card["data-split"], card["data-task"]) for card in page.cards] == [
        (split, row["task"]) for split, row in rows
    ]
    # Overlays for the chain of thought alone.
    per_card = 2 if rows[0][1]["task"] == "cot" else 1
    assert len(page.references) == 9 * per_card
    assert page.bars > 10
    assert "RDKit cannot read the SMILES" in text, "the drop"
    preview(dataset, tmp_path / "again.html", rows=9, seed=3, progress=False)
    assert (tmp_path / "again.html").read_bytes() == out.read_bytes()


def test_words_of_rows_cannot_become_markup(tmp_path: Path) -> None:
    turns = [
        {"from": "human", "value": "<script>alert(1)</script>"},
        {"from": "gpt", "value": '"><img src=x>'},
    ]
    rows = [{"id": "<b>", "conversations": turns}]
    (tmp_path / "any.json").write_text(json.dumps(rows))
    preview(tmp_path / "any.json", tmp_path / "page.html", progress=False)
    page = Page(text := (tmp_path / "page.html").read_text("utf-8"))
    assert page.references == []
    assert "&lt;script&gt;alert(1)" in text
    preview(tmp_path, tmp_path / "sheet.png", progress=False)
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.width > 300


def test_rows_are_chosen_evenly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("data_preprocess.dataset.preview._MEASURED", 15)
    turns = [{"from": "human", "value": "?"}, {"from": "gpt", "value": "!"}]
    rows = [{"id": str(number), "conversations": turns} for number in range(40)]
    (tmp_path / "any.json").write_text(json.dumps(rows))
    seen = [
        int(row["id"])
        for seed in range(100)
        for _, row in choose(tmp_path, 10, seed, progress=False).rows
    ]
    # 1,000 draws of 40 rows: 25 each, and no row is left out.
    assert len(set(seen)) == 40
    assert 17 < sum(seen) / len(seen) < 22


def test_the_card_says_what_the_dataset_says(dataset: Path) -> None:
    card = write_card(dataset, overwrite=True, progress=False)
    info = json.loads((dataset / "dataset_info.json").read_text("utf-8"))
    _, front, text = card.read_text("utf-8").split("---\n", 2)
    values = yaml.safe_load(front)
    assert values["license"] == "other"
    assert values["size_categories"] == ["n<1K"]
    listed = {file["split"]: file["path"] for file in values["configs"][0]["data_files"]}
    assert set(listed.values()) == {f"{split}.json" for split, n in info["splits"].items() if n}
    for task, count in info["tasks"].items():
        assert f"| {task} | {count} |" in text
    assert "| RDKit cannot read the SMILES | 3 | list-000004-0 C1CC |" in text
    assert f"{info['pixel_frame']['max_pixels']:,} pixels" in text
    assert ("prompt is version" in text) == (info["prompt_version"] is not None)
    assert "0 molecules stand in more than one split" in text
    images = re.findall(r"^!\[.*\]\((.*)\)$", text, re.MULTILINE)
    assert len(images) == 3
    assert all((dataset / image).is_file() for image in images)
    settings = re.search(r"```json\n(.*?)```", text, re.DOTALL)
    assert settings is not None
    if recipe := info["settings"].get("recipe"):
        assert recipe.pop("balance") is not None  # hundreds of numbers, which nobody reads
    assert json.loads(settings[1]) == info["settings"]
    assert "## Answered without the image" in text
    for task in info["tasks"]:
        figures = rf"^\| {task} \| [\d,]+ \| [\d.]+ % \| [\d.]+ % \| "
        assert re.search(figures, text, re.MULTILINE)
    assert "Gemini" not in text
    with pytest.raises(InputError, match="--overwrite"):
        write_card(dataset, progress=False)


@pytest.mark.parametrize(
    ("models", "warned"), [(["gemini-2.5-pro"], True), (["mine-7b"], False), ([], True)]
)
def test_the_card_names_the_terms_of_a_models_words(
    models: list[str], warned: bool, tmp_path: Path
) -> None:
    (tmp_path / "list.txt").write_text("CCO\nCCN")
    settings = Settings("instruction", size=(112, 112), recipe=Recipe.load("short"))
    build(SmilesList(str(tmp_path / "list.txt")), tmp_path / "set", settings, progress=False)
    info = json.loads((tmp_path / "set" / "dataset_info.json").read_text("utf-8"))
    info["sources"][0]["visual_models"] = models
    info["licences"] = ["CC BY 4.0", "public domain"]
    (tmp_path / "set" / "dataset_info.json").write_text(json.dumps(info))
    for split in ("train", "valid", "test"):
        path = tmp_path / "set" / f"{split}.json"
        rows = json.loads(path.read_text("utf-8"))
        for row in rows:
            row["task"] = "visual_description"
        path.write_text(json.dumps(rows))
    text = write_card(tmp_path / "set", progress=False).read_text("utf-8")
    assert ("compete with Google's" in text) == warned
    assert all(model in text for model in models)
    assert yaml.safe_load(text.split("---\n")[1])["license"] == ["cc-by-4.0", "other"]


def test_without_a_dataset_there_is_no_card(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["card", str(tmp_path)]) == 2
    assert "no dataset_info.json there" in capsys.readouterr().err
    assert main(["preview", str(tmp_path), "--out", str(tmp_path / "a.gif")]) == 2
    assert "ends in .png or .html" in capsys.readouterr().err
