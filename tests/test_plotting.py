import numpy as np
import pytest

from scratchae import plotting


@pytest.mark.parametrize("shape", [(7, 9), (7, 9, 1), (7, 9, 3), (49,)])
def test_originals_stand_over_reconstructions(shape, rng):
    x, copies = rng.random((4, *shape)), rng.random((4, *shape))
    axes = np.array(plotting.reconstructions(x, copies, count=3).axes).reshape(2, 3)
    pixels = (7, 7) if shape == (49,) else shape[:2] if shape[-1] == 1 else shape
    for i in range(3):
        np.testing.assert_array_equal(axes[0, i].images[0].get_array(), x[i].reshape(pixels))
        np.testing.assert_array_equal(axes[1, i].images[0].get_array(), copies[i].reshape(pixels))
        assert axes[1, i].get_xlabel() == f"{np.mean((x[i] - copies[i]) ** 2):.4f}"
        assert axes[0, i].images[0].get_clim() == (0, 1)


def test_loss_curves_show_both_histories():
    history = {"loss": [3.0, 2.0, 1.0], "val_loss": [3.5, 2.5, 2.0]}
    [axes] = plotting.loss_curves(history).axes
    lines = {line.get_label(): line.get_xydata().tolist() for line in axes.lines}
    assert lines == {"training": [[1, 3], [2, 2], [3, 1]], "validation": [[1, 3.5], [2, 2.5], [3, 2]]}
    assert axes.get_xlabel() == "epoch"


def test_bad_arguments_are_named(rng):
    with pytest.raises(ValueError, match=r"x has shape \(3, 5\); expected images"):
        plotting.reconstructions(rng.random((3, 5)), rng.random((3, 5)))
    with pytest.raises(ValueError, match="must have one shape"):
        plotting.reconstructions(rng.random((3, 4, 4)), rng.random((3, 5, 5)))
    with pytest.raises(ValueError, match=r"keys \['val_loss'\]; expected 'loss'"):
        plotting.loss_curves({"val_loss": [1.0]})
