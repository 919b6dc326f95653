"""Where the nucleated cells are."""
