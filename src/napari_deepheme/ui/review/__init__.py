"""Looking through classified cells and correcting them, with a key for each class."""
