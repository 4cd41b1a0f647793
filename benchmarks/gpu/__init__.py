"""One GPU run: `python -m benchmarks.gpu --out FOLDER`. See __main__.py.

    __main__.py    the command line: stages one after the other, a budget for all, a table at the end
    children.py    processes with time limits, and the file that results go to as they arrive
    facts.py       is there a GPU, which one, with which versions
    ceilings.py    what it can do: copies, products, launches
    accuracy.py    how far off a result is
    correctness.py the kernels' tests, every op at the models' shapes, training, all against float64
    kernels.py     the kernels of a training step, one by one
    launches.py    what a training step launches, and what each launch has to do
    products.py    the matrix products of a training step: our kernels beside cublasLt's
    product_cases.py, cublaslt.py    which products those are; cublasLt by ctypes
    contestants.py training steps, here and elsewhere
    device.py      all that is asked of CuPy, and the same of the emulator
    table.py       from results to Markdown

A stage is a program of its own, `python -m benchmarks.gpu.ceilings --device cuda`, that prints a line of JSON for each
result.
"""
