"""How well nano reads, what it was shown, which shape of it learns best."""
