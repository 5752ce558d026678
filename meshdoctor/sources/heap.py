"""How is memory given back while a large mesh is read?

Pages of megabytes come and go between small structs that stay. glibc raises the size from which it
maps a block of its own whenever such a block is freed, and what is not mapped leaves holes: of
10,000 pods a seventh of the memory. A fixed limit keeps pages out of the heap.
"""

import ctypes
import sys

_M_MMAP_THRESHOLD = -3
_LIMIT = 256 << 10


def keep_pages_out() -> bool:
    """Fix glibc's limit for this process; False where the C library has none to fix."""
    if sys.platform != "linux":
        return False
    try:
        return bool(ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, _LIMIT))
    except (OSError, AttributeError):
        return False
