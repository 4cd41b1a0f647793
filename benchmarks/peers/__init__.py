"""The contestants: the same models in scratchae, PyTorch, JAX, Keras and ONNX Runtime, a module each.

Each module is a program, `python -m benchmarks.peers.pytorch`, that contest.py talks to; serve.py is its loop. Nothing
here but ours.py imports scratchae: the others run in an interpreter that may not have it.
"""
