"""What the model is asked about an image, and the form of its answer: both stand here only.

Changing a word changes `QUESTION`, which is stored with every answer.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from pydantic import BaseModel, Field

__all__ = ["ANSWER_SCHEMA", "PROMPT", "QUESTION", "PictureDescription"]

PROMPT = (
    "This picture shows the structural formula of a molecule. Describe what is drawn, for a "
    "reader who cannot see it. Say only what the picture shows: no names of compounds, uses or "
    "properties that are known from elsewhere."
)


class PictureDescription(BaseModel):
    """The answer; the descriptions of the fields are part of the question."""

    description: str = Field(
        min_length=1,
        description="Three to six sentences: the skeleton and how it lies in the picture, then "
        "what is attached to it and where, then stereo bonds, charges and separate fragments.",
    )
    rings: list[str] = Field(
        description="Each ring or fused ring system, from left to right, such as 'benzene' or "
        "'five-membered ring with one nitrogen'; empty if there is none."
    )
    functional_groups: list[str] = Field(
        description="Each functional group, from left to right; empty if there is none."
    )
    labels: list[str] = Field(
        description="Each text label as it is written, such as 'OMe', 'NH2' or 'R1', from left to "
        "right; empty if there is none."
    )

    def text(self) -> str:
        """The fields as plain text, for `Compound.visual_description`."""
        lists = {
            "Rings": self.rings,
            "Functional groups": self.functional_groups,
            "Labels": self.labels,
        }
        lines = [f"{name}: {'; '.join(items)}." for name, items in lists.items() if items]
        return "\n".join([self.description.strip(), *lines])


ANSWER_SCHEMA: dict[str, Any] = PictureDescription.model_json_schema()

QUESTION = hashlib.sha256(f"{PROMPT}\n{json.dumps(ANSWER_SCHEMA)}".encode()).hexdigest()[:12]
