import numpy as np
import pytest

from scratchae.datasets import sequences


def test_sequences_are_the_documented_sums():
    N, T, F, K = 3, 11, 4, 2
    x, (a, v, p) = sequences.sines(N, T, F, K, seed=0)
    assert x.shape == (N, T, F)
    assert x.dtype == np.float32
    for i in range(N):
        for t in range(T):
            for f in range(F):
                angles = 2 * np.pi * v[i] * t / T + p[i] + np.pi * f / F
                assert x[i, t, f] == pytest.approx(float(a[i] @ np.sin(angles)), abs=1e-6)


@pytest.mark.parametrize("components", [1, 2, 5])
@pytest.mark.parametrize("timesteps", [1, 3, 50])
def test_parameters_keep_their_ranges(components, timesteps):
    x, parameters = sequences.sines(400, timesteps, 2, components, seed=1)
    assert {array.shape for array in parameters} == {(400, components)}
    a, v, p = parameters.amplitudes, parameters.frequencies, parameters.phases
    assert 0.2 / components <= a.min() <= a.max() <= 1 / components
    assert 0.5 <= v.min() <= v.max() <= max(0.5, min(4, timesteps / 2))
    assert np.all(np.diff(v, axis=1) >= 0)
    assert 0 <= p.min() <= p.max() <= 2 * np.pi
    assert np.abs(x).max() < 1


def test_parameters_can_be_found_again():
    """The strongest frequency of a single sine is the parameter, to the resolution of the transform."""
    x, (_, v, _) = sequences.sines(20, 64, 1, 1, seed=2)
    spectrum = np.abs(np.fft.rfft(x[:, :, 0], 64 * 64, axis=1))
    np.testing.assert_allclose(spectrum.argmax(axis=1) / 64, v[:, 0], atol=0.4)


def test_noise_has_its_spread_and_changes_nothing_else():
    clean, parameters = sequences.sines(200, 30, 3, seed=3)
    noisy, same = sequences.sines(200, 30, 3, noise=0.05, seed=3)
    np.testing.assert_array_equal(parameters, same)
    inside = np.abs(clean) < 0.7
    assert np.std((noisy - clean)[inside]) == pytest.approx(0.05, rel=0.05)
    loud, _ = sequences.sines(200, 30, 3, noise=3, seed=3)
    assert loud.min() > -1
    assert loud.max() < 1


def test_the_seed_decides():
    first, again, other = (sequences.sines(2, 9, 2, noise=0.1, seed=seed)[0] for seed in (5, 5, 6))
    np.testing.assert_array_equal(first, again)
    assert np.all(np.any(first != other, axis=(1, 2)))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"n": 0}, ValueError, "sines: n=0 is too small; expected an integer of at least 1"),
        ({"timesteps": 2.5}, TypeError, "sines: timesteps=2.5 is a float"),
        ({"features": -1}, ValueError, "sines: features=-1 is too small"),
        ({"components": 0}, ValueError, "sines: components=0 is too small"),
        ({"noise": -0.1}, ValueError, "sines: noise=-0.1 is out of range"),
        ({"noise": np.inf}, ValueError, "sines: noise=inf is out of range"),
        ({"noise": "much"}, TypeError, "sines: noise='much' is a str"),
    ],
)
def test_bad_arguments_are_named(arguments, error, message):
    with pytest.raises(error, match=message):
        sequences.sines(**{"n": 2, "timesteps": 5, "features": 1, **arguments})
