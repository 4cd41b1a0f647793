"""Lines: losses over the epochs, sequences over time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import checks
from .common import SMALL, colours, figure, numbers, one_array, same_shape, squared_errors

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_FEATURES = 5  # of a sequence: more lines can't be told apart


def loss_curves(
    history: Mapping[str, Sequence[float]], title: str = "Loss", validation_freq: int | Sequence[int] = 1
) -> Figure:
    """Loss and validation loss over the epochs.

    Args:
        history: `fit(...).history`, or any mapping with "loss" and, perhaps, "val_loss".
        title: stands above.
        validation_freq: what `fit` was given: every how many epochs, or the epochs after which, there is a val_loss.

    Raises ValueError or TypeError for a history without losses, or with one that is not finite, and for as many
    validation losses as validation_freq does not make.
    """
    owner = "loss_curves"
    if not isinstance(history, Mapping):
        raise TypeError(f"{owner}: history is a {type(history).__name__}; expected a mapping, fit(...).history")
    if not len(history.get("loss", ())):
        raise ValueError(f"{owner}: history has the keys {list(history)}; expected 'loss' with at least one epoch")
    epochs = range(1, len(history["loss"]) + 1)
    if isinstance(validation_freq, Sequence):
        validated = [epoch for epoch in epochs if epoch in validation_freq]
    else:
        frequency = checks.positive_integer(owner, "validation_freq", validation_freq)
        validated = [epoch for epoch in epochs if epoch % frequency == 0]

    picture = figure(title, 6, 4)
    from matplotlib.ticker import MaxNLocator

    axes = picture.subplots()
    for key, label, places in (("loss", "training", epochs), ("val_loss", "validation", validated)):
        if not len(history.get(key, ())):
            continue
        losses = numbers(owner, f"history[{key!r}]", history[key])
        if losses.shape != (len(places),):
            raise ValueError(
                f"{owner}: history[{key!r}] has {len(losses)} values; expected {len(places)} for {len(epochs)} epochs "
                f"with validation_freq={validation_freq}; pass the validation_freq that fit had"
            )
        axes.plot(places, losses, marker=".", label=label)
    axes.set(xlabel="epoch", ylabel="loss")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.grid(alpha=0.3)
    axes.legend()
    return picture


def sequences(x: Any, reconstructed: Any, count: int = 4) -> Figure:
    """Sequences and their reconstructions as lines over time, the mean squared error above each.

    Of more than five features those five are drawn that vary most among the sequences shown; the errors are of all.

    Args:
        x, reconstructed: (N, T, D), T time steps of D features.
        count: how many of the first sequences to show, at most N.

    Raises ValueError or TypeError for other shapes, NaN, and for no sequences at all.
    """
    owner = "sequences"
    count = checks.positive_integer(owner, "count", count)
    for name, array in (("x", x), ("reconstructed", reconstructed)):
        shape = one_array(owner, name, array).shape
        if len(shape) != 3:
            raise ValueError(
                f"{owner}: {name} has shape {shape}; expected (N, T, D), such as x[..., np.newaxis] for one feature"
            )
    pair = numbers(owner, "x", x, count), numbers(owner, "reconstructed", reconstructed, count)
    same_shape(owner, x=pair[0], reconstructed=pair[1])
    N, T, D = pair[0].shape
    features = np.sort(np.argsort(-pair[0].std(axis=(0, 1)), kind="stable")[:MOST_FEATURES])
    columns = int(np.ceil((N / 2) ** 0.5))
    rows = -(-N // columns)
    width = max(3.2 * columns, 4.8)
    picture = figure("Sequences and reconstructions, mean squared error", width, 1.8 * rows + 1.4)
    from matplotlib.lines import Line2D
    from matplotlib.ticker import MaxNLocator

    table = picture.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    for axes in table.flat[N:]:
        axes.remove()
    markers = ("o", "x") if T == 1 else ("", "")  # a single step makes no line
    styles: list[dict[str, Any]] = [{"linestyle": "-", "marker": markers[0]}, {"linestyle": "--", "marker": markers[1]}]
    for i, error in enumerate(squared_errors(*pair)):
        axes = table.flat[i]
        for feature, colour in zip(features, colours(len(features)), strict=True):
            for array, style in zip(pair, styles, strict=True):
                axes.plot(array[i, :, feature], color=colour, linewidth=1.2, **style)
        axes.set_title(f"{error:.4f}", fontsize=SMALL + 1)
        axes.grid(alpha=0.3)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        if i + columns >= N:  # nothing stands beneath it
            axes.set_xlabel("time step")
            axes.tick_params(labelbottom=True)
    keys = [Line2D([], [], color=colour) for colour in colours(len(features))]
    keys += [Line2D([], [], color="black", **style) for style in styles]
    names = [*(f"feature {feature}" for feature in features), "original", "reconstruction"]
    chosen = f"the {MOST_FEATURES} of {D} features that vary most" if D > MOST_FEATURES else None
    fonts = {"fontsize": 9, "title_fontsize": 9}
    picture.legend(keys, names, loc="outside lower center", title=chosen, ncols=int(width / 1.5), **fonts)
    return picture
