"""The reader on a tiny model with random weights: its answers are noise, its conduct is not."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from PIL import Image, ImageDraw
from safetensors.torch import load_file, save_file

from eyesmol.answer.confidence import Calibration, TokenTrace
from eyesmol.answer.text import read_answer
from eyesmol.image.pixel_frame import PixelFrame
from eyesmol.reader.base import RecognizerError
from eyesmol.reader.local import LocalRecognizer
from eyesmol.reader.options import ReadOptions
from eyesmol.reader.test_time_augmentation import looks_at
from eyesmol.reader.vlm import Decoded
from nano.model import create_nano

FRAME = PixelFrame(56 * 56, 168 * 168)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return create_nano(tmp_path_factory.mktemp("nano"), seed=0, width=32, layers=2, frame=FRAME)


@pytest.fixture(scope="module")
def reader(model: Path) -> LocalRecognizer:
    return LocalRecognizer.from_folder(model)


@pytest.fixture
def copy(model: Path, tmp_path: Path) -> Path:
    """The model folder, to be spoilt."""
    return Path(shutil.copytree(model, tmp_path / "model"))


def picture(width: int, height: int, stroke: int = 3) -> Image.Image:
    image = Image.new("RGB", (width, height), "white")
    ImageDraw.Draw(image).line([5, 5, width - 9, height - 5], fill="black", width=stroke)
    return image


def test_a_batch_reads_as_one_by_one(reader: LocalRecognizer) -> None:
    # Pictures of different sizes have prompts of different lengths: left padding must not show.
    pictures = [picture(100, 100), picture(300, 120, 5), picture(60, 200), picture(30, 30, 1)]
    options = {"max_new_tokens": 24, "grammar": False}
    together = list(reader.recognize(pictures, batch_size=4, **options))  # type: ignore[arg-type]
    alone = list(reader.recognize(pictures, batch_size=1, **options))  # type: ignore[arg-type]
    assert len({result.answer for result in alone}) > 1
    for one, other in zip(together, alone, strict=True):
        assert one.answer == other.answer
        assert one.confidence == pytest.approx(other.confidence, abs=2e-4)
        assert 0 < (one.confidence or 0) < 1


def test_a_bad_picture_harms_no_other(reader: LocalRecognizer, tmp_path: Path) -> None:
    good = tmp_path / "good.png"
    picture(100, 100).save(good)
    truncated, text = tmp_path / "truncated.png", tmp_path / "text.png"
    truncated.write_bytes(good.read_bytes()[:-40])
    text.write_text("this is no picture")
    thread, missing = tmp_path / "thread.png", tmp_path / "missing.png"
    picture(3000, 2).save(thread)
    sources = [good, truncated, missing, text, thread, good]
    results = list(reader.recognize(sources, batch_size=4, max_new_tokens=8))
    assert [r.image for r in results] == [str(s) for s in sources]
    assert [bool(r.error) for r in results] == [False, True, True, True, True, False]
    assert "missing" in (results[2].error or "")
    assert "no format that Pillow knows" in (results[3].error or "")
    [alone] = reader.recognize([good], max_new_tokens=8)
    assert results[0].answer == results[5].answer == alone.answer


def test_places_come_back_in_the_original_picture(
    reader: LocalRecognizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[int, int]] = []

    def decode(pictures: list[Image.Image], limit: int, grammar: bool) -> list[Decoded]:
        seen.extend(p.size for p in pictures)
        return [
            Decoded("0 0 C\n{} {} O -0\nsmiles CO".format(*p.size), TokenTrace([], []), ())
            for p in pictures
        ]

    monkeypatch.setattr(reader, "_decode", decode)
    [result] = reader.recognize([picture(500, 200)])
    assert seen == [FRAME.size(500, 200)]
    assert result.graph is not None
    assert [(a.x, a.y) for a in result.graph.atoms] == [(0, 0), (500, 200)]
    assert (result.smiles, result.problems) == ("CO", ())


def test_looks_are_read_with_their_picture_and_the_folder_says_how_many(copy: Path) -> None:
    pictures = [picture(100, 100), picture(300, 120, 5), picture(60, 200)]
    (copy / "dataset_info.json").write_text('{"looks": 3, "answer_form": "compact"}')
    reader = LocalRecognizer.from_folder(copy)
    again = LocalRecognizer.from_folder(copy, options=ReadOptions(views=2))
    assert (reader.options.views, again.options.views) == (3, 2)
    each = LocalRecognizer.from_folder(copy, options=ReadOptions(views=1))
    together = list(reader.recognize(pictures, batch_size=2, max_new_tokens=60))
    for image, result in zip(pictures, together, strict=True):
        looks = looks_at(image, reader.frame, 3)
        alone = list(each.recognize([look.fitted for look in looks], max_new_tokens=60))
        assert result.answer in {reading.answer for reading in alone}
        assert result.size == image.size
    with pytest.raises(ValueError, match="views 8: expected 1 to 7"):
        LocalRecognizer.from_folder(copy, options=ReadOptions(views=8))
    (copy / "dataset_info.json").write_text('{"looks": 9}')
    with pytest.raises(RecognizerError, match="looks 9; expected a number from 1 to 7"):
        LocalRecognizer.from_folder(copy)


def test_a_runaway_answer_is_stopped(copy: Path) -> None:
    weights = load_file(copy / "model.safetensors")
    # Without its last scale the model gives every token the same logit, and says token 0 for ever.
    [last_norm] = [
        key for key in weights if key.endswith(("model.norm.weight", "_model.norm.weight"))
    ]
    weights[last_norm] = torch.zeros_like(weights[last_norm])
    save_file(weights, copy / "model.safetensors", metadata={"format": "pt"})
    runaway = LocalRecognizer.from_folder(copy)
    [result] = runaway.recognize([picture(60, 60)], max_new_tokens=2000, grammar=False)
    assert "repeats itself" in result.problems[0]
    assert 0 < len(result.answer) < 400
    [cut] = runaway.recognize([picture(60, 60)], max_new_tokens=20, grammar=False)
    assert "no end of the answer within 20 tokens" in cut.problems[0]
    [closed] = runaway.recognize([picture(60, 60)], max_new_tokens=200)
    assert "no end of the answer within 200 tokens" in closed.problems[0]
    assert read_answer(closed.answer).problems == (), "the grammar has closed it in time"


def test_sampling_settings_of_the_checkpoint_are_not_used(
    reader: LocalRecognizer, copy: Path
) -> None:
    settings = {"do_sample": True, "temperature": 9.0, "repetition_penalty": 5.0}
    (copy / "generation_config.json").write_text(json.dumps(settings))
    other = LocalRecognizer.from_folder(copy)
    answers = [next(r.recognize([picture(90, 90)], max_new_tokens=16, grammar=False)).answer
               for r in (reader, other)]  # fmt: skip
    assert answers[0] == answers[1]


def test_the_folder_says_how_it_was_trained(reader: LocalRecognizer, copy: Path) -> None:
    assert (reader.form, reader.frame) == ("json", FRAME)  # of the processor
    info = {"pixel_frame": PixelFrame(3136, 3136).to_dict(), "answer_form": "compact"}
    (copy / "dataset_info.json").write_text(json.dumps({**info, "prompt_version": 99}))
    with pytest.warns(UserWarning, match="prompt version 99"):
        trained = LocalRecognizer.from_folder(copy)
    assert (trained.form, trained.frame) == ("compact", PixelFrame(3136, 3136))
    (copy / "dataset_info.json").write_text(json.dumps({**info, "prompt_version": 2}))
    assert LocalRecognizer.from_folder(copy).prompt_version == 2
    for wrong in ({"answer_form": "poem"}, {"pixel_frame": {"min_pixels": 9, "max_pixels": 1}}):
        (copy / "dataset_info.json").write_text(json.dumps(wrong))
        with pytest.raises(RecognizerError, match=r"poem|min_pixels"):
            LocalRecognizer.from_folder(copy)


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        (lambda f: (f / "preprocessor_config.json").unlink(), "no processor: found .*expected"),
        (lambda f: (f / "tokenizer.json").unlink(), "no tokenizer: found"),
        (lambda f: (f / "config.json").rename(f / "adapter_config.json"), "merge it into its base"),
        (lambda f: (f / "config.json").write_text('{"model_type": "bert"}'), "cannot be loaded"),
        (lambda f: (f / "model.safetensors").write_bytes(b"cut"), "cannot be loaded"),
        (lambda f: shutil.rmtree(f), "no such folder"),
    ],
)
def test_a_folder_that_lacks_a_part(copy: Path, spoil: object, complaint: str) -> None:
    spoil(copy)  # type: ignore[operator]
    with pytest.raises(RecognizerError, match=complaint) as caught:
        LocalRecognizer.from_folder(copy)
    assert str(copy) in str(caught.value)


def test_missing_weights_are_refused(copy: Path) -> None:
    weights = load_file(copy / "model.safetensors")
    weights.pop(next(key for key in weights if "mlp" in key))
    save_file(weights, copy / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(RecognizerError, match="1 weights are missing"):
        LocalRecognizer.from_folder(copy)


def test_confidence_is_calibrated_and_withholds(
    reader: LocalRecognizer, copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Calibration(slope=1, offset=-1, rows=99, right=0.5).write(copy / "calibration.json")
    calibrated = LocalRecognizer.from_folder(copy)
    text = "10 10 C\n50 50 O -0\nsmiles CO"
    trace = TokenTrace([5, 8, 13, 19, len(text)], [-0.5, -0.3, -0.5, -0.4, -0.25])

    def decode(pictures: list[Image.Image], limit: int, grammar: bool) -> list[Decoded]:
        return [Decoded(text, trace, ()) for _ in pictures]

    monkeypatch.setattr(reader, "_decode", decode)
    monkeypatch.setattr(calibrated, "_decode", decode)
    [raw] = reader.recognize([picture(80, 80)])
    [sure] = calibrated.recognize([picture(80, 80)])
    assert raw.confidence == raw.raw_confidence == sure.raw_confidence
    assert 0 < (raw.confidence or 0) < 1
    assert sure.confidence == calibrated.calibration(raw.confidence or 0)  # type: ignore[misc]
    assert len(sure.atom_confidence) == 2
    [unsure] = calibrated.recognize([picture(80, 80)], min_confidence=(sure.confidence or 0) + 0.01)
    assert (unsure.smiles, unsure.molecule.molblock) == (None, None)
    assert unsure.withheld_smiles == sure.smiles == "CO"
    assert "abstained" in (unsure.reason or "")

    (copy / "calibration.json").write_text("{}")
    with pytest.raises(RecognizerError, match=r"calibration\.json"):
        LocalRecognizer.from_folder(copy)


def test_nothing_to_read(reader: LocalRecognizer) -> None:
    assert list(reader.recognize([])) == []
    with pytest.raises(ValueError, match="at least 1"):
        next(reader.recognize([picture(50, 50)], batch_size=0))


def test_the_first_results_come_after_one_batch(reader: LocalRecognizer) -> None:
    taken: list[int] = []

    def pictures() -> Iterator[Image.Image]:
        for number in range(14):
            taken.append(number)
            yield picture(60 + number, 60)

    results = reader.recognize(pictures(), batch_size=2, max_new_tokens=4)
    assert len([next(results), next(results)]) == len(taken) == 2
    next(results)
    assert len(taken) == 6
    assert len(list(results)) == 11
