"""What other programs give us: regions someone drew, cells someone else found."""

from napari_deepheme.given.cells import read_cells
from napari_deepheme.given.regions import check_on_slide, read_regions

__all__ = ["check_on_slide", "read_cells", "read_regions"]
