"""The published EyesMol dataset, brought into this project's form."""
