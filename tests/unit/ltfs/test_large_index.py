"""A large index is read in bounded memory."""

import subprocess
import sys

import pytest

MEASURE = """
import resource, sys
from hardware.ltfs.model import DirectoryEntry, Extent, FileEntry, IndexHeader, Location, Times
from hardware.ltfs import compose
from hardware.ltfs.parse import IndexParser

UUID = "607f4131-c6cf-4ff4-a7b7-08e050fff9b3"
TIMES = Times(1, 2, 3, 4, 5)

def index(files):
    header = IndexHeader((2, 4, 0), "test", UUID, 2, 0, Location("b", 5), None, True, files + 9, "unlocked", "")
    yield compose.index_start(header) + compose.SETTINGS.encode()
    yield compose.directory_start(DirectoryEntry("", 1, False, TIMES), "")
    for number in range(files):
        if number % 1000 == 0:
            if number:
                yield compose.DIRECTORY_END
            yield compose.directory_start(DirectoryEntry("", number + 2, False, TIMES), f"d{number}")
        extent = Extent(0, "b", 10 + number * 4, 0, 2_000_000)
        yield compose.file_xml(FileEntry(f"package-{number}.tar", number + 10, 2_000_000, False, TIMES, (extent,)))
    yield compose.DIRECTORY_END + compose.DIRECTORY_END + compose.INDEX_END

def run(files):
    parser = IndexParser()
    size = found = 0
    for piece in index(files):
        size += len(piece)
        found += len(parser.feed(piece))
    assert parser.close().files == files
    return size

run(100)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
size = run(int(sys.argv[1]))
print(size, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.slow
def test_memory_does_not_grow_with_the_index():
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, "50000"], capture_output=True, text=True, check=True, timeout=110
    )
    size, grown = map(int, done.stdout.split())
    assert size > 25_000_000
    assert grown < 4096, f"reading {size} bytes of index took {grown} KiB"
