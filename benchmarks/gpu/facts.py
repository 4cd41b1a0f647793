"""Is there a GPU, which one, and the versions that numbers depend on."""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import time

from scratchae import __version__, backend

from ..contest import ROOT
from ..machine import available_cores, processor_name
from .children import emit
from .device import open_device

PACKAGES = "torch", "triton", "jax", "jaxlib", "nvidia-cudnn-cu13", "nvidia-cudnn-cu12", "numpy"
SENSORS = (
    "driver_version",
    "clocks.sm",
    "clocks.max.sm",
    "clocks.mem",
    "clocks.max.mem",
    "power.limit",
    "temperature.gpu",
)


def peer_versions(python: str) -> dict[str, str]:
    """Of the packages that an interpreter has."""
    program = (
        "import sys, importlib.metadata as m\n"
        "for p in sys.argv[1:]:\n"
        "    try: print(p, m.version(p))\n"
        "    except m.PackageNotFoundError: pass"
    )
    found = subprocess.run([python, "-c", program, *PACKAGES], capture_output=True, text=True, check=True)
    return dict(line.split() for line in found.stdout.splitlines())


def commit() -> str:
    """The sources' commit, and whether they have been changed since; "unknown" outside a repository."""
    try:
        named = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True)
        changed = subprocess.run(["git", "status", "--short", "-uno"], cwd=ROOT, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return named.stdout.strip()[:12] + (", changed" if changed.stdout.strip() else "")


def sensors() -> dict[str, str]:
    """What nvidia-smi tells of driver, clocks, power and heat; nothing where it is not there."""
    if shutil.which("nvidia-smi") is None:
        return {}
    command = ["nvidia-smi", f"--query-gpu={','.join(SENSORS)}", "--format=csv,noheader", "--id=0"]
    told = subprocess.run(command, capture_output=True, text=True)
    values = [value.strip() for value in told.stdout.strip().split(",")]
    return dict(zip(SENSORS, values, strict=True)) if len(values) == len(SENSORS) else {}


def main() -> int:
    """The stage's program."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--peers-python", default=sys.executable)
    parser.add_argument("--smoke", action="store_true")
    options = parser.parse_args()
    emit(
        what="software",
        commit=commit(),
        scratchae=__version__,
        python=sys.version.split()[0],
        peers=peer_versions(options.peers_python),
        processor=processor_name(),
        cores=available_cores(),
    )
    reason = backend.BACKENDS[options.device].unavailable()
    emit(what="status", usable=not reason, reason=reason)
    if reason:
        return 1
    device = open_device(options.device)
    emit(what="device", **device.facts(), sensors={} if device.emulated else sensors())
    start = time.monotonic()
    if not options.smoke:  # else what is used is compiled when it is used
        device.machine.warm_up(lambda text: print(text, file=sys.stderr))
    emit(what="compiled", seconds=round(time.monotonic() - start, 1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
