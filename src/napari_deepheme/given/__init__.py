"""What other programs give us: regions someone drew, cells someone else found."""

from napari_deepheme.given.cells import read_cells
from napari_deepheme.given.regions import read_regions

__all__ = ["read_cells", "read_regions"]
