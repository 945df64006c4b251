"""Every task by its name, which stands in the `task` field of the rows."""

from __future__ import annotations

from data_preprocess.tasks.choices import CHOICES
from data_preprocess.tasks.questions import QUESTIONS
from data_preprocess.tasks.task import Task
from data_preprocess.tasks.unanswerable import UNANSWERABLE

__all__ = ["TASKS"]

TASKS: dict[str, Task] = {**QUESTIONS, **CHOICES, **UNANSWERABLE}
