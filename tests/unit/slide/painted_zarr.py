"""Painted OME-Zarr folders, written with zarr."""

from __future__ import annotations

import numpy as np
import zarr

AXES = tuple("tczyx")
UNIT = {"y": "nanometer", "x": "micrometer"}


def write_image(group, levels, axes=AXES, name="", version="0.5", scale=(250.0, 0.25), **options):
    """Arrays and attributes of one image; ``levels`` are RGB pictures (h, w, 3)."""
    datasets = []
    for number, pixels in enumerate(levels):
        order = [axis for axis in axes if axis in "cyx"]
        stored = pixels.transpose([{"y": 0, "x": 1, "c": 2}[axis] for axis in order])
        shape = tuple(stored.shape[order.index(axis)] if axis in order else 1 for axis in axes)
        chunks = tuple({"y": 128, "x": 96}.get(axis, 1) for axis in axes)
        keys = {"chunk_key_encoding": {"name": "v2", "separator": "/"}} if version == "0.4" else {}
        group.create_array(
            str(number), shape=shape, dtype=stored.dtype, **{"chunks": chunks, **keys, **options}
        )[:] = stored.reshape(shape)
        down = levels[0].shape[0] / pixels.shape[0]
        by_axis = {"y": scale[0] * down, "x": scale[1] * down}
        steps = [{"type": "scale", "scale": [by_axis.get(axis, 1.0) for axis in axes]}]
        datasets.append({"path": str(number), "coordinateTransformations": steps})
    multiscale = {
        "name": name,
        "axes": [{"name": axis, "unit": UNIT[axis]} if axis in UNIT else {"name": axis} for axis in axes],
        "datasets": datasets,
    }
    if version == "0.5":
        group.attrs["ome"] = {"version": "0.5", "multiscales": [multiscale]}
    else:
        group.attrs["multiscales"] = [{"version": "0.4", **multiscale}]


def write_zarr(path, *levels, version="0.5", **options):
    """An OME-Zarr of one image."""
    root = zarr.create_group(path, zarr_format=3 if version == "0.5" else 2)
    write_image(root, levels, version=version, **options)
    return path


def write_several(path, *images):
    """What bioformats2raw writes: numbered images, (name, levels)."""
    root = zarr.create_group(path, zarr_format=2)
    root.attrs["bioformats2raw.layout"] = 3
    for number, (name, levels) in enumerate(images):
        write_image(root.create_group(str(number)), levels, name=name, version="0.4")
    return path


def halves(pixels, n):
    """A pyramid of every second pixel."""
    return [np.ascontiguousarray(pixels[:: 2**level, :: 2**level]) for level in range(n)]
