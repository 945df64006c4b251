"""Drawings of molecules become LLaVA JSON with images: see `python -m data_preprocess --help`."""
