"""The dataset folder: written, read, checked, previewed, described."""
