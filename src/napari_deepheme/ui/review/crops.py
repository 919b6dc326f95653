"""Pictures of cells, read from the slide's file on a thread of their own. No Qt."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from threading import Condition, Thread

from napari_deepheme.errors import DeepHemeError
from napari_deepheme.slide import Slide
from napari_deepheme.slide.planes import Pixels

CROP_PX = 96
"""Side of a crop at the model's µm/px, as the networks see it."""
CONTEXT = 3
"""How many times wider the surroundings are."""
MAX_BYTES = 64 * 2**20
_MOST_WAITING = 400  # of a view that was scrolled past, nobody waits for the rest


@dataclass(frozen=True, slots=True)
class CropRequest:
    """What to read.

    Attributes
    ----------
    y, x : float
        Middle, level-0 pixels.
    wide : bool
        The surroundings too.
    """

    y: float
    x: float
    wide: bool = False

    @property
    def side(self) -> int:
        """Side in pixels."""
        return CROP_PX * (CONTEXT if self.wide else 1)


Crop = Pixels | DeepHemeError
"""RGB pixels, or why there are none."""


class CropReader:
    """Crops of one slide, the newest request read first, the latest used kept.

    Parameters
    ----------
    open_file : callable
        Opens the slide; called once, on the reader's thread, when the first crop is asked for.
    downsample : tuple of float
        Distance (y, x) of the crops' pixels, level-0 pixels.
    on_ready : callable
        Told of each crop that was read, on the reader's thread.
    max_bytes : int
        What the crops that are kept take at most.
    """

    def __init__(
        self,
        open_file: Callable[[], Slide],
        downsample: tuple[float, float],
        on_ready: Callable[[CropRequest], object],
        max_bytes: int = MAX_BYTES,
    ) -> None:
        self._open, self._downsample = open_file, downsample
        self._on_ready, self._max_bytes = on_ready, max_bytes
        self._changed = Condition()
        self._waiting: OrderedDict[CropRequest, None] = OrderedDict()
        self._kept: OrderedDict[CropRequest, Crop] = OrderedDict()
        self._bytes = 0
        self._reading: CropRequest | None = None
        self._closed = False
        self._thread: Thread | None = None

    @property
    def n_bytes(self) -> int:
        """What the crops that are kept take."""
        return self._bytes

    def get(self, request: CropRequest) -> Crop | None:
        """The crop, if it was read; otherwise None, and it is read next."""
        with self._changed:
            crop = self._kept.get(request)
            if crop is not None:
                self._kept.move_to_end(request)
                return crop
            if self._closed or request == self._reading:
                return None
            self._waiting[request] = None
            self._waiting.move_to_end(request)
            if len(self._waiting) > _MOST_WAITING:
                self._waiting.popitem(last=False)
            if self._thread is None:
                self._thread = Thread(target=self._work, name="deepheme-crops", daemon=True)
                self._thread.start()
            self._changed.notify()
            return None

    def close(self) -> None:
        """Stop reading, close the file and let all crops go; the thread has ended on return."""
        with self._changed:
            self._closed = True
            self._waiting.clear()
            self._kept.clear()
            self._bytes = 0
            self._changed.notify()
        if self._thread is not None:
            self._thread.join()

    def _work(self) -> None:
        try:
            slide = self._open()
        except DeepHemeError as err:
            self._refuse_all(err)
            return
        with slide:
            while (request := self._next()) is not None:
                self._keep(request, self._read(slide, request))

    def _refuse_all(self, err: DeepHemeError) -> None:
        """Answer every request with why the file cannot be opened."""
        while (request := self._next()) is not None:
            self._keep(request, err)

    def _next(self) -> CropRequest | None:
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._waiting)
            self._reading = None if self._closed else self._waiting.popitem(last=True)[0]
            return self._reading

    def _read(self, slide: Slide, request: CropRequest) -> Crop:
        centre, shape = (request.y, request.x), (request.side, request.side)
        try:
            return slide.read_downsampled(centre, shape, self._downsample)
        except DeepHemeError as err:
            return err

    def _keep(self, request: CropRequest, crop: Crop) -> None:
        with self._changed:
            if self._closed:
                return
            self._reading = None
            self._kept[request] = crop
            self._bytes += _bytes(crop)
            while self._bytes > self._max_bytes and len(self._kept) > 1:
                self._bytes -= _bytes(self._kept.popitem(last=False)[1])
        self._on_ready(request)


def _bytes(crop: Crop) -> int:
    return 0 if isinstance(crop, DeepHemeError) else crop.nbytes
