"""The detector's training: what it sees, and how it learns. Imports eyesmol and data_preprocess."""
