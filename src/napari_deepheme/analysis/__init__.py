"""A slide and a model to an analysis: prepare, locate, classify, commit."""
