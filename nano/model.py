"""How nano, a small Qwen2.5-VL, is made from its configuration, and made wider.

`create_nano` makes one with random weights, to train, and `widen_nano` a wider one that says what a
narrow one says. Both are plain Hugging Face model folders (weights, tokenizer, processor, chat
template) that stock transformers loads. How the one that comes with EyesMol was trained:
``scripts/train_nano.sh`` and ``docs/nano.md``.
"""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from eyesmol.answer.text import BOND_SIGNS, AnswerForm, prompt
from eyesmol.image.pixel_frame import PixelFrame

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedTokenizerBase, Qwen2_5_VLConfig

__all__ = ["create_nano", "widen_nano"]

_SPECIAL = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|image_pad|>",
    "<|video_pad|>",
)

# Qwen's conversation format, without its default system message.
_CHAT_TEMPLATE = """\
{%- for message in messages -%}
<|im_start|>{{ message.role }}
{% if message.content is string -%}
{{ message.content }}
{%- else -%}
{%- for part in message.content -%}
{%- if part.type == 'image' -%}<|vision_start|><|image_pad|><|vision_end|>
{%- elif part.type == 'text' -%}{{ part.text }}
{%- endif -%}
{%- endfor -%}
{%- endif -%}<|im_end|>
{% endfor -%}
{%- if add_generation_prompt -%}<|im_start|>assistant
{% endif -%}
"""


def create_nano(
    folder: Path | str,
    *,
    seed: int = 0,
    width: int = 96,
    layers: int = 3,
    frame: PixelFrame | None = None,
    texts: Iterable[str] = (),
) -> Path:
    """Write a small Qwen2.5-VL with random weights into a folder; about a million parameters.

    Args:
        folder: where to; made if need be.
        seed: of the weights.
        width: of both the vision tower and the language model; a multiple of 32 (one head each).
        layers: of each.
        frame: the pixel budget that goes into the processor; one picture of 112 x 112 by default.
        texts: words that the tokenizer learns besides the prompts of the chain of thought.

    Returns:
        The folder.
    """
    import torch
    from transformers import GenerationConfig, Qwen2_5_VLForConditionalGeneration

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    frame = frame or PixelFrame(112 * 112, 112 * 112)
    # A picture of twice the mean side is as long as most get; longer places cost two tokens.
    tokenizer = _tokenizer(texts, longest_side=2 * math.isqrt(frame.max_pixels))
    config = _config(tokenizer, width, layers)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = Qwen2_5_VLForConditionalGeneration(config)
    model.generation_config = GenerationConfig(
        eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id, do_sample=False
    )
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    _write_image_processor(folder, frame)
    return folder


def widen_nano(source: Path | str, folder: Path | str, width: int, *, seed: int = 0) -> Path:
    """Write a wider model that answers just as a narrow one does, and has more to learn with.

    What is new reads from everywhere, by random weights, and writes nothing yet: weights into the
    residual stream are zero where they are new (after Net2Net, Chen et al., arXiv 1511.05641).

    Args:
        source: a folder of `create_nano`, trained or not.
        folder: where to; made if need be.
        width: a multiple of 32, more than the source's.
        seed: of the random weights.

    Returns:
        The folder.

    Raises:
        ValueError: a width that is not more.
    """
    import torch
    from transformers import AutoTokenizer, Qwen2_5_VLForConditionalGeneration

    narrow = Qwen2_5_VLForConditionalGeneration.from_pretrained(source, dtype=torch.float32)
    text = narrow.config.get_text_config()
    if width <= text.hidden_size:
        raise ValueError(f"width {width}: {source} is {text.hidden_size} wide; expected more")
    config = _config(AutoTokenizer.from_pretrained(source), width, text.num_hidden_layers)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        wide = Qwen2_5_VLForConditionalGeneration(config)
    weights = wide.state_dict()
    for name, known in narrow.state_dict().items():
        weights[name].copy_(_widened(name, known, weights[name]))
    wide.generation_config = narrow.generation_config
    shutil.copytree(
        source, folder, ignore=shutil.ignore_patterns("*.safetensors"), dirs_exist_ok=True
    )
    wide.save_pretrained(folder)
    return Path(folder)


_INTO_THE_STREAM = (
    "embed_tokens", "o_proj", "down_proj", "attn.proj", "patch_embed.proj", "merger.mlp.2",
)  # fmt: skip


def _widened(name: str, known: Tensor, fresh: Tensor) -> Tensor:
    """A weight of the wide model: the narrow one's in a corner of each of its blocks."""
    if known.ndim == 1 and not name.endswith("bias"):  # of a norm, which divides by the mean square
        wide = known.mean().expand(fresh.shape).clone()
        wide[: len(known)] = known
        return wide * math.sqrt(len(known) / len(fresh))
    is_silent = name.endswith("bias") or any(part in name for part in _INTO_THE_STREAM)
    wide = fresh.new_zeros(fresh.shape) if is_silent else fresh.clone()
    rows = 3 if ".qkv." in name else 1  # queries, keys, values
    columns = 4 if name.endswith("merger.mlp.0.weight") else 1  # the patches of an image token

    def blocks(weight: Tensor) -> Tensor:
        weight = weight.unflatten(0, (rows, -1))
        return weight.unflatten(2, (columns, -1)) if weight.ndim > 2 else weight

    inside = blocks(known)
    blocks(wide)[tuple(slice(length) for length in inside.shape)] = inside
    return wide


def _config(tokenizer: PreTrainedTokenizerBase, width: int, layers: int) -> Qwen2_5_VLConfig:
    from transformers import Qwen2_5_VLConfig

    if width < 32 or width % 32:
        raise ValueError(f"width {width}: expected a multiple of 32, the size of one head")
    token = tokenizer.convert_tokens_to_ids
    # Weights twice as wide as usual: at this size it learns to look at the picture sooner.
    initial = 0.05
    return Qwen2_5_VLConfig(
        text_config={
            "vocab_size": -(-len(tokenizer) // 64) * 64,
            "hidden_size": width,
            "intermediate_size": 3 * width,
            "num_hidden_layers": layers,
            "num_attention_heads": width // 32,
            "num_key_value_heads": width // 32,
            "max_position_embeddings": 8192,
            "initializer_range": initial,
            "rope_parameters": {
                "rope_type": "default",
                "rope_theta": 10_000.0,
                "mrope_section": [4, 6, 6],
            },
            "tie_word_embeddings": True,
            "bos_token_id": None,
            "eos_token_id": tokenizer.eos_token_id,
            "pad_token_id": tokenizer.pad_token_id,
        },
        vision_config={
            "depth": layers,
            "hidden_size": width,
            "intermediate_size": 3 * width,
            "num_heads": width // 32,
            "out_hidden_size": width,
            "initializer_range": initial,
            # Every layer sees the whole picture: windows save nothing on one this small.
            "fullatt_block_indexes": list(range(layers)),
        },
        image_token_id=token("<|image_pad|>"),
        video_token_id=token("<|video_pad|>"),
        vision_start_token_id=token("<|vision_start|>"),
        vision_end_token_id=token("<|vision_end|>"),
        tie_word_embeddings=True,
    )


def _compact_pieces(longest_side: int) -> Iterator[str]:
    """What compact answers are made of, so that a whole atom costs about five tokens."""
    yield from (f"{number} " for number in range(longest_side))  # a coordinate
    yield from (f" {sign}{atom}" for sign in BOND_SIGNS for atom in range(16))  # a bond
    yield from ("Cl", "Br", "Si", "\nsmiles ")


def _tokenizer(texts: Iterable[str], longest_side: int) -> PreTrainedTokenizerBase:
    """Byte-level BPE as Qwen's, with the pieces of compact answers and the prompts as tokens."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import Qwen2Tokenizer

    prompts = [prompt(form) for form in get_args(AnswerForm)]
    words = [
        "user\n",
        "assistant\n",
        "system\n",
        '{"a":"C","id":0,"xy":[0,0]},',
        '"b":1,"a1":0,"a2":1',
    ]
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=512,
        min_frequency=1,
        show_progress=False,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
    )
    bpe.train_from_iterator([*prompts, *words, *texts], trainer)
    state = json.loads(bpe.to_str())["model"]
    tokenizer = Qwen2Tokenizer(
        vocab=state["vocab"],
        merges=[tuple(pair) for pair in state["merges"]],
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        unk_token=None,
        chat_template=_CHAT_TEMPLATE,
        model_max_length=8192,
    )
    tokenizer.add_tokens([AddedToken(name, special=True) for name in _SPECIAL], special_tokens=True)
    # The prompt never changes, so a small model need not spend eighty tokens on it.
    pieces = [*prompts, *_compact_pieces(longest_side)]
    tokenizer.add_tokens([AddedToken(piece, normalized=False) for piece in pieces])
    return tokenizer


def _write_image_processor(folder: Path, frame: PixelFrame) -> None:
    """Qwen's own image processor, named as stock transformers names it.

    White is zero (mean 1, deviation 0.3): paper says nothing, and a small model learns sooner so.
    """
    settings = {
        "image_processor_type": "Qwen2VLImageProcessor",
        "processor_class": "Qwen2_5_VLProcessor",
        "size": {"shortest_edge": frame.min_pixels, "longest_edge": frame.max_pixels},
        "patch_size": 14,
        "temporal_patch_size": 2,
        "merge_size": 2,
        "image_mean": [1.0, 1.0, 1.0],
        "image_std": [0.3, 0.3, 0.3],
        "do_convert_rgb": True,
        "do_resize": True,
        "do_rescale": True,
        "do_normalize": True,
        "rescale_factor": 1 / 255,
        "resample": 3,
    }
    text = json.dumps(settings, indent=2)
    (folder / "preprocessor_config.json").write_text(text + "\n", encoding="utf-8")
