"""How much memory loading a file takes at most, in a process of its own: python -m tests.files.memory FILE"""

import os
import re
import sys
from pathlib import Path

import scratchae
from scratchae.files import safetensors


def most_so_far():
    """The most memory that this process has had since it began, in bytes (Linux tells)."""
    [kilobytes] = re.findall(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return int(kilobytes) * 1024


if __name__ == "__main__":
    assert safetensors  # imported before the measurement: its own memory does not count
    scratchae.set_device("reference")
    before = most_so_far()
    try:
        scratchae.load_model(sys.argv[1])
    except scratchae.ScratchaeFormatError as error:
        print(error, file=sys.stderr)
    print(most_so_far() - before, os.path.getsize(sys.argv[1]))
