"""Readers of images: a model in this process, one behind a server, many on a cluster."""
