"""From labelled crops to the members of an ensemble."""
