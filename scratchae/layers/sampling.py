"""The latent variable of a variational autoencoder."""

from __future__ import annotations

import numpy as np

from .. import checks
from ..changes import note_change
from .base import Layer


class Sampling(Layer):
    """z = mean + exp(log_var / 2) * noise, with noise from N(0, 1): Kingma & Welling 2014, eq. 4 and appendix B.

    Called on [mean, log_var]. It carries the other half of the variational loss too: the Kullback-Leibler divergence
    from N(mean, exp(log_var)) to N(0, 1), averaged over the batch,

        beta * mean over n of sum over d of -1/2 (1 + log_var - mean^2 - exp(log_var)).

    Args:
        beta: weight of the divergence; 1 is the variational bound, others are Higgins et al. 2017, 0 leaves it out.

    Attributes:
        noise: None, or an array (N, D) used instead of a draw, for tests and figures.

    Input shape: two times (N, D). Output shape: (N, D).
    """

    module = "scratchae.layers"
    takes_several = True
    draws = True

    def __init__(self, beta=1.0, **options):
        super().__init__(**options)
        self.beta = checks.number("Sampling", "beta", beta, low=0)
        self._given = None

    @property
    def noise(self):
        return self._given

    @noise.setter
    def noise(self, value):
        self._given = value
        note_change()

    @property
    def recordable(self):
        return self.noise is None and super().recordable  # else every batch has its own

    def check_input(self, input_shape):
        if not isinstance(input_shape, list) or len(input_shape) != 2 or input_shape[0] != input_shape[1]:
            raise ValueError(f"{self}: the input has shape {input_shape}; expected [mean, log_var] of one shape")

    def compute_output_shape(self, input_shape):
        return input_shape[0]

    def _noise(self, call):
        """The noise that is given, or None, and what it is drawn from then."""
        if self.noise is None:
            return None, call.key, call.step, call.first_sample
        noise = np.atleast_1d(np.asarray(self.noise, call.dtype))[call.first_sample : call.first_sample + call.n]
        if noise.shape != call.shape:
            raise ValueError(
                f"{self}: noise has shape {np.shape(self.noise)}; expected one row of {call.shape[1:]} a sample"
            )
        return call.backend.array(noise), call.key, call.step, call.first_sample

    def forward(self, call):
        mean, log_var = call.inputs
        scale = self.beta * call.sample_scale
        call.ops.sampling_forward(call.y, call.penalty, mean, log_var, *self._noise(call), scale)

    def backward(self, call):
        (mean, log_var), (dmean, dlog_var) = call.inputs, call.input_gradients
        scale = self.beta * call.sample_scale
        call.ops.sampling_backward(dmean, dlog_var, call.dy, mean, log_var, *self._noise(call), scale)
