"""What a model writes: the text of an answer, its grammar, and how sure its tokens are."""
