"""A program for an interpreter that has Keras: it goes on with what scratchae wrote, and writes it for scratchae.

    python with_keras.py FOLDER DOCUMENT

For each NAME.keras in the folder, with the batch in NAME.npy: load it, train three steps, save NAME.back.keras, train
three more. The weights at each time go to NAME.npz, with the warnings of load_model. The Python code in the document
is run first.
"""

import re
import sys
import warnings
from pathlib import Path

import keras
import numpy as np

STEPS = 3


def main(folder, document):
    # The classes in the document; their noise is 0 here, for numbers that can be compared.
    [code] = [part for part in re.findall(r"```python\n(.*?)```", document.read_text(), re.S) if "import keras" in part]
    exec(compile(code, document, "exec"), {"__name__": "classes_of_the_document"})
    keras.random.normal = keras.ops.zeros
    for path in sorted(folder.glob("*.keras")):
        x = np.load(path.with_suffix(".npy"))
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            model = keras.models.load_model(path)
        found = {"warnings": np.array([str(w.message) for w in caught], str)}
        found |= {f"loaded/{i:02d}": w for i, w in enumerate(model.get_weights())}
        losses = [model.train_on_batch(x, x) for _ in range(STEPS)]
        found |= {f"later/{i:02d}": w for i, w in enumerate(model.get_weights())}
        found |= {f"state/{i:02d}": np.asarray(v) for i, v in enumerate(model.optimizer.variables)}
        model.save(path.with_suffix(".back.keras"))
        losses += [model.train_on_batch(x, x) for _ in range(STEPS)]
        found |= {f"last/{i:02d}": w for i, w in enumerate(model.get_weights())}
        np.savez(path.with_suffix(".npz"), losses=np.array(losses, float), **found)


main(Path(sys.argv[1]), Path(sys.argv[2]))
