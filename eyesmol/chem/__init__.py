"""The language of molecules: graphs, molfiles, labels and SMILES. It imports nothing of ours."""
