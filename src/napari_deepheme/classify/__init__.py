"""Crops to class probabilities: the model bundle and the ensemble that runs it."""
