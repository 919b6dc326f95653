"""An analysis as tables and pictures: CSV, GeoJSON, Parquet, PNG."""

from napari_deepheme.export.counts import differential
from napari_deepheme.export.files import check_folder, is_cells_csv, read_cells_csv, write_csv
from napari_deepheme.export.formats import Format, export_cells
from napari_deepheme.export.picture import write_picture
from napari_deepheme.export.table import cells_table

__all__ = [
    "Format",
    "cells_table",
    "check_folder",
    "differential",
    "export_cells",
    "is_cells_csv",
    "read_cells_csv",
    "write_csv",
    "write_picture",
]
