"""The detector's training: random subjects, drawn on the spot, and the losses."""
