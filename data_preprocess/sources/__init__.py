"""Where molecules come from: files, the enumeration of small ones, random ones."""
