"""The detector: a small network that looks at the whole image at once and finds its molecule.

It marks every atom, classifies every candidate bond by the features along its line, spells labels,
and needs nothing of the vision-language model.
"""
