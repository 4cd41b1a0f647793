import subprocess
import sys

import numpy as np
import pytest

from scratchae import Input, Model, plotting
from scratchae.autoencoders import convolutional, vanilla, variational
from scratchae.layers import Conv2D, Dense, Reshape


def pixels(axes):
    return np.asarray(axes.images[0].get_array())


def legend_texts(legend):
    return [text.get_text() for text in legend.get_texts()]


def title(picture):
    return " ".join(picture.get_suptitle().split())  # without line breaks


def linear_decoder(shape, code=2):
    """z -> z w + b, of known weights, folded to that shape; and a function that computes it."""
    z = Input((code,))
    size = int(np.prod(shape))
    dense = Dense(size)
    decoder = Model(z, Reshape(shape)(dense(z)) if len(shape) > 1 else dense(z))
    rng = np.random.default_rng(3)
    w, b = rng.random((code, size), np.float32) / 8, rng.random(size, np.float32)
    dense.set_weights([w, b])
    return decoder, lambda codes: (np.asarray(codes) @ w + b).reshape(-1, *shape)


# ---- images ---------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("shape", [(7, 9), (7, 9, 1), (7, 9, 3), (49,)])
def test_originals_stand_over_reconstructions(shape, rng):
    x, copies = rng.random((4, *shape)), rng.random((4, *shape))
    axes = np.array(plotting.reconstructions(x, copies, count=3).axes).reshape(2, 3)
    size = (7, 7) if shape == (49,) else shape[:2] if shape[-1] == 1 else shape
    for i in range(3):
        np.testing.assert_array_equal(axes[0, i].images[0].get_array(), x[i].reshape(size))
        np.testing.assert_array_equal(axes[1, i].images[0].get_array(), copies[i].reshape(size))
        assert axes[1, i].get_xlabel() == f"{np.mean((x[i] - copies[i]) ** 2):.4f}"
        assert axes[0, i].images[0].get_clim() == (0, 1)
        assert axes[0, i].images[0].get_cmap().name == plotting.COLOUR_MAP


def test_errors_of_small_integers_do_not_wrap_around():
    zeros, twenties = np.zeros((2, 4, 4), np.uint8), np.full((2, 4, 4), 20, np.uint8)
    assert plotting.reconstructions(zeros, twenties).axes[2].get_xlabel() == "400.0000"


def test_denoising_has_three_rows_and_both_errors(rng):
    clean = rng.random((5, 25))
    noisy, denoised = clean + rng.normal(0, 1, clean.shape), clean + rng.normal(0, 0.1, clean.shape)
    picture = plotting.denoising(clean, noisy, denoised, count=4)
    axes = np.array(picture.axes).reshape(3, 4)
    for row, images in enumerate((clean, noisy, denoised)):
        for i in range(4):
            np.testing.assert_array_equal(pixels(axes[row, i]), images[i].reshape(5, 5))
            error = f"{np.mean((images[i] - clean[i]) ** 2):.4f}"
            assert axes[row, i].get_xlabel() == (error if row else "")
    assert [axes[row, 0].get_ylabel() for row in range(3)] == ["clean", "noisy", "denoised"]
    assert title(picture) == "Denoising, mean squared error against clean"


def test_coloured_images_are_cut_off_at_0_and_1_and_their_errors_are_not(caplog):
    axes = plotting.reconstructions(np.zeros((1, 2, 3, 3)), np.full((1, 2, 3, 3), 2.0)).axes
    np.testing.assert_array_equal(pixels(axes[1]), np.ones((2, 3, 3)))
    assert axes[1].get_xlabel() == "4.0000"
    assert not caplog.messages  # matplotlib would warn


# ---- latent space ---------------------------------------------------------------------------------------------------
def test_scatter_draws_each_label_in_its_colour(rng):
    codes, labels = rng.normal(size=(30, 2)), np.repeat([3, 1, 2], 10)
    [axes] = plotting.latent_scatter(codes, labels).axes
    assert legend_texts(axes.get_legend()) == ["1", "2", "3"]
    colours = set()
    for label, points in zip((1, 2, 3), axes.collections, strict=True):
        np.testing.assert_array_equal(points.get_offsets(), codes[labels == label])
        colours.add(tuple(points.get_facecolor()[0]))
    assert len(colours) == 3
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("z1", "z2")


def test_scatter_without_labels_has_one_colour_and_no_legend(rng):
    codes = rng.normal(size=(30, 2))
    picture = plotting.latent_scatter(codes)
    [points] = picture.axes[0].collections
    np.testing.assert_array_equal(points.get_offsets(), codes)
    assert len(points.get_facecolor()) == 1
    assert picture.axes[0].get_legend() is None
    assert title(picture) == "30 codes of 2 dimensions"


@pytest.mark.parametrize("shape", [(40, 6), (40, 3, 2)])
def test_more_dimensions_are_projected_on_principal_components(shape, rng):
    codes = rng.normal(size=(40, 6)) * [1, 5, 1, 3, 1, 1] + 10
    picture = plotting.latent_scatter(codes.reshape(shape))
    offsets = np.asarray(picture.axes[0].collections[0].get_offsets())
    variances, vectors = np.linalg.eigh(np.cov(codes.T))  # another way to the same
    for i in range(2):
        expected = (codes - codes.mean(0)) @ vectors[:, -1 - i]
        expected *= np.sign(vectors[np.abs(vectors[:, -1 - i]).argmax(), -1 - i])
        np.testing.assert_allclose(offsets[:, i], expected, atol=1e-9)
    shares = [f"{share:.1%}" for share in (variances / variances.sum())[:-3:-1]]
    names = [picture.axes[0].get_xlabel(), picture.axes[0].get_ylabel()]
    assert names == [f"principal component {i + 1} ({shares[i]} of the variance)" for i in range(2)]
    assert title(picture) == "40 codes of 6 dimensions, their first two principal components"


def test_codes_that_are_all_equal_lie_on_one_point():
    picture = plotting.latent_scatter(np.full((5, 4), 7.0))
    np.testing.assert_array_equal(picture.axes[0].collections[0].get_offsets(), np.zeros((5, 2)))
    assert "(0.0% of the variance)" in picture.axes[0].get_xlabel()


def test_codes_of_one_dimension_are_a_stacked_histogram(rng):
    codes, labels = rng.normal(size=(60, 1)), np.array(["b", "a", "a"] * 20)
    [axes] = plotting.latent_scatter(codes, labels).axes
    assert legend_texts(axes.get_legend()) == ["a", "b"]
    edges = np.linspace(codes.min(), codes.max(), 51)
    counts = [np.histogram(codes[labels == label], edges)[0] for label in "ab"]
    for bars, count, below in zip(axes.containers, counts, (np.zeros(50), counts[0]), strict=True):
        np.testing.assert_array_equal([bar.get_height() for bar in bars], count)
        np.testing.assert_array_equal([bar.get_y() for bar in bars], below)


@pytest.mark.parametrize(
    ("output", "image_shape"), [((9,), None), ((6,), (2, 3)), ((2, 3, 1), None), ((2, 3, 3), None)]
)
def test_grid_has_each_image_in_the_place_of_its_code(output, image_shape):
    decoder, compute = linear_decoder(output)
    picture = plotting.latent_grid(decoder, size=5, limit=3, image_shape=image_shape)
    [axes] = picture.axes
    mosaic = pixels(axes)
    left, right, bottom, top = axes.images[0].get_extent()
    assert (left, right, bottom, top) == (-3.75, 3.75, -3.75, 3.75)
    assert axes.images[0].origin == "upper"
    H, W = mosaic.shape[0] // 5, mosaic.shape[1] // 5
    assert W == 3
    assert mosaic.size == compute(np.zeros((25, 2))).size
    assert axes.get_aspect() == H / W  # square pixels
    for row in range(5):
        for column in range(5):
            code = left + (column + 0.5) * 1.5, top - (row + 0.5) * 1.5  # the centre of the image, in latent units
            image = compute([code]).reshape(H, W, *mosaic.shape[2:])
            drawn = mosaic[row * H : (row + 1) * H, column * W : (column + 1) * W]
            np.testing.assert_allclose(drawn, image.clip(0, 1) if image.ndim == 3 else image, atol=1e-5)
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("z1", "z2")
    assert title(picture) == "Decoded linear grid of 5 x 5 codes from -3 to 3"


def test_grid_of_one_is_the_origin():
    decoder, compute = linear_decoder((4, 4))
    [axes] = plotting.latent_grid(decoder, size=1).axes
    np.testing.assert_allclose(pixels(axes), compute([[0, 0]])[0], atol=1e-6)
    assert (list(axes.get_xticks()), list(axes.get_yticks())) == ([0], [0])


def test_interpolation_of_a_variational_autoencoder_goes_from_mean_to_mean(rng):
    encoder, decoder, _ = variational.autoencoder(16, [8], 3)
    a, b = rng.random((2, 16)).astype("float32")
    mean = encoder.predict(np.stack([a, b]), verbose=0)[1]
    picture = plotting.interpolation(encoder, decoder, a, b, steps=5)
    drawn = [pixels(axes) for axes in picture.axes]
    np.testing.assert_array_equal(drawn[0], a.reshape(4, 4))
    np.testing.assert_array_equal(drawn[-1], b.reshape(4, 4))
    for t, image in zip((0, 0.25, 0.5, 0.75, 1), drawn[1:-1], strict=True):
        code = (1 - t) * mean[:1] + t * mean[1:]
        np.testing.assert_allclose(image, decoder.predict(code, verbose=0).reshape(4, 4), atol=1e-6)
    assert [axes.get_xlabel() for axes in picture.axes] == ["a", "t=0.00", "t=0.25", "t=0.50", "t=0.75", "t=1.00", "b"]
    assert title(picture) == "Originals a and b, decoded codes (1-t) z(a) + t z(b)"


def test_interpolation_of_images_and_codes_of_several_axes(rng):
    encoder, decoder, auto = convolutional.autoencoder((12, 12, 1), [4, 2, 2], (2, 2, 2))
    a, b = rng.random((2, 12, 12, 1)).astype("float32")
    axes = plotting.interpolation(encoder, decoder, a, b[np.newaxis], steps=2).axes
    copies = auto.predict(np.stack([a, b]), verbose=0)[..., 0]
    for drawn, expected in zip(axes, (a[..., 0], *copies, b[..., 0]), strict=True):
        np.testing.assert_allclose(pixels(drawn), expected, atol=1e-6)


def test_interpolation_folds_flat_rows(rng):
    encoder, decoder, auto = vanilla.autoencoder(6, [], 2)
    a, b = rng.random((2, 6)).astype("float32")
    axes = plotting.interpolation(encoder, decoder, a, b, 2, image_shape=(2, 3)).axes
    np.testing.assert_array_equal(pixels(axes[0]), a.reshape(2, 3))
    np.testing.assert_allclose(pixels(axes[2]), auto.predict(b[np.newaxis], verbose=0).reshape(2, 3), atol=1e-6)


# ---- units ----------------------------------------------------------------------------------------------------------
def filter_places(axes):
    """(column, row) of each image, from where it is drawn."""
    extents = np.array([image.get_extent() for image in axes.images])  # left, right, bottom, top
    columns, rows = np.unique(extents[:, 0]), np.unique(extents[:, 3])
    return [(int(np.searchsorted(columns, e[0])), int(np.searchsorted(rows, e[3]))) for e in extents]


def test_filters_of_a_dense_kernel_are_squares(rng):
    w = rng.normal(size=(25, 7))
    picture = plotting.filters(w)
    axes, bar = picture.axes
    for i, image in enumerate(axes.images):
        np.testing.assert_array_equal(image.get_array(), w[:, i].reshape(5, 5))
        assert image.get_clim() == (-np.abs(w).max(), np.abs(w).max())
        assert image.get_cmap().name == plotting.COLOUR_MAP
    assert filter_places(axes) == [(i % 3, i // 3) for i in range(7)]
    assert bar.get_ylim() == (-np.abs(w).max(), np.abs(w).max())
    assert title(picture) == "7 filters of 5 x 5 weights"


def test_filters_of_a_convolution_have_a_row_of_channels_each(rng):
    layer = Conv2D(4, (3, 5))
    Model(x := Input((9, 9, 2)), layer(x))
    w = rng.normal(size=(3, 5, 2, 4)).astype("float32")
    layer.set_weights([w, np.zeros(4)])
    picture = plotting.filters(layer)
    axes = picture.axes[0]
    assert filter_places(axes) == [(c, o) for o in range(4) for c in range(2)]
    for image, (c, o) in zip(axes.images, filter_places(axes), strict=True):
        np.testing.assert_array_equal(image.get_array(), w[:, :, c, o])
        left, right, bottom, top = image.get_extent()
        assert (right - left, bottom - top) == pytest.approx((5, 3))
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("channels", "filters")
    assert title(picture) == f"{layer.name}: 4 filters of 3 x 5 weights in 2 channels"


def test_filters_take_a_model_and_a_number_of_columns():
    encoder, _, _ = vanilla.autoencoder(16, [6], 2)
    axes = plotting.filters(encoder, columns=4).axes[0]
    assert filter_places(axes) == [(i % 4, i // 4) for i in range(6)]
    np.testing.assert_array_equal(axes.images[5].get_array(), encoder.get_weights()[0][:, 5].reshape(4, 4))
    assert plotting.filters(np.zeros((4, 1))).axes[0].images[0].get_clim() == (-1, 1)


def activation_lines(picture):
    """legend text -> (values, edges) of the line of that name."""
    assert legend_texts(picture.legends[0]) == [line.get_label() for line in picture.axes[0].patches]
    return {line.get_label(): line.get_data() for line in picture.axes[0].patches}


def test_activation_histograms_share_bins_and_count_zeros(rng):
    sparse = np.where(rng.random((20, 10)) < 0.75, 0.0, rng.random((20, 10)) + 1)
    sparse.flat[:10] = [0.015] * 5 + [0] * 4 + [2.0]  # 0.015 is near zero, and not zero
    dense = rng.normal(size=(20, 10)) + 5
    picture = plotting.activation_histogram({"sparse": sparse, "dense": dense})
    zero, near = (sparse == 0).mean(), (np.abs(sparse) <= 0.02).mean()
    assert near == zero + 5 / 200
    lines = activation_lines(picture)
    assert list(lines) == [f"sparse: {zero:.1%} zero, {near:.1%} near zero", "dense: 0.0% zero, 0.0% near zero"]
    edges = np.linspace(0, dense.max(), 61)
    for line, codes in zip(lines.values(), (sparse, dense), strict=True):
        np.testing.assert_allclose(line.edges, edges)
        np.testing.assert_allclose(line.values, np.histogram(codes, line.edges)[0] / 200)
        assert line.values.sum() == pytest.approx(1)
    assert picture.legends[0].get_title().get_text() == "near zero: within 1% of the largest absolute activation"
    assert picture.axes[0].get_yscale() == "log"


def test_activations_by_label_by_name_and_alone(rng):
    codes, labels = rng.random((12, 3)) + 1, np.array([1, 0] * 6)
    codes[labels == 1] = 0
    by_label = activation_lines(plotting.activation_histogram(codes, labels))
    assert list(by_label) == ["0: 0.0% zero, 0.0% near zero", "1: 100.0% zero, 100.0% near zero"]
    listed = activation_lines(plotting.activation_histogram([codes, codes + 1], ["one", "two"]))
    assert list(listed) == ["one: 50.0% zero, 50.0% near zero", "two: 0.0% zero, 0.0% near zero"]
    for name, expected in ((None, "codes"), ("h", "h")):
        [(text, line)] = activation_lines(plotting.activation_histogram(codes.reshape(12, 3, 1), name)).items()
        assert text == f"{expected}: 50.0% zero, 50.0% near zero"
        np.testing.assert_allclose(line.values, np.histogram(codes, line.edges)[0] / 36)


# ---- curves ---------------------------------------------------------------------------------------------------------
def test_loss_curves_show_both_histories():
    history = {"loss": [3.0, 2.0, 1.0], "val_loss": [3.5, 2.5, 2.0]}
    [axes] = plotting.loss_curves(history).axes
    lines = {line.get_label(): line.get_xydata().tolist() for line in axes.lines}
    assert lines == {"training": [[1, 3], [2, 2], [3, 1]], "validation": [[1, 3.5], [2, 2.5], [3, 2]]}
    assert axes.get_xlabel() == "epoch"


@pytest.mark.parametrize("frequency", [2, [2, 4, 9]])
def test_validation_losses_stand_over_the_epochs_they_are_of(frequency):
    history = {"loss": [5.0, 4.0, 3.0, 2.0, 1.0], "val_loss": [4.5, 2.5]}
    picture = plotting.loss_curves(history, "Loss of it", validation_freq=frequency)
    assert picture.axes[0].lines[1].get_xydata().tolist() == [[2, 4.5], [4, 2.5]]
    assert title(picture) == "Loss of it"


def test_sequences_are_lines_over_time(rng):
    x, copies = rng.random((2, 4, 6, 2))
    picture = plotting.sequences(x, copies, count=3)
    assert len(picture.axes) == 3
    for i, axes in enumerate(picture.axes):
        for feature in range(2):
            original, copy = axes.lines[2 * feature : 2 * feature + 2]
            np.testing.assert_array_equal(original.get_xydata(), np.stack([np.arange(6), x[i, :, feature]], axis=1))
            np.testing.assert_array_equal(copy.get_ydata(), copies[i, :, feature])
            assert original.get_color() == copy.get_color()
            assert (original.get_linestyle(), copy.get_linestyle()) == ("-", "--")
        assert axes.get_title() == f"{np.mean((x[i] - copies[i]) ** 2):.4f}"
        assert all(tick == round(tick) for tick in axes.get_xticks())
    assert legend_texts(picture.legends[0]) == ["feature 0", "feature 1", "original", "reconstruction"]
    assert title(picture) == "Sequences and reconstructions, mean squared error"


def test_of_many_features_those_are_drawn_that_vary_most(rng):
    spread = np.array([0, 9, 0.1, 8, 7, 0.2, 6, 5])
    x = rng.normal(size=(2, 50, 8)) * spread
    picture = plotting.sequences(x, 0 * x)
    kept = [1, 3, 4, 6, 7]
    for i, axes in enumerate(picture.axes):
        np.testing.assert_array_equal([line.get_ydata() for line in axes.lines[::2]], x[i, :, kept])
        assert axes.get_title() == f"{np.mean(x[i] ** 2):.4f}"
    assert legend_texts(picture.legends[0])[:5] == [f"feature {i}" for i in kept]
    assert picture.legends[0].get_title().get_text() == "the 5 of 8 features that vary most"


def test_a_single_step_is_a_point(rng):
    [axes] = plotting.sequences(rng.random((1, 1, 1)), rng.random((1, 1, 1))).axes
    assert [line.get_marker() for line in axes.lines] == ["o", "x"]
    assert all(tick == round(tick) for tick in axes.get_xticks())


# ---- legible --------------------------------------------------------------------------------------------------------
def drawn_texts(picture):
    """(text, size in points, box in pixels) of everything written in a picture, and the picture's width and height."""
    from matplotlib.text import Text

    picture.draw_without_rendering()
    beyond = set()  # labels of ticks outside the axes, which are not drawn
    for axes in picture.axes:
        for axis in (axes.xaxis, axes.yaxis):
            low, high = sorted(axis.get_view_interval())
            for tick in (*axis.get_major_ticks(), *axis.get_minor_ticks()):
                if not low - 1e-9 <= tick.get_loc() <= high + 1e-9:
                    beyond |= {tick.label1, tick.label2}
    texts = [t for t in picture.findobj(Text) if t.get_visible() and t.get_text().strip() and t not in beyond]
    boxes = [(t.get_text(), t.get_fontsize(), t.get_window_extent().extents) for t in texts]
    return boxes, picture.bbox.size


def many_pictures():
    rng = np.random.default_rng(1)
    x = rng.random((20, 784))
    decoder = linear_decoder((16,))[0]
    encoder = vanilla.autoencoder(16, [], 2)[0]
    for count in (1, 20):
        yield f"denoising {count}", plotting.denoising(x, 3 * x, x, count)
        yield f"grid {count}", plotting.latent_grid(decoder, count)
        yield f"interpolation {count}", plotting.interpolation(encoder, decoder, x[0, :16], x[1, :16], count + 1)
        yield f"filters {count}", plotting.filters(x[:count].T)
        yield f"histogram {count}", plotting.activation_histogram(x, np.arange(20) % count)
        yield f"scatter {count}", plotting.latent_scatter(x[:, :3], np.arange(20) % count)
    for count in (1, 3, 7):
        yield f"sequences {count}", plotting.sequences(*rng.normal(size=(2, count, 9, 9)), count)
    yield "scatter of one dimension", plotting.latent_scatter(x[:, :1], np.arange(20) % 3)
    yield "wide denoising", plotting.denoising(*rng.random((3, 3, 20, 40)))
    yield "wide grid", plotting.latent_grid(decoder, image_shape=(2, 8))
    yield "high grid", plotting.latent_grid(decoder, image_shape=(8, 2))
    yield "filters in a row", plotting.filters(x.T, columns=20)
    yield "filters in a column", plotting.filters(x.T, columns=1)
    yield "loss", plotting.loss_curves({"loss": [1.0]}, "a long title, with every detail of what was done " * 3)


def test_every_text_is_legible():
    for name, picture in many_pictures():
        texts, (width, height) = drawn_texts(picture)
        assert picture.get_suptitle(), name
        for i, (text, size, (left, bottom, right, top)) in enumerate(texts):
            assert size >= 7, (name, text)
            margin = min(left, bottom, width - right, height - top)
            assert margin >= 0, f"{name}: {text!r} is cut off"
            for other, _, box in texts[:i]:
                overlap = min(right, box[2]) - max(left, box[0]), min(top, box[3]) - max(bottom, box[1])
                assert min(overlap) < 0.5, f"{name}: {text!r} overlaps {other!r}"


def test_importing_takes_no_matplotlib_and_drawing_no_pyplot():
    program = """
import sys
from scratchae import plotting
assert "matplotlib" not in sys.modules
plotting.loss_curves({"loss": [1.0]})
assert "matplotlib.pyplot" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", program], check=True)


# ---- bad arguments --------------------------------------------------------------------------------------------------
def test_bad_arguments_are_named(rng):
    with pytest.raises(ValueError, match=r"x has shape \(3, 5\); expected images"):
        plotting.reconstructions(rng.random((3, 5)), rng.random((3, 5)))
    with pytest.raises(ValueError, match="must have one shape"):
        plotting.reconstructions(rng.random((3, 4, 4)), rng.random((3, 5, 5)))
    with pytest.raises(ValueError, match=r"keys \['val_loss'\]; expected 'loss'"):
        plotting.loss_curves({"val_loss": [1.0]})


X = np.random.default_rng(0).random((4, 16))
BAD = np.where(np.arange(64).reshape(4, 16) == 18, np.nan, X)  # NaN at [1, 2]
KINDS = {
    "reconstructions": lambda x: plotting.reconstructions(x, x),
    "denoising": lambda x: plotting.denoising(x, x, x),
    "latent_scatter": plotting.latent_scatter,
    "filters": plotting.filters,
    "activation_histogram": plotting.activation_histogram,
    "sequences": lambda x: plotting.sequences(np.asarray(x)[..., np.newaxis], np.asarray(x)[..., np.newaxis]),
}


@pytest.mark.parametrize("kind", KINDS)
def test_data_that_is_not_finite_empty_or_no_number(kind):
    with pytest.raises(ValueError, match=rf"{kind}: \w+\[1, 2.*\] is nan; expected finite numbers"):
        KINDS[kind](BAD)
    with pytest.raises(ValueError, match=rf"{kind}: \w+ has shape \(0, 16.*it is empty; expected at least one sample"):
        KINDS[kind](X[:0])
    with pytest.raises(TypeError, match=rf"{kind}: \w+ is <U1 of shape \(2, 2.*expected an array of numbers"):
        KINDS[kind](np.array([["a", "b"], ["c", "d"]]))


PLANE, SPACE = linear_decoder((16,))[0], linear_decoder((16,), code=3)[0]
ENCODER = vanilla.autoencoder(16, [], 2)[0]


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: plotting.reconstructions(255 * X, X), ValueError, r"x lies in \[.*\]; expected \[0, 1\].*x / 255"),
        (lambda: plotting.reconstructions(X, X, 0), ValueError, "count=0 is too small"),
        (lambda: plotting.reconstructions(3, X), TypeError, r"x is int64 of shape \(\)"),
        (lambda: plotting.reconstructions([[1], [1, 2]], X), TypeError, "x is a list of parts whose shapes differ"),
        (lambda: plotting.denoising(X, X[:3], X), ValueError, r"clean \(4, 4, 4\) and noisy \(3, 4, 4\) and denoised"),
        (lambda: plotting.denoising(-X, X, X), ValueError, "clean lies in"),
        (lambda: plotting.denoising(X, X, BAD), ValueError, r"denoised\[1, 2\] is nan"),
        (lambda: plotting.latent_scatter((X, X, X)), TypeError, r"codes is a tuple of 3 arrays.*take the mean: \[1\]"),
        (lambda: plotting.latent_scatter(X[0]), ValueError, r"codes has shape \(16,\); expected \(N, D\)"),
        (lambda: plotting.latent_scatter(X[:1]), ValueError, "principal components need at least two codes"),
        (lambda: plotting.latent_scatter(X, [1, 2]), ValueError, r"labels has shape \(2,\); expected \(4,\)"),
        (lambda: plotting.latent_scatter(X, np.eye(4)), ValueError, r"labels has shape \(4, 4\).*argmax"),
        (lambda: plotting.latent_scatter(X, [1, 2, 3, np.nan]), ValueError, "labels holds NaN"),
        (lambda: plotting.latent_scatter(np.ones((200, 2)), range(200)), ValueError, "200 different values.*digitize"),
        (lambda: plotting.latent_grid(SPACE), ValueError, r"shape \(None, 3\); expected \(None, 2\).*latent_dims=2"),
        (lambda: plotting.latent_grid("decoder"), TypeError, "decoder='decoder' is a str; expected a model"),
        (lambda: plotting.latent_grid(PLANE, 0), ValueError, "size=0 is too small"),
        (lambda: plotting.latent_grid(PLANE, limit=0), ValueError, r"limit=0 is out of range; .* \(0, inf\)"),
        (lambda: plotting.latent_grid(PLANE, image_shape=(3, 5)), ValueError, r"image_shape=\(3, 5\) does not fit.*16"),
        (lambda: plotting.latent_grid(linear_decoder((6,))[0]), ValueError, r"output has shape \(225, 6\).*pass image"),
        (lambda: plotting.interpolation(ENCODER, PLANE, X, X[1]), ValueError, r"a has shape \(4, 16\); .* \(16,\)"),
        (lambda: plotting.interpolation(ENCODER, PLANE, X[0], BAD[1]), ValueError, r"b\[2\] is nan"),
        (lambda: plotting.interpolation(ENCODER, PLANE, X[0], 9 * X[1]), ValueError, r"\[a, b\] lies in"),
        (lambda: plotting.interpolation(ENCODER, PLANE, X[0], X[1], 1), ValueError, "steps=1 is too small; .* 2"),
        (lambda: plotting.interpolation(ENCODER, SPACE, X[0], X[1]), ValueError, r"codes have shape \(None, 2\), the"),
        (lambda: plotting.interpolation(X, PLANE, X[0], X[1]), TypeError, "is a ndarray; expected a model"),
        (lambda: plotting.filters(X[:3]), ValueError, r"shape \(3, 16\); .* w.reshape\(H, W, 1, O\)"),
        (lambda: plotting.filters(X.ravel()), ValueError, r"shape \(64,\); expected a Dense kernel"),
        (lambda: plotting.filters(ENCODER.get_weights()), TypeError, r"list of arrays; pass the kernel alone, \[0\]"),
        (lambda: plotting.filters(Dense(3)), ValueError, "has no weights"),
        (lambda: plotting.filters(X, 0), ValueError, "columns=0 is too small"),
        (lambda: plotting.activation_histogram({}), ValueError, "codes is empty"),
        (lambda: plotting.activation_histogram({"h": X}, "h"), TypeError, "expected labels_or_names=None"),
        (lambda: plotting.activation_histogram({"h": BAD}), ValueError, r"codes\['h'\]\[1, 2\] is nan"),
        (lambda: plotting.activation_histogram((X, X)), ValueError, "labels_or_names=None with 2 arrays"),
        (lambda: plotting.activation_histogram((X, X), ["h", "h"]), ValueError, "as many different names"),
        (lambda: plotting.activation_histogram(X, [1, 2]), ValueError, r"labels_or_names has shape \(2,\)"),
        (lambda: plotting.sequences(X, X), ValueError, r"x has shape \(4, 16\); expected \(N, T, D\).*newaxis"),
        (lambda: plotting.sequences(X[..., None], X[:, :3, None]), ValueError, "must have one shape"),
        (lambda: plotting.loss_curves([1.0]), TypeError, r"history is a list; .* fit\(...\).history"),
        (lambda: plotting.loss_curves({"loss": [1.0, np.inf]}), ValueError, r"history\['loss'\]\[1\] is inf"),
        (lambda: plotting.loss_curves({"loss": [1, 2], "val_loss": [1]}), ValueError, "1 values; expected 2.*_freq=1"),
        (lambda: plotting.loss_curves({"loss": [1]}, validation_freq=0), ValueError, "validation_freq=0 is too small"),
    ],
)  # fmt: skip
def test_each_error_names_the_argument_and_the_cure(call, error, message):
    with pytest.raises(error, match=message):
        call()
