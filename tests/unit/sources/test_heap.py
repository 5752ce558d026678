"""Whether the limit takes hold where the C library is glibc."""

import os
import subprocess
import sys

import pytest

SHOW = """
import sys
from meshdoctor.sources.heap import keep_pages_out
def mapped():
    return sum("rw-p" in line for line in open("/proc/self/maps"))
if len(sys.argv) > 1:
    assert keep_pages_out()
bytearray(24 << 20)  # freed at once: glibc now maps only what is larger
before = mapped()
held = [bytearray(4 << 20) for _ in range(8)]
print(mapped() - before)
"""


@pytest.mark.skipif(
    sys.platform != "linux" or "glibc" not in os.confstr("CS_GNU_LIBC_VERSION").__str__(),
    reason="no glibc",
)
def test_large_blocks_stay_out_of_the_heap() -> None:
    def blocks(*words: str) -> int:
        argv = [sys.executable, "-c", SHOW, *words]
        return int(subprocess.run(argv, capture_output=True, text=True, check=True).stdout)

    assert blocks("fixed") > blocks()
