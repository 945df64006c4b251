"""Catalogues of compounds and of charts: Parquet tables with images beside them."""
