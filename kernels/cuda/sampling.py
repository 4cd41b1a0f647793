"""The reparameterization trick and the Kullback-Leibler divergence (Kingma & Welling 2014): sampling.cu."""

from __future__ import annotations

from .launcher import Source
from .random import THREADS, first_element, grid
from .regularizer import add_up, partials

source = Source("sampling")


def sampling_forward(z, value, mean, log_var, noise, key, step, first_sample, scale):
    start = first_element(z, first_sample)
    partial, count = partials(z)
    arrays = z, value if scale else None, partial, mean, log_var, noise
    source.launch("sampling_forward", count, THREADS, *arrays, z.size, start, *key, step, scale)
    if scale:
        add_up(value, partial, count, scale)


def sampling_backward(dmean, dlog_var, dz, mean, log_var, noise, key, step, first_sample, scale):
    start = first_element(dz, first_sample)
    arrays = dmean, dlog_var, dz, mean, log_var, noise
    source.launch("sampling_backward", grid(dz, start), THREADS, *arrays, dz.size, start, *key, step, scale)
