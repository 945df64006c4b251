"""What asks for CUDA on a machine that has none."""

from __future__ import annotations

import os
from typing import Any

import torch

# flags that make sense on a GPU only, and what to do without one
WANTS_CUDA = {
    "bf16": "--use_cpu true if bf16 on this processor is what you want",
    "fp16": "processors have no fast fp16; leave it out",
    "tf32": "a format of NVIDIA's GPUs; leave it out",
    "use_liger": "its kernels are written for GPUs; leave it out",
    **dict.fromkeys(
        ("torch_compile", "torch_compile_backend", "torch_compile_mode"),
        "here each new length of batch is compiled for minutes; leave it out",
    ),
}


def cuda_problems(values: dict[str, Any]) -> list[str]:
    """What asks for CUDA where there is none.

    Args:
        values: flags by name, before stock has parsed them: it would refuse some in other words.
    """
    if torch.cuda.is_available() or torch.backends.mps.is_available():
        return []
    on_cpu = bool(values.get("use_cpu"))
    asked = [
        f"--{name}: {reason}"
        for name, reason in WANTS_CUDA.items()
        if values.get(name) and not (name == "bf16" and on_cpu)
    ]
    devices = os.environ.get("CUDA_VISIBLE_DEVICES")
    if devices and devices != "-1" and not on_cpu:
        asked.append(f"CUDA_VISIBLE_DEVICES={devices}: --use_cpu true trains without a GPU")
    if not asked:
        return []
    build = f"torch {torch.__version__} was built for CUDA {torch.version.cuda or '(none)'}"
    found = f"no CUDA device was found ({build}; does nvidia-smi list one?)"
    return [f"{found}, but these ask for one: {'; '.join(asked)}"]
