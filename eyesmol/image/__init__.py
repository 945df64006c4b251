"""Images of molecules: loading, the pixel frame, ink, the structures on a page, overlays."""
