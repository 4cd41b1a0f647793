"""The reparameterization trick and the Kullback-Leibler divergence (Kingma & Welling 2014): sampling.cu."""

from __future__ import annotations

from .launcher import Source, blocks
from .random import FOURS, THREADS, first_element, grid
from .regularizer import add_up, partials

source = Source("sampling")


def sampling_forward(z, mean, log_var, noise, key, step, first_sample):
    start = first_element(z, first_sample)
    arrays = z, mean, log_var, noise
    source.launch("sampling_forward", grid(z, start), THREADS, *arrays, z.size, start, *key, step)


def sampling_backward(dmean, dlog_var, dz, log_var, noise, key, step, first_sample):
    start = first_element(dz, first_sample)
    arrays = dmean, dlog_var, dz, log_var, noise
    source.launch("sampling_backward", grid(dz, start), THREADS, *arrays, dz.size, start, *key, step)


def kl_divergence_forward(value, mean, log_var, scale):
    partial, count = partials(mean)
    source.launch("kl_divergence_forward", count, THREADS, value, partial, mean, log_var, mean.size, scale)
    add_up(value, partial, count, scale)


def kl_divergence_backward(dmean, dlog_var, mean, log_var, scale):
    n = mean.size
    source.launch("kl_divergence_backward", blocks(n, FOURS), THREADS, dmean, dlog_var, mean, log_var, n, scale)
