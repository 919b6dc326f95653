"""``python -m napari_deepheme`` is the command line."""

from napari_deepheme.cli import main

if __name__ == "__main__":
    main()
