"""What is asked about an image, and the right answer: chain of thought and questions.

A recipe (`data_preprocess.recipes`) says which questions are asked and how often.
"""

from data_preprocess.tasks.short import instruction_turns
from data_preprocess.tasks.turn import Turn, cot_turn

__all__ = ["Turn", "cot_turn", "instruction_turns"]
