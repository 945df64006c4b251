"""Videos: which frames are taken, how large they become, and how they are told to the model.

Frames, sizes, shades, text and positions are those of the stock video processors (tested against
them). Their classes need torchvision, whose builds often do not fit the torch that is installed;
what they ask of it is torch's own antialiased resizing, which is called here instead. PyAV decodes
files; an animated picture (GIF, WebP, APNG) and a folder of frames need Pillow only.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, ImageSequence
from torch.nn.functional import interpolate
from transformers import MODEL_MAPPING, AutoConfig
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import smart_resize as picture_size

from .model_folder import read_json

VIDEO_PAD = "<|video_pad|>"
FRAME = "<{:.1f} seconds><|vision_start|><|video_pad|><|vision_end|>"  # how Qwen3-VL tells time
ANIMATED = {".gif", ".webp", ".png", ".apng"}
STILLS = {".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp"}
MODES = {Image.Resampling.BICUBIC: "bicubic", Image.Resampling.BILINEAR: "bilinear"}

Frame = npt.NDArray[np.uint8]  # [height, width, 3]


@dataclass(frozen=True)
class VideoBudget:
    """How much of a video is taken.

    Attributes:
        fps: frames a second.
        min_frames: the fewest frames, where the video has as many.
        max_frames: the most frames.
        max_pixels: the most pixels of all resized frames together; a token stands for
            28 x 28 pixels of two frames, so these are 4,096 tokens.
    """

    fps: float = 2.0
    min_frames: int = 4
    max_frames: int = 768
    max_pixels: int = 4096 * 2 * 28 * 28


@dataclass(frozen=True)
class Clip:
    """What a video's header says: its number of `frames`, `fps`, `width` and `height` in pixels."""

    frames: int
    fps: float
    width: int
    height: int


@dataclass(frozen=True)
class VideoLayout:
    """What a video becomes.

    Attributes:
        frames: which frames are taken, in order; a frame may come twice.
        grid: its patch grid (t, h, w), two frames being one step in time.
        text: what stands in the prompt in place of one video token.
        blocks: how many tokens each video token in `text` becomes.
        seconds: how long one step in time takes.
    """

    frames: list[int]
    grid: tuple[int, int, int]
    text: str
    blocks: list[int]
    seconds: float


# ---- files ----


def missing_package(path: Path) -> str | None:
    """What has to be installed to read a video, in words, or None."""
    if path.is_dir() or path.suffix.lower() in ANIMATED or find_spec("av"):
        return None
    return (
        "needs the package av, which is not installed: pip install av (or -e '.[video]'); an "
        "animated GIF, and a folder of frames, need none"
    )


def read_clip(path: Path, fps: float) -> Clip:
    """A video's header; raises what Pillow raises, or ValueError.

    Args:
        path: a video, an animated picture, or a folder of frames in the order of their names.
        fps: taken for granted of a folder of frames.
    """
    if path.is_dir():
        stills = _stills(path)
        with Image.open(stills[0]) as image:
            return Clip(len(stills), fps, *image.size)
    if path.suffix.lower() in ANIMATED:
        with Image.open(path) as image:
            times = [frame.info.get("duration", 0) for frame in ImageSequence.Iterator(image)]
            seconds = sum(times) / 1000 or len(times) / 10  # as browsers show those without times
            return Clip(len(times), len(times) / seconds, *image.size)
    with _container(path) as container:
        stream = container.streams.video[0]
        # not every container says how many frames it holds
        frames = stream.frames or sum(packet.size > 0 for packet in container.demux(stream))
        if not frames or not stream.average_rate:
            raise ValueError("no frame in it")
        return Clip(frames, float(stream.average_rate), stream.width, stream.height)


def read_frames(path: Path, wanted: Sequence[int]) -> Iterator[Frame]:
    """The wanted frames (ascending numbers) one by one; raises as `read_clip` does."""
    if path.is_dir():
        stills = _stills(path)
        for number in wanted:
            with Image.open(stills[number]) as image:
                yield np.asarray(image.convert("RGB"))
    elif path.suffix.lower() in ANIMATED:
        with Image.open(path) as image:
            for frame in _chosen(ImageSequence.Iterator(image), wanted):
                yield np.asarray(frame.convert("RGB"))
    else:
        with _container(path) as container:
            for frame in _chosen(container.decode(video=0), wanted):
                yield frame.to_ndarray(format="rgb24")


def _stills(folder: Path) -> list[Path]:
    stills = sorted(path for path in folder.iterdir() if path.suffix.lower() in STILLS)
    if not stills:
        raise ValueError("the folder holds no picture")
    return stills


def _chosen(frames: Iterator[Any], wanted: Sequence[int]) -> Iterator[Any]:
    number, found = -1, None
    for want in wanted:
        while number < want:
            found = next(frames, None)
            if found is None:
                raise ValueError(f"it ends after {number + 1} frames, before frame {want}")
            number += 1
        yield found


@contextmanager
def _container(path: Path) -> Iterator[Any]:
    import av

    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                raise ValueError("no video stream in it")
            yield container
    except av.FFmpegError as error:
        raise ValueError(str(error)) from error


# ---- what stock makes of them ----


class VideoProcessor:
    """The video half of a model's processor.

    Args:
        folder: the model folder.
        family: its `model_type`.
        images: the image processor, which cuts the same patches.
        budget: how much of a video is taken.
    """

    def __init__(self, folder: Path, family: str, images: Any, budget: VideoBudget) -> None:
        self.folder, self.budget = folder, budget
        self.tells_time = family == "qwen3_vl"  # in words, before each step in time
        self.wants_seconds = family == "qwen2_5_vl"  # in its positions
        self.patch, self.merge = int(images.patch_size), int(images.merge_size)
        self.step = int(images.temporal_patch_size)
        names = ("resample", "rescale_factor", "image_mean", "image_std")
        settings = {**{name: getattr(images, name) for name in names}, **_settings(folder)}
        self.mode = MODES[Image.Resampling(int(settings["resample"]))]
        scale = 1 / settings["rescale_factor"]  # folded into mean and deviation, as stock does
        mean, deviation = (
            torch.tensor(settings[name])[:, None] * scale for name in ("image_mean", "image_std")
        )
        self.pixel_table = ((torch.arange(256.0) - mean) / deviation).numpy()

    def layout(self, clip: Clip) -> VideoLayout:
        """What a video becomes; raises ValueError at shapes that stock refuses."""
        frames = self.choose_frames(clip)
        height, width = self.frame_size(clip, len(frames))
        grid = (-(-len(frames) // self.step), height // self.patch, width // self.patch)
        a_step = grid[1] * grid[2] // self.merge**2
        text, blocks = VIDEO_PAD, [grid[0] * a_step]
        if self.tells_time:
            text = "".join(FRAME.format(time) for time in self._times(frames, clip.fps))
            blocks = [a_step] * grid[0]
        seconds = self.step * clip.frames / (len(frames) * clip.fps)
        return VideoLayout(frames, grid, text, blocks, seconds)

    def choose_frames(self, clip: Clip) -> list[int]:
        """The frames that stock's `sample_frames` takes."""
        total, budget = clip.frames, self.budget
        if total < self.step:
            return [0] * self.step
        count = max(total / clip.fps * budget.fps, budget.min_frames)
        if self.tells_time:
            number = min(int(count), budget.max_frames, total)
            found = np.linspace(0, total - 1, number).round()
        else:
            number = int(min(count, budget.max_frames, total) // self.step * self.step)
            found = torch.arange(0, total, total / number)[:number].numpy()
        return [int(frame) for frame in found]

    def frame_size(self, clip: Clip, count: int) -> tuple[int, int]:
        """Height and width of each of `count` resized frames: at least a token, never over budget
        but for that."""
        factor, most = self.patch * self.merge, self.budget.max_pixels
        least = factor * factor
        if self.tells_time:  # counts the pixels of all frames together
            from transformers.models.qwen3_vl.video_processing_qwen3_vl import smart_resize

            return smart_resize(
                num_frames=count, height=clip.height, width=clip.width, temporal_factor=self.step,
                factor=factor, min_pixels=least, max_pixels=max(most, least),
            )  # fmt: skip
        size: tuple[int, int] = picture_size(
            clip.height, clip.width, factor, min_pixels=least, max_pixels=max(most // count, least)
        )
        return size

    def _times(self, frames: list[int], fps: float) -> list[float]:
        """The middle of each step, in seconds."""
        padded = frames + frames[-1:] * (-len(frames) % self.step)
        ends = zip(padded[:: self.step], padded[self.step - 1 :: self.step], strict=True)
        return [(first / fps + last / fps) / 2 for first, last in ends]

    def patches(self, path: Path, layout: VideoLayout, clip: Clip) -> npt.NDArray[np.uint8]:
        """The patches of a video, [patches, 3, t, p, p]; raises as `read_clip` does.

        Frames are resized as they come, so that no more than one is held at its full size.
        """
        steps, rows, columns = layout.grid
        m, p, t = self.merge, self.patch, self.step
        video = np.empty((steps * t, 3, rows * p, columns * p), dtype=np.uint8)
        for place, frame in enumerate(read_frames(path, layout.frames)):
            if frame.shape[:2] != (clip.height, clip.width):
                raise ValueError(
                    f"frame {layout.frames[place]} is {frame.shape[1]} x {frame.shape[0]}, "
                    f"expected {clip.width} x {clip.height}"
                )
            video[place] = self._resized(frame, (rows * p, columns * p))
        video[len(layout.frames) :] = video[len(layout.frames) - 1]
        blocks = video.reshape(steps, t, 3, rows // m, m, p, columns // m, m, p)
        return np.ascontiguousarray(
            blocks.transpose(0, 3, 6, 4, 7, 2, 1, 5, 8).reshape(-1, 3, t, p, p)
        )

    def _resized(self, frame: Frame, size: tuple[int, int]) -> npt.NDArray[np.uint8]:
        image = torch.from_numpy(frame.copy()).permute(2, 0, 1)[None].contiguous()
        if image.shape[-2:] != size:
            image = interpolate(image, size, mode=self.mode, antialias=True, align_corners=False)
        resized: npt.NDArray[np.uint8] = image[0].numpy()
        return resized

    @property
    def stand_in(self) -> VideoLayout:
        """The layout of a single token, for a video whose header can't be read."""
        side = self.patch * self.merge
        return self.layout(Clip(self.step, self.budget.fps, side, side))

    def blank(self, layout: VideoLayout) -> npt.NDArray[np.uint8]:
        """White patches in place of a video that can't be read."""
        t, h, w = layout.grid
        return np.full((t * h * w, 3, self.step, self.patch, self.patch), 255, dtype=np.uint8)

    # ---- positions ----

    @functools.cached_property
    def _rope_index(self) -> Callable[..., tuple[torch.Tensor, torch.Tensor]]:
        """The model's own `get_rope_index`, without the model: it only reads the configuration.

        What it does with videos has changed between versions, and training must do what the
        installed one does.
        """
        config = AutoConfig.from_pretrained(self.folder)
        model = MODEL_MAPPING[type(config)]
        shell = SimpleNamespace(config=config)
        shell.get_vision_position_ids = functools.partial(model.get_vision_position_ids, shell)
        return functools.partial(model.get_rope_index, shell)

    def positions(
        self,
        ids: npt.NDArray[np.int64],
        types: npt.NDArray[np.int64],
        pictures: Sequence[tuple[int, int, int]],
        videos: Sequence[VideoLayout],
    ) -> npt.NDArray[np.int64]:
        """M-RoPE positions [3, S] of a sample with videos.

        Args:
            ids: [S], token ids.
            types: [S], 1 for tokens of pictures, 2 for those of videos, else 0.
            pictures: patch grids (t, h, w) of the pictures, in order.
            videos: the videos, in order.
        """
        seconds = {}
        if self.wants_seconds:
            seconds["second_per_grid_ts"] = torch.tensor([video.seconds for video in videos])
        found, _ = self._rope_index(
            input_ids=torch.from_numpy(ids)[None],
            mm_token_type_ids=torch.from_numpy(types)[None],
            image_grid_thw=torch.tensor(pictures) if pictures else None,
            video_grid_thw=torch.tensor([video.grid for video in videos]),
            **seconds,
        )
        positions: npt.NDArray[np.int64] = found[:, 0].numpy()
        return positions


def _settings(folder: Path) -> dict[str, Any]:
    """What a model folder says of videos apart from pictures, if anything."""
    if (folder / "video_preprocessor_config.json").is_file():
        settings = read_json(folder / "video_preprocessor_config.json")
    elif (folder / "processor_config.json").is_file():
        settings = read_json(folder / "processor_config.json").get("video_processor")
    else:
        settings = None
    return settings if isinstance(settings, dict) else {}
