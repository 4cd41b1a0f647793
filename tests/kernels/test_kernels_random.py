import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numeric import DTYPES, assert_close, draw, poison, run

from scratchae.kernels import reference as ops
from scratchae.kernels.reference.random import philox4x32

KEY = (0xDEADBEEF, 0x12345678)
ONES = 0xFFFFFFFF


def at_step(value):
    step = np.array([value], np.uint64)
    step.flags.writeable = False
    return step


def philox_in_integers(counter, key):
    """The cipher once more, in Python's integers, as Salmon et al. 2011 write it."""
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(10):
        left, right = 0xD2511F53 * c0, 0xCD9E8D57 * c2
        c0, c1, c2, c3 = (right >> 32) ^ c1 ^ k0, right & ONES, (left >> 32) ^ c3 ^ k1, left & ONES
        k0, k1 = (k0 + 0x9E3779B9) & ONES, (k1 + 0xBB67AE85) & ONES
    return c0, c1, c2, c3


def uniforms(index, key, step):
    """The four numbers of element `index`'s block, from the upper 24 bits of its words."""
    block = index // 4
    return [(w >> 8) / 2**24 for w in philox_in_integers((block & ONES, block >> 32, step & ONES, step >> 32), key)]


def normal_number(index, key, step):
    u = uniforms(index, key, step)
    pair = 2 * (index % 4 // 2)
    radius, angle = math.sqrt(-2 * math.log(u[pair] + 2**-24)), 2 * math.pi * u[pair + 1]
    return radius * (math.sin(angle) if index % 2 else math.cos(angle))


def normal(*shape, key=KEY, step=0, first_sample=0, dtype="float64"):
    out = poison(*shape, dtype=dtype)
    run(ops.normal, out, key, at_step(step), first_sample)
    return out


def dropped_out(x, rate, key=KEY, step=0, first_sample=0):
    y = poison(*x.shape, dtype=x.dtype)
    run(ops.dropout_forward, y, x, rate, key, at_step(step), first_sample)
    return y


@pytest.mark.parametrize(
    ("counter", "key", "words"),
    [
        ("00000000 00000000 00000000 00000000", "00000000 00000000", "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
        ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff", "408f276d 41c83b0e a20bc7c6 6d5451fd"),
        ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0", "d16cfe09 94fdcceb 5001e420 24126ea1"),
    ],
)
def test_known_answers_of_random123(counter, key, words):
    counter, key, words = ([int(word, 16) for word in text.split()] for text in (counter, key, words))
    assert philox4x32(np.array([counter], np.uint32).T, tuple(key))[:, 0].tolist() == words
    assert list(philox_in_integers(counter, key)) == words  # the tests' own, too


@pytest.mark.parametrize("step", [0, 7, (5 << 32) + 3])
@pytest.mark.parametrize("first_sample", [0, 1, 3, 10**10 + 1])
def test_element_for_element(first_sample, step):
    out = normal(3, 5, 7, step=step, first_sample=first_sample)
    expected = [normal_number(first_sample * 35 + i, KEY, step) for i in range(3 * 35)]
    assert_close(out, np.reshape(expected, (3, 5, 7)))
    x, y = draw(0, 3, 5, 7), dropped_out(draw(0, 3, 5, 7), 0.3, step=step, first_sample=first_sample)
    for i, (value, result) in enumerate(zip(x.flat, y.flat, strict=True)):
        u = uniforms(first_sample * 35 + i, KEY, step)[(first_sample * 35 + i) % 4]
        assert result == pytest.approx(value / 0.7 if u >= 0.3 else 0, rel=1e-14)


@given(
    D=st.integers(1, 9),
    parts=st.lists(st.integers(1, 5), min_size=1, max_size=5),
    first=st.integers(0, 9),
    dtype=st.sampled_from(DTYPES),
)
@settings(max_examples=40, deadline=None, derandomize=True)
def test_parts_make_up_the_whole(D, parts, first, dtype):
    x = draw(0, sum(parts), D, dtype=dtype)
    noise, dropped = normal(len(x), D, first_sample=first, dtype=dtype), dropped_out(x, 0.4, first_sample=first)
    start = 0
    for n in parts:
        part, place = slice(start, start + n), first + start
        assert_close(normal(n, D, first_sample=place, dtype=dtype), noise[part], rtol=0, atol=0)
        assert_close(dropped_out(x[part], 0.4, first_sample=place), dropped[part], rtol=0, atol=0)
        start += n


@pytest.mark.parametrize(
    "changed",
    [
        {"key": (KEY[0] + 1, KEY[1])},
        {"key": (KEY[0], KEY[1] + 1)},
        {"step": 1},
        {"step": 1 << 32},
        {"first_sample": 1000},
    ],
    ids=str,
)
def test_another_key_step_or_place_gives_other_numbers(changed):
    a, b = normal(1000), normal(1000, **changed)
    assert np.count_nonzero(a == b) <= 1
    assert abs(np.mean(a * b)) < 5 / math.sqrt(1000)  # five standard deviations, as below


def test_a_million_normal_numbers():
    n = 10**6
    v = normal(1000, 1000, step=3).reshape(-1)
    assert abs(v.mean()) < 5 / math.sqrt(n)
    assert abs(v.var() - 1) < 5 * math.sqrt(2 / n)
    assert abs(np.mean(v**3)) < 5 * math.sqrt(15 / n)
    assert abs(np.mean(v**4) - 3) < 5 * math.sqrt(96 / n)
    for lag in (1, 2, 3, 4, 1000):
        assert abs(np.mean(v[:-lag] * v[lag:])) < 5 / math.sqrt(n)
        assert abs(np.mean((v[:-lag] ** 2 - 1) * (v[lag:] ** 2 - 1))) < 5 * 2 / math.sqrt(n)
    beyond_two = np.mean(np.abs(v) > 2)
    p = math.erfc(math.sqrt(2))
    assert abs(beyond_two - p) < 5 * math.sqrt(p * (1 - p) / n)


def test_float32_draws_the_same_numbers():
    single, double = normal(100, 101, dtype="float32"), normal(100, 101)
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, double, rtol=0, atol=2e-6)
    x = draw(0, 100, 101)
    kept = dropped_out(x.astype("float32"), 0.3) != 0
    assert (kept == (dropped_out(x, 0.3) != 0)).all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_gaussian_noise(dtype):
    x = draw(0, 3, 5, 7, dtype=dtype)
    y, dx = poison(3, 5, 7, dtype=dtype), poison(3, 5, 7, dtype=dtype)
    run(ops.gaussian_noise_forward, y, x, 0.25, KEY, at_step(2), 4)
    expected = [x.flat[i] + 0.25 * normal_number(4 * 35 + i, KEY, 2) for i in range(x.size)]
    assert_close(y, np.reshape(expected, x.shape), dtype)
    dy = draw(1, 3, 5, 7, dtype=dtype)
    run(ops.gaussian_noise_backward, dx, np.array(dy))
    assert_close(dx, dy, rtol=0, atol=0)


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_dropout_drops_the_fraction_and_keeps_the_mean(rate):
    n = 10**6
    y = dropped_out(np.ones((1000, 1000)), rate)
    assert set(np.unique(y)) == {0.0, 1 / (1 - rate)}
    assert abs(np.mean(y == 0) - rate) < 5 * math.sqrt(rate * (1 - rate) / n)


def test_dropout_of_nothing_is_the_identity():
    x = draw(0, 3, 5)
    assert_close(dropped_out(x, 0.0), x, rtol=0, atol=0)


@pytest.mark.parametrize("dtype", DTYPES)
def test_dropout_s_backward_draws_forward_s_numbers_again(dtype):
    x, dy, dx = draw(0, 50, 7, dtype=dtype), draw(1, 50, 7, dtype=dtype), poison(50, 7, dtype=dtype)
    y = dropped_out(x, 0.4, step=5, first_sample=3)
    run(ops.dropout_backward, dx, np.array(dy), 0.4, KEY, at_step(5), 3)
    assert 0 < np.count_nonzero(dx) < dx.size
    assert_close(dx, dy * (y / x), dtype)
