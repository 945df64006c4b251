"""How well a reader reads: gold, predictions, metrics, error analysis, reports, rewards."""
