"""The web page and the small REST API of ``eyesmol serve``: one model, one queue, limits."""
