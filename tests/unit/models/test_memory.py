"""Freed memory is kept for the next batch, unless somebody set the allocator up already, and given back."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

PROGRAM = """
import resource
import numpy as np
from napari_deepheme.models.memory import keep_freed_memory
keep_freed_memory()
for _ in range(3):  # glibc learns by itself how large a block may be before it is mapped alone
    np.zeros(20 * 2**20, np.uint8).fill(1)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(30):
    block = np.empty(20 * 2**20, np.uint8)
    block.fill(1)
    del block
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can be told so")


GIVING_BACK = """
import numpy as np
import psutil
from napari_deepheme.models.memory import give_back_freed_memory, keep_freed_memory
keep_freed_memory()
blocks = [np.ones(2**20, np.uint8) for _ in range(100)]
blocks = blocks[::50]  # something that is used lies behind what is free
kept = psutil.Process().memory_info().rss
give_back_freed_memory()
print((kept - psutil.Process().memory_info().rss) // 2**20)
"""


def printed(program, **environment):
    mine = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC", "GLIBC"))}
    done = subprocess.run(
        [sys.executable, "-c", program], env=mine | environment, capture_output=True, text=True, check=True
    )
    return int(done.stdout)


def new_pages(**environment):
    """Pages that the system hands over for thirty blocks, one after the other."""
    return printed(PROGRAM, **environment)


def test_a_block_is_taken_again():
    one_block = 20 * 2**20 // 4096
    assert new_pages() < 2 * one_block
    assert new_pages(MALLOC_TRIM_THRESHOLD_="0") > new_pages()  # as somebody wanted it


def test_what_was_kept_is_given_back():
    assert printed(GIVING_BACK) > 70  # MB of the hundred
