"""Labelled cells and fields: folders, tables, classes, splits, duplicates. No torch here."""
