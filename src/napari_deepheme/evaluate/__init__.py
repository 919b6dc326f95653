"""A model against the truth, against raters, and on another laboratory's cells."""
