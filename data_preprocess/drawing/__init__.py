"""The parts of a drawing: what is drawn, by whom, and what a scanner makes of it.

`style` says how, `depiction` what (abbreviations, R groups, hydrogens, wedges), `rdkit_drawing` and
`indigo_drawing` put it on paper, `surroundings` adds what stands beside it, and `scan` wears the
image down. The entry point is `data_preprocess.drawing.render`.
"""
