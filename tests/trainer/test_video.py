"""Videos: samples equal what stock makes of them, and train beside pictures and text."""

from __future__ import annotations

import json
import shutil
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from qwen_vl_finetune import video
from qwen_vl_finetune.answers import answer
from qwen_vl_finetune.data import Collator, LlavaDataset, Noted
from qwen_vl_finetune.errors import DataError, UserError
from qwen_vl_finetune.flops import training_cost
from qwen_vl_finetune.model import load_checked
from qwen_vl_finetune.packing import PackCollator
from qwen_vl_finetune.processing import IGNORED, Message, Processor, load_processor
from qwen_vl_finetune.video import Clip, VideoBudget, VideoLayout, read_clip, read_frames
from transformers import Qwen2_5_VLProcessor, Qwen2VLProcessor, Qwen3VLProcessor
from transformers.video_utils import VideoMetadata

from .conftest import LORA, Train, make_rows, write_rows
from .test_families import FAMILIES, make_model
from .test_run import losses

STOCK = {
    "qwen2_vl": Qwen2VLProcessor,
    "qwen2_5_vl": Qwen2_5_VLProcessor,
    "qwen3_vl": Qwen3VLProcessor,
}
BUDGET = VideoBudget(fps=4, min_frames=4, max_frames=8, max_pixels=5 * 84 * 56)
FLAGS = ["--video_fps", "4", "--video_max_frames", "8", "--video_max_pixels", str(5 * 84 * 56)]
FRAMES, FPS = 21, 10.0
MESSAGES: list[Message] = [
    {"role": "user", "content": [{"type": "video"}, {"type": "text", "text": "What?"}]},
    {"role": "assistant", "content": "This."},
]
needs_av = pytest.mark.skipif(find_spec("av") is None, reason="PyAV (av) is not installed")


def drawn_frames(count: int = FRAMES, width: int = 131, height: int = 97) -> list[Image.Image]:
    """A pattern that moves; the same on every machine."""
    y, x = np.mgrid[:height, :width]
    frames = []
    for i in range(count):
        shades = np.stack([(x * 3 + 7 * i) % 256, (x * y // 9 + i) % 256, (y * 5) % 256], axis=2)
        frames.append(Image.fromarray(shades.astype(np.uint8)))
    return frames


def write_mp4(path: Path, frames: list[Image.Image]) -> None:
    import av

    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("mpeg4", rate=int(FPS))
        stream.width, stream.height, stream.pix_fmt = *frames[0].size, "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_image(frame)))
        container.mux(stream.encode())


def write_clips(folder: Path) -> list[str]:
    """The same clip in every form that is read here: names in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    frames = drawn_frames()
    frames[0].save(
        folder / "clip.gif", save_all=True, append_images=frames[1:], duration=int(1000 / FPS)
    )
    (folder / "frames").mkdir()
    for i, frame in enumerate(frames):
        frame.save(folder / "frames" / f"{i:03}.png")
    if find_spec("av") is None:
        return ["clip.gif", "frames"]
    write_mp4(folder / "clip.mp4", drawn_frames(width=132, height=98))
    return ["clip.gif", "frames", "clip.mp4"]


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clips")
    write_clips(folder)
    return folder


@pytest.fixture(scope="module")
def models(nano: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A tiny model a family, its chat template with the videos of Qwen's own."""
    folder = tmp_path_factory.mktemp("video_models")
    found = {name: make_model(name, nano, folder / name) for name in FAMILIES}
    found["qwen2_5_vl"] = shutil.copytree(nano, folder / "qwen2_5_vl")
    text = "{%- elif part.type == 'text' -%}"
    part = "{%- elif part.type == 'video' -%}<|vision_start|><|video_pad|><|vision_end|>"
    for base in found.values():
        template = base / "chat_template.jinja"
        template.write_text(template.read_text().replace(text, part + text))
    return found


def mixed_rows(folder: Path) -> list[dict[str, Any]]:
    """A picture, text, a video, videos and a picture in one row, and many turns."""
    names = write_clips(folder)
    rows = make_rows(folder, 5)
    for row, media, question in (
        (rows[1], {}, "No picture here. Say so, please."),
        (rows[2], {"video": names[-1]}, "<video>\nWhat moves?"),
        (rows[3], {"video": names[:2], "image": "images/3.png"}, "<video> <image>\n<video> Alike?"),
        (rows[4], {"video": ["frames"], "image": []}, "Look at <video>\nWhat moves?"),
    ):
        row.pop("image")
        row.update(media)
        row["conversations"][0]["value"] = question
    return rows


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mixed_videos")
    return write_rows(folder, mixed_rows(folder))


def open_set(model: Path, rows: Path, **settings: Any) -> LlavaDataset:
    return LlavaDataset(rows, rows.parent, load_processor(model, budget=BUDGET), **settings)


def stock_size(processor: Processor, layout: VideoLayout) -> dict[str, int]:
    """The budget as stock's video processor of the family counts it."""
    most = BUDGET.max_pixels
    if not processor.videos.tells_time:  # a frame each
        most //= len(layout.frames)
    return {"shortest_edge": 28 * 28, "longest_edge": most}


def stock_videos(family: str, processor: Processor) -> Any:
    """Stock's video processor, where torchvision is installed and fits the torch there is."""
    try:
        import torchvision  # noqa: F401

        if family == "qwen3_vl":
            from transformers.models.qwen3_vl.video_processing_qwen3_vl import (
                Qwen3VLVideoProcessor as Stock,
            )
        else:
            from transformers.models.qwen2_vl.video_processing_qwen2_vl import (
                Qwen2VLVideoProcessor as Stock,
            )
        images = processor.image_processor
        return Stock(
            patch_size=14,
            image_mean=images.image_mean,
            image_std=images.image_std,
            min_frames=BUDGET.min_frames,
            max_frames=BUDGET.max_frames,
            cap_pixels_per_frame=False,
        )
    except (ImportError, RuntimeError) as error:
        pytest.skip(f"stock's video processor needs a torchvision that fits torch: {error}")


@pytest.mark.parametrize("name", ["clip.gif", "frames", pytest.param("clip.mp4", marks=needs_av)])
@pytest.mark.parametrize("family", STOCK)
def test_a_sample_equals_stock(
    family: str, name: str, models: dict[str, Path], clips: Path
) -> None:
    """Ids, patches, grid and seconds, from the decoded file on."""
    processor = load_processor(models[family], budget=BUDGET)
    clip = read_clip(clips / name, BUDGET.fps)
    layout = processor.videos.layout(clip)
    tokenizer = processor.tokenizer
    stock = STOCK[family](
        processor.image_processor, tokenizer, stock_videos(family, processor),
        chat_template=tokenizer.chat_template,
    )  # fmt: skip
    frames = np.stack(list(read_frames(clips / name, range(clip.frames))))
    expected = stock(
        text=[processor.render(MESSAGES)],
        videos=[torch.from_numpy(frames).permute(0, 3, 1, 2)],
        video_metadata=[VideoMetadata(clip.frames, clip.fps, clip.width, clip.height)],
        do_sample_frames=True,
        fps=BUDGET.fps,
        size=stock_size(processor, layout),
        return_tensors="pt",
    )
    ids = processor.encode(MESSAGES, [], [layout])["input_ids"]
    # the line break after the last answer is no part of a sample
    assert ids.tolist() == expected["input_ids"][0, : len(ids)].tolist()
    assert len(expected["input_ids"][0]) == len(ids) + 1
    assert [list(layout.grid)] == expected["video_grid_thw"].tolist()
    pixels = processor.videos.patches(clips / name, layout, clip)
    found = processor.pixel_values(pixels)
    assert torch.equal(found, expected["pixel_values_videos"])
    if family == "qwen2_5_vl":
        assert layout.seconds == pytest.approx(float(expected["second_per_grid_ts"][0]))


KNOWN = {  # of transformers 5.23 with torchvision 0.28: frames, tokens, mean, deviation, values
    "qwen2_vl": ([0, 2, 5, 7, 10, 13, 15, 18], 27, -1.7658, 0.8890, [-2.797, -2.065, -0.732]),
    "qwen3_vl": ([0, 3, 6, 9, 11, 14, 17, 20], 75, -1.7551, 0.8931, [-2.797, -1.974, -0.719]),
}


@pytest.mark.parametrize("family", KNOWN)
def test_a_sample_equals_what_stock_gave(family: str, models: dict[str, Path], clips: Path) -> None:
    """The same where torchvision is not installed; processors differ by a shade in rounding."""
    processor = load_processor(models[family], budget=BUDGET)
    layout = processor.videos.layout(read_clip(clips / "frames", BUDGET.fps))
    frames, tokens, mean, deviation, values = KNOWN[family]
    assert layout.frames == frames
    assert len(processor.encode(MESSAGES, [], [layout])["input_ids"]) == tokens
    clip = read_clip(clips / "frames", BUDGET.fps)
    pixels = processor.videos.patches(clips / "frames", layout, clip)
    found = processor.pixel_values(pixels)
    assert float(found.mean()) == pytest.approx(mean, abs=2e-3)
    assert float(found.std()) == pytest.approx(deviation, abs=2e-3)
    assert found[7, :900:300].tolist() == pytest.approx(values, abs=0.03)


def without_videos(kind: Any) -> Any:
    """A stock processor class that asks for no video processor."""

    def start(self: Any, image_processor: Any, tokenizer: Any) -> None:
        kind.__init__(self, image_processor, tokenizer, None)

    return type("WithoutVideos", (kind,), {"__init__": start})


@pytest.mark.parametrize("family", STOCK)
def test_text_equals_stock(family: str, models: dict[str, Path]) -> None:
    """Where the tokens of videos go, by stock's own code, which needs no torchvision for it."""
    processor = load_processor(models[family], budget=BUDGET)
    layouts = [processor.videos.layout(Clip(n, 9.7, 131, 97)) for n in (1, 5, 400)]

    stock = without_videos(STOCK[family])(processor.image_processor, processor.tokenizer)
    stock.video_processor = SimpleNamespace(merge_size=2, temporal_patch_size=2)
    inputs = {
        "video_grid_thw": torch.tensor([layout.grid for layout in layouts]),
        "video_metadata": [
            VideoMetadata(400, 9.7, frames_indices=list(layout.frames)) for layout in layouts
        ],
    }
    marks = [{"type": "video"}, {"type": "text", "text": " and "}] * 3
    messages: list[Message] = [
        {"role": "user", "content": marks},
        {"role": "assistant", "content": "Yes."},
    ]
    replacements = [stock.replace_video_token(inputs, i) for i in range(3)]
    texts, _ = stock.get_text_with_replacements(
        [processor.render(messages)], videos_replacements=replacements
    )
    expected = processor.tokenizer(texts[0].rstrip())["input_ids"]
    assert processor.encode(messages, [], layouts)["input_ids"].tolist() == expected


@pytest.mark.parametrize("family", STOCK)
def test_positions_equal_the_model(family: str, models: dict[str, Path], mixed: Path) -> None:
    """A padded batch of pictures, text and videos, in every family's own way of counting."""
    dataset = open_set(models[family], mixed)
    samples = [dataset[i] for i in range(len(dataset))]
    batch = Collator(dataset.processor)(samples)
    model = load_checked(models[family])
    keys = ("input_ids", "mm_token_type_ids", "image_grid_thw", "video_grid_thw", "attention_mask")
    seconds = torch.tensor([value for sample in samples for value in sample["video_seconds"]])
    expected, _ = model.model.get_rope_index(
        **{key: batch[key] for key in keys}, second_per_grid_ts=seconds
    )
    assert torch.equal(batch["position_ids"], expected)
    assert dataset.lengths() == [len(sample["input_ids"]) for sample in samples]
    assert all(dataset.length_bound(i) >= n for i, n in enumerate(dataset.lengths()))


@pytest.mark.parametrize("family", STOCK)
def test_videos_see_no_neighbours(family: str, models: dict[str, Path], mixed: Path) -> None:
    dataset = open_set(models[family], mixed)
    pack, collate = PackCollator(dataset.processor), Collator(dataset.processor)
    model = load_checked(models[family], dtype=torch.float32).eval()
    samples = [dataset[i] for i in range(len(dataset))]
    with torch.no_grad():
        packed = model(**pack(samples), use_cache=False).logits[0]
        padded = model(**collate(samples), use_cache=False).logits
        start = 0
        for i, sample in enumerate(samples):
            alone = model(**collate([sample]), use_cache=False).logits[0]
            n = len(sample["input_ids"])
            torch.testing.assert_close(packed[start : start + n], alone[:n], rtol=0, atol=1e-5)
            torch.testing.assert_close(padded[i, :n], alone[:n], rtol=0, atol=1e-5)
            start += n


@pytest.mark.parametrize("family", STOCK)
def test_training_loss_is_that_of_the_samples(
    family: str, models: dict[str, Path], mixed: Path, train: Train, tmp_path: Path
) -> None:
    dataset = open_set(models[family], mixed)
    model = load_checked(models[family], dtype=torch.float32).eval()
    total, tokens = 0.0, 0
    for i in range(len(dataset)):
        batch = Collator(dataset.processor)([dataset[i]])
        asked = int((batch["labels"] != IGNORED).sum())
        with torch.no_grad():
            total += float(model(**batch, use_cache=False).loss) * asked
        tokens += asked
    flags = ["--max_steps", "2", "--learning_rate", "0", *FLAGS]
    for name, way in (
        ("packed", ["--packing", "true", "--tokens_per_batch", "4096"]),
        ("padded", ["--per_device_train_batch_size", "8"]),
    ):
        run = train(tmp_path / name, *flags, *way, model=models[family], rows=mixed)
        assert losses(run) == pytest.approx([total / tokens] * 2, abs=1e-5)
    record = json.loads((run / "run.json").read_text())
    assert record["settings"]["video_max_frames"] == 8
    assert record["video_budget"] == vars(BUDGET)


def test_the_vision_tower_learns_from_videos_alone(
    models: dict[str, Path], mixed: Path, train: Train, tmp_path: Path
) -> None:
    """The watch stops a run whose tower gets no gradient; and the loss goes down."""
    rows = [row for row in json.loads(mixed.read_text()) if row.get("video") == ["frames"]]
    path = write_rows(tmp_path, rows)
    flags = [*LORA, *FLAGS, "--image_folder", str(mixed.parent), "--max_steps", "4"]
    run = train(tmp_path / "run", *flags, model=models["qwen2_5_vl"], rows=path)
    assert losses(run)[-1] < losses(run)[0]


@pytest.mark.parametrize("family", STOCK)
def test_answers_do_not_depend_on_the_batch(
    family: str, models: dict[str, Path], mixed: Path
) -> None:
    dataset = open_set(models[family], mixed)
    model = load_checked(models[family], dtype=torch.float32).eval()
    rows = list(range(len(dataset)))
    assert answer(model, dataset, rows, 4, 5) == answer(model, dataset, rows, 4, 1)


def test_a_video_costs_what_its_frames_cost(models: dict[str, Path], mixed: Path) -> None:
    dataset = open_set(models["qwen2_5_vl"], mixed)
    note = Noted(Collator(dataset.processor))([dataset[2]])["note"]
    assert note.grids == dataset[2]["video_grids"]
    (t, h, w) = note.grids[0]
    cost = training_cost(load_checked(models["qwen2_5_vl"]))
    apart = Noted(Collator(dataset.processor))([{**dataset[2], "video_grids": [(1, h, w)] * t}])
    assert t > 1
    assert cost(note) == pytest.approx(cost(apart["note"]))


def test_a_budget_of_pixels_is_kept(models: dict[str, Path]) -> None:
    for family, folder in models.items():
        videos = load_processor(folder, budget=BUDGET).videos
        for clip in (Clip(2, 30, 640, 480), Clip(9000, 30, 480, 640), Clip(77, 24, 29, 28)):
            layout = videos.layout(clip)
            t, h, w = layout.grid
            assert t * h * w * 14 * 14 * 2 <= BUDGET.max_pixels * 1.25, (family, clip)
            assert sum(layout.blocks) == t * h * w // 4
            assert len(layout.frames) <= BUDGET.max_frames
        assert videos.layout(Clip(1, 30, 640, 480)).frames == [0, 0]


@needs_av
def test_frames_are_counted_where_the_header_does_not_say(tmp_path: Path) -> None:
    """Matroska has no number of frames in its header; and a frame is the one asked for."""
    write_mp4(tmp_path / "clip.mkv", drawn_frames(width=132, height=98))
    assert read_clip(tmp_path / "clip.mkv", 2) == Clip(FRAMES, FPS, 132, 98)
    every = list(read_frames(tmp_path / "clip.mkv", range(FRAMES)))
    some = list(read_frames(tmp_path / "clip.mkv", [0, 7, 7, FRAMES - 1]))
    for frame, number in zip(some, (0, 7, 7, FRAMES - 1), strict=True):
        assert np.array_equal(frame, every[number])
        drawn = np.asarray(drawn_frames(width=132, height=98)[number]).astype(int)
        assert abs(frame - drawn).mean() < 40 < abs(every[(number + 10) % FRAMES] - drawn).mean()


# ---- what goes wrong ----


def asked(question: str) -> list[dict[str, str]]:
    return [{"from": "human", "value": question}, {"from": "gpt", "value": "This."}]


def video_row(name: str) -> dict[str, Any]:
    return {"id": name, "video": name, "conversations": asked("<video>\nWhat?")}


def test_a_missing_package_is_named_before_training(
    models: dict[str, Path], clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(video, "find_spec", lambda name: None)
    (tmp_path / "clip.mp4").write_bytes(b"")
    path = write_rows(tmp_path, [video_row("clip.mp4")])
    with pytest.raises(DataError, match=r"row 0 .*clip.mp4 needs the package av.*pip install av"):
        open_set(models["qwen2_5_vl"], path)
    for name in ("clip.gif", "frames"):  # need nothing
        path = write_rows(clips, [video_row(name)], "one.json")
        assert len(open_set(models["qwen2_5_vl"], path)[0]["video_pixels"]) == 1


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"video": "none.gif"}, "none.gif is missing"),
        ({"video": "../x.gif"}, "outside of the image folder"),
        ({"video": [3]}, '"video" must be a path or a list of paths'),
        ({"video": ["clip.gif"] * 2}, "found 1 <video> for 2 videos"),
        ({"conversations": asked("<image>\nWhat?")}, "found 0 <video> for 1 videos"),
        ({"conversations": asked("<video><|video_pad|>")}, "control token .*; write <video>"),
    ],
)
def test_faulty_video_rows_are_named(
    change: dict[str, Any], words: str, models: dict[str, Path], clips: Path
) -> None:
    path = write_rows(clips, [{**video_row("clip.gif"), **change}], "faulty.json")
    with pytest.raises(DataError, match=words):
        open_set(models["qwen2_5_vl"], path)


def test_a_template_without_videos_is_refused(nano: Path, clips: Path) -> None:
    path = write_rows(clips, [video_row("clip.gif")], "template.json")
    with pytest.raises(UserError, match=r"chat template writes no <\|video_pad\|>"):
        open_set(nano, path)


def test_flags_are_checked(train: Train, tmp_path: Path) -> None:
    flags = "--video_fps 0 --video_min_frames 9 --video_max_frames 8 --video_max_pixels 100"
    with pytest.raises(UserError) as error:
        train(tmp_path / "run", *flags.split())
    for words in ("--video_fps 0", "frames 9 is more than --video_max", "pixels 100: expected at"):
        assert words in str(error.value)


def test_weights_shared_out_are_refused_with_videos(
    models: dict[str, Path], mixed: Path, train: Train, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match="videos with FSDP or ZeRO-3"):
        train(tmp_path / "run", "--fsdp", "true", model=models["qwen2_5_vl"], rows=mixed)


def test_rewards_are_for_pictures(models: dict[str, Path], mixed: Path, tmp_path: Path) -> None:
    pytest.importorskip("trl")
    from qwen_vl_finetune.grpo import main

    words = [
        "--model_id",
        str(models["qwen2_5_vl"]),
        "--data_path",
        str(mixed),
        "--use_cpu",
        "true",
    ]
    words += ["--reward", "builtins:print", "--num_generations", "2", "--output_dir", str(tmp_path)]
    with pytest.raises(UserError, match=r"train.json holds videos; rewards are for pictures"):
        main([*words, *LORA])


def damage(folder: Path, kind: str) -> str:
    """A video that can't be read: no header, or cut off behind it."""
    name = {"gif": "bad.gif", "empty": "empty", "frame": "odd", "mp4": "bad.mp4"}[kind]
    if kind in ("empty", "frame"):
        (folder / name).mkdir()
    if kind == "frame":
        for i, size in enumerate([(56, 56), (28, 28), (56, 56), (56, 56)]):
            Image.new("RGB", size).save(folder / name / f"{i}.png")
    if kind == "gif":
        (folder / name).write_bytes(b"GIF89a")
    if kind == "mp4":
        write_mp4(folder / "whole.mp4", drawn_frames(width=132, height=98))
        (folder / name).write_bytes((folder / "whole.mp4").read_bytes()[:9000])
    return name


@pytest.mark.parametrize("kind", ["gif", "empty", "frame", pytest.param("mp4", marks=needs_av)])
def test_a_bad_video_is_named(kind: str, models: dict[str, Path], tmp_path: Path) -> None:
    name = damage(tmp_path, kind)
    path = write_rows(tmp_path, [video_row(name)])
    with pytest.raises(DataError, match=rf"row 0 .*: video .*{name} can't be read"):
        open_set(models["qwen2_5_vl"], path)[0]
    dataset = open_set(models["qwen2_5_vl"], path, skip_bad_images=True)
    assert name in dataset[0]["problem"]
    assert (dataset[0]["labels"] == IGNORED).all()
    assert dataset.length(0) == len(dataset[0]["input_ids"])


def test_bad_videos_are_skipped_and_listed(
    models: dict[str, Path], train: Train, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = mixed_rows(tmp_path)
    rows += [video_row(damage(tmp_path, kind)) for kind in ("gif", "frame")]
    path = write_rows(tmp_path, rows)
    flags = [*LORA, *FLAGS, "--image_cache", str(tmp_path / "cache"), "--skip_bad_images", "true"]
    flags += ["--eval_path", str(write_rows(tmp_path, rows[3:], "eval.json"))]
    packing = ["--packing", "true", "--tokens_per_batch", "1024", "--max_steps", "2"]
    run = train(tmp_path / "run", *flags, *packing, model=models["qwen2_5_vl"], rows=path)
    record = json.loads((run / "run.json").read_text())
    assert record["data"]["dropped"] == {"unreadable picture": 2}
    lines = map(json.loads, (run / "skipped.jsonl").read_text().splitlines())
    assert {line["row"] for line in lines} == {5, 6}
    assert capsys.readouterr().out.count("left out: ") == 2  # of the rows to evaluate on
    assert len(list((tmp_path / "cache").rglob("*.npy"))) == 2  # pictures only


def test_the_plan_counts_videos(
    models: dict[str, Path], mixed: Path, train: Train, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    model = models["qwen3_vl"]
    train(tmp_path / "run", "--dry_run", "true", *FLAGS, model=model, rows=mixed)
    assert f"rows of {sum(open_set(model, mixed).lengths()):,} tokens" in capsys.readouterr().out
    with pytest.raises(UserError, match="--video_max_pixels"):
        train(tmp_path / "run", *FLAGS, "--max_seq_length", "40", model=model, rows=mixed)
