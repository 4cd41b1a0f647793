"""Are the contestants' models the same? `python -m benchmarks.same_models --peers-python PATH`

From the same weights, with the same noise, each must have our number of parameters, our loss and our output, to 1e-5
of the greater of 1 and our value. Over a few training steps its loss must fall as ours does, to a fifth of the fall:
PyTorch has another place for Adam's epsilon, and each library draws its own noise. The exit status is 1 if one differs.
"""

from __future__ import annotations

import argparse
import sys
from typing import Any

import numpy as np

from . import contest
from .peers.models import MODELS

PEERS = contest.PYTORCH, contest.COMPILED, contest.JAX, contest.KERAS, contest.ONNX
BATCH, STEPS = 32, 3
LIMITS = {"parameters": 0.0, "loss": 1e-5, "output": 1e-5, "fall": 0.2}


def differences(ours: dict[str, Any], theirs: dict[str, Any]) -> dict[str, float]:
    """By how much everything that they tell differs from ours, in the units of LIMITS."""
    found: dict[str, float] = {}
    for name in ("parameters", "loss", "output"):
        if name in theirs:
            a, b = np.asarray(ours[name], float), np.asarray(theirs[name], float)
            found[name] = float(np.max(np.abs(a - b) / np.maximum(1, np.abs(a))))
    if "later_loss" in theirs:
        fall = ours["loss"] - ours["later_loss"]
        found["fall"] = abs((theirs["loss"] - theirs["later_loss"]) / fall - 1)
    return found


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    known = [peer.name for peer in PEERS]
    parser.add_argument("--peers", metavar="NAME", nargs="+", choices=known, default=known, help="some of them (all)")
    parser.add_argument("--peers-python", metavar="PATH", default=sys.executable, help="interpreter that has the peers")
    parser.add_argument("--threads", metavar="N", type=contest.positive, help="cores to use (all)")
    options = parser.parse_args()
    entries = [contest.SCRATCHAE, *(peer for peer in PEERS if peer.name in options.peers)]
    good = True
    with contest.players(entries, options) as (ours, *peers):
        for model in MODELS:
            request = {"do": "check", "model": model, "batch": BATCH, "steps": STEPS, "data": None}
            expected = ours.ask(**request)
            if "error" in expected:
                raise RuntimeError(f"scratchae failed in {model}: {expected['error']}")
            for peer in peers:
                answer = peer.ask(**request)
                if "error" in answer:
                    print(f"{model}, {peer.name}: {answer['error']}")
                    good = False
                    continue
                found = differences(expected, answer)
                same = all(value <= LIMITS[name] for name, value in found.items())
                shown = ", ".join(f"{name} {value:.1e}" for name, value in found.items())
                print(f"{model}, {peer.name}: {'same' if same else 'DIFFERENT'}: {shown}", flush=True)
                good = good and same
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
