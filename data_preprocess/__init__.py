"""Drawings of molecules become LLaVA JSON with pictures: see `python -m data_preprocess --help`."""
