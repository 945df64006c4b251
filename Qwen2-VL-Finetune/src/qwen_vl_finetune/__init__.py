"""Fine-tune Qwen-VL models on LLaVA JSON: full, LoRA, QLoRA, and LoRA stacked on frozen LoRA.

The package knows nothing about what the images show. Its entry points lie one folder up:
`train_sft.py`, `train_grpo.py`, `merge_lora_weights.py` and `merge_lora_stack_weights.py`.
"""

import logging

# Where bitsandbytes is installed PEFT imports it, and on a CPU it warns of kernels that only its
# users on Intel's processors would miss.
logging.getLogger("bitsandbytes.backends.cpu.ops").setLevel(logging.ERROR)
