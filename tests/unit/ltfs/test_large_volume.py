"""A volume with very many files is opened, listed and recalled from in bounded memory.

``KHOSO_INDEX_FILES`` says how many (20,000 unless told; the promise is 1,000,000, which takes minutes).
"""

import os
import subprocess
import sys

import pytest

FILES = int(os.environ.get("KHOSO_INDEX_FILES", "20000"))

MEASURE = """
import resource, sys, time
from dataclasses import replace
from hardware.ltfs import VirtualMedium, compose, format_volume
from hardware.ltfs.formatting import note_coherency, write_index
from hardware.ltfs.medium import END
from hardware.ltfs.model import DirectoryEntry, Extent, FileEntry, IndexHeader, Location, Times
from hardware.tape.reading import TapeReader, Wanted

TIMES = Times(1, 2, 3, 4, 5)

def index(header, files, block):
    yield compose.index_start(header) + compose.SETTINGS.encode()
    yield compose.directory_start(DirectoryEntry("", 1, False, TIMES), "")
    for number in range(files):
        if number % 1000 == 0:
            if number:
                yield compose.DIRECTORY_END
            yield compose.directory_start(DirectoryEntry("", number + 2, False, TIMES), f"d{number}")
        # All of them in the one block that there is.
        extent = Extent(0, "b", block, number % 500_000, 10)
        yield compose.file_xml(FileEntry(f"package-{number}.tar", number + 10, 10, False, TIMES, (extent,)))
    yield compose.DIRECTORY_END + compose.DIRECTORY_END + compose.INDEX_END

def make(path, files):
    with VirtualMedium.create(path, capacity_mb=65536) as medium:
        label = format_volume(medium, serial="VLT001")
        block = medium.locate(1, END).block
        medium.write(bytes(524288))
        header = IndexHeader((2, 4, 0), "test", label.volume_uuid, 2, 0, Location("b", block + 2), Location("b", 5),
                             True, files + 9, "unlocked", "")
        write_index(medium, index(header, files, block), label.blocksize)
        medium.locate(0, 4)
        again = replace(header, location=Location("a", 5), previous=header.location)
        write_index(medium, index(again, files, block), label.blocksize)
        note_coherency(medium, 0, 2, 5, label.volume_uuid)
        note_coherency(medium, 1, 2, block + 2, label.volume_uuid)

def read(path, files):
    step = max(1, files // 1000)
    with TapeReader.open(VirtualMedium.open(path), spool=path + "-spool") as reader:
        chosen = [entry for number, entry in enumerate(reader.files()) if number % step == 0]
        assert reader.header.files == files
        assert reader.find(f"d0/package-1.tar").length == 10
        wanted = [Wanted(n, entry) for n, entry in enumerate(chosen)]
        assert sum(len(b"".join(pieces)) for _, pieces in reader.in_tape_order(wanted)) == 10 * len(chosen)
        kept = [0]
        reader.capture_index(lambda piece: kept.__setitem__(0, kept[0] + len(piece)))
    return kept[0]

path, files = sys.argv[1], int(sys.argv[2])
import os
for name in ("small", "large"):
    os.mkdir(os.path.join(path, name + "-spool"))
make(os.path.join(path, "small"), 100)
make(os.path.join(path, "large"), files)
"""
READ = (
    MEASURE.split("path, files = sys.argv", maxsplit=1)[0]
    + """
import os
path, files = sys.argv[1], int(sys.argv[2])
read(os.path.join(path, "small"), 100)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
began = time.monotonic()
size = read(os.path.join(path, "large"), files)
print(size, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before, time.monotonic() - began)
"""
)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_memory_does_not_grow_with_the_number_of_files(tmp_path):
    for code in (MEASURE, READ):
        done = subprocess.run(
            [sys.executable, "-c", code, str(tmp_path), str(FILES)],
            capture_output=True,
            text=True,
            check=False,
            timeout=3600,
        )
        assert done.returncode == 0, done.stderr
    size, grown, seconds = done.stdout.split()
    print(f"{FILES} files, {int(size) / 1e6:.0f} MB of index: {float(seconds):.1f} s, {int(grown) / 1024:.1f} MiB more")
    assert int(size) > FILES * 400
    # Up to eight blocks are kept, and a thousand entries were asked for.
    assert int(grown) < 24 * 1024, f"reading {size} bytes of index took {grown} KiB"
