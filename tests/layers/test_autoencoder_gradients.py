"""Each of the five autoencoders as a whole: loss, penalties and all weights."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from scratchae import gradcheck
from scratchae.autoencoders import convolutional, recurrent, sparse, vanilla, variational

sizes = st.integers(1, 5)
hidden = st.lists(st.integers(2, 4), max_size=2)


def several(n):
    return settings(max_examples=n, deadline=None, derandomize=True)


def uniform(*shape, seed=0):
    return np.random.default_rng(seed).uniform(0.05, 0.95, shape)


def check(auto, x, y=None, weighted=False):
    weight = np.random.default_rng(2).uniform(0.2, 2, len(x)) if weighted else None
    report = gradcheck.check(auto, x, x if y is None else y, sample_weight=weight)
    assert report.checked > 0.8 * sum(min(w.size, gradcheck.DIRECTIONS) for w in auto.get_weights())
    return report


@given(N=sizes, D=sizes, hidden=hidden, latent=sizes, weighted=st.booleans())
@several(8)
def test_vanilla(N, D, hidden, latent, weighted):
    _, _, auto = vanilla.autoencoder(D, hidden, latent)
    check(auto, uniform(N, D), weighted=weighted)


@given(N=sizes, D=sizes, hidden=hidden, latent=sizes, weighted=st.booleans())
@several(8)
def test_sparse(N, D, hidden, latent, weighted):
    _, _, auto = sparse.autoencoder(D, hidden, latent, 0.1)
    check(auto, uniform(N, D), weighted=weighted)


@given(N=sizes, D=sizes, hidden=hidden, latent=sizes, weighted=st.booleans(), fixed=st.booleans())
@several(8)
def test_variational(N, D, hidden, latent, weighted, fixed):
    _, _, auto = variational.autoencoder(D, hidden, latent)
    auto.get_layer("sampling").noise = np.random.default_rng(3).standard_normal((N, latent)) if fixed else None
    check(auto, uniform(N, D), weighted=weighted)


@given(N=st.integers(1, 3), T=st.integers(1, 4), D=st.integers(1, 3), latent=st.integers(1, 3), weighted=st.booleans())
@several(6)
def test_recurrent(N, T, D, latent, weighted):
    _, _, auto = recurrent.autoencoder(T, D, latent)
    report = check(auto, uniform(N, T, D) - 0.5, weighted=weighted)
    assert report.skipped == 0  # nothing here has a kink


@given(
    N=st.integers(1, 2),
    H=st.integers(5, 10),
    W=st.integers(5, 10),
    C=st.integers(1, 2),
    filters=st.lists(st.integers(1, 2), min_size=1, max_size=3),
    weighted=st.booleans(),
)
@several(5)
def test_convolutional(N, H, W, C, filters, weighted):
    code = *(-(-n // 2 ** len(filters)) for n in (H, W)), filters[-1]
    _, _, auto = convolutional.autoencoder((H, W, C), filters, code)
    check(auto, uniform(N, H, W, C), uniform(N, *auto.output_shape[1:], seed=1), weighted)


def test_convolutional_of_itself():
    _, _, auto = convolutional.autoencoder((4, 12, 1), [1, 2, 1], (1, 2, 1))
    check(auto, uniform(2, 4, 12, 1))
