"""The reparameterization trick and the Kullback-Leibler divergence (Kingma & Welling 2014)."""

from __future__ import annotations

import numpy as np

from .random import normal_values


def sampling_forward(z, value, mean, log_var, noise, key, step, first_sample, scale):
    if noise is None:
        noise = normal_values(z.shape, z.dtype, key, step, first_sample)
    z[...] = mean + np.exp(log_var / 2) * noise
    if scale:  # 0 times a divergence that is infinite would be NaN
        value[0] += scale * np.sum(-0.5 * (1 + log_var - mean * mean - np.exp(log_var)))


def sampling_backward(dmean, dlog_var, dz, mean, log_var, noise, key, step, first_sample, scale):
    if noise is None:
        noise = normal_values(dz.shape, dz.dtype, key, step, first_sample)
    dmean[...] = dz
    dlog_var[...] = dz * noise * np.exp(log_var / 2) / 2
    if scale:
        dmean += scale * mean
        dlog_var += scale * (np.exp(log_var) - 1) / 2
