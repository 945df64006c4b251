"""Fine-tune a Qwen-VL model on LLaVA JSON. Run with --help to see every flag.

python train_sft.py --config ../configs/instruction.yaml --model_id BASE --data_path train.json
torchrun --nproc_per_node 4 train_sft.py ...      deepspeed train_sft.py --deepspeed zero2.json
"""

from qwen_vl_finetune.errors import entry_point
from qwen_vl_finetune.train import main

if __name__ == "__main__":
    entry_point(main)()
