"""The contract between layers and kernels: every op's name, arguments, shapes and rules.

`Ops` lists the ops once. A backend is a module that defines all of them: `reference` (NumPy, the formula and nothing
else) is the one that every other is held against. One family of ops has one file name in every backend, so
`reference/conv2d.py` opens beside the other rooms' `conv2d`.

Letters, used everywhere:

    N  samples in the batch            T  time steps               p, t   prediction, target
    I  input features                  U  units of an LSTM         dx     gradient of the loss with respect to x
    O  output features or channels     D  features of a vector     w, b   weight, bias
    H, W, C   height, width, channels  P  parameters, all in one   lr     learning rate
    J, K      height, width of a convolution's kernel

Rules:

1. An op writes into its destinations and returns nothing. Order of arguments: outputs, the upstream gradient, what
   forward saved, scalars.
2. Gradients of activations overwrite their destination. `dx=None` means that nobody asks for it, and it is skipped;
   so it is for `dw=None` and `db=None` (a layer that is not trained). `b=None` is a layer without bias.
3. Gradients of parameters are written when `accumulate` is false and added to when it is true.
4. Functions whose doc says "adds" are the only others that read what stands in their destination.
5. `dy` is scratch: an op may overwrite it.
6. An activation's derivative is computed from its output y, so no pre-activation is kept. Where it is linear, backward
   may be given y=None.
7. Images are NHWC, convolution weights are (J, K, C, O), sequences are (N, T, D), rank 2 is row-major.
8. Random numbers are a pure function of (key, step, index of the element counted from the first sample of the data
   set or batch): the same in any order, in any number of threads, and drawn again in backward instead of stored.
9. Sums have a fixed order: the same inputs give the same bits.
10. How an activation lies in memory is the backend's own affair (`Layout`); the shapes below are what it stands for.
    Parameters, gradients of parameters and everything of one axis are plain arrays.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

Array = Any  # a backend's array: numpy.ndarray for `reference`
Key = tuple[int, int]  # two 32-bit words

LONGEST_CHAIN = 5  # layers that dense_chain takes at once,
WIDEST_CHAIN = 128  # and the most features that they may have between them and at the end


class Link(NamedTuple):
    """A convolution of a chain, alone or with its neighbour, and all that its own ops are given."""

    neighbour: str | None  # "max_pool2d" behind it, "up_sampling2d" before it
    dx: Array | None
    dw: Array | None
    db: Array | None
    dy: Array | None
    y: Array
    saved: tuple[Array, ...]  # (winner,) where it is pooled
    x: Array
    w: Array
    b: Array | None
    padding: str
    activation: str
    accumulate: bool

    @property
    def forward(self) -> tuple:
        """The arguments of its forward op."""
        return self.y, *self.saved, self.x, self.w, self.b, self.padding, self.activation

    @property
    def backward(self) -> tuple:
        """The arguments of its backward op."""
        gradients = self.dx, self.dw, self.db, self.dy
        return *gradients, self.y, *self.saved, self.x, self.w, self.padding, self.activation, self.accumulate


class Layout(Protocol):
    """Where a backend's activations are in memory: its module `layout`."""

    def activation_bytes(self, shape: tuple[int, ...], dtype: Any, border: tuple[int, int]) -> int:
        """Memory for a tensor (N, ...), with rows and columns around its images that kernels may read."""

    def activation(self, memory: Array, shape: tuple[int, ...], dtype: Any, border: tuple[int, int]) -> Array:
        """The tensor laid on the beginning of `memory` (bytes): what ops are given."""

    def clear_border(self, activation: Array) -> None:
        """Write zeros around the images. Ops never write there."""

    def read(self, out: Any, activation: Array) -> None:
        """Copy an activation into an ndarray of its shape."""

    def takes(self, array: Any) -> bool:
        """Whether an ndarray of the type in question can be given to ops as it is."""


class Machine(Protocol):
    """What a backend's kernels run on, and the memory of it: its module `machine`, or an object where there are
    several such machines."""

    def describe(self) -> str:
        """What it is, in words."""

    def warm_up(self, say: Callable[[str], None]) -> None:
        """Compile ahead what else would be compiled when it is first used, and say what has been done."""

    def empty(self, shape: tuple[int, ...], dtype: Any) -> Array:
        """A contiguous array, aligned to a cache line, of anything."""

    def upload(self, array: Array, value: Any) -> None:
        """Write an ndarray of the array's shape, or one number, into an array."""

    def download(self, array: Array) -> Any:
        """A copy of an array as an ndarray."""

    def hold(self, data: Any) -> Any:
        """A data set (samples, ...) where `gather` reads it fastest: itself, or a copy if there is room for it."""

    def borrow(self, data: Any) -> Any:
        """A data set that lies in the memory of a GPU, as `gather` takes it, without a copy; None if it does not."""


class Conveyor(Protocol):
    """Memory for batches of one size on their way to a device."""

    def put(self, data: Any, rows: Any) -> Any:
        """Rows of a data set on the device, as `gather` takes them, for the work up to the next call. The device goes
        on with what it was told before meanwhile."""


class RecordingMachine(Machine, Protocol):
    """One that can record what ops do, and do it again."""

    def reads(self, data: Any) -> bool:
        """Whether `gather` reads data of the host where it lies, and so can be recorded."""

    def record(self, work: Callable[..., None], *arrays: Any) -> Callable[..., None]:
        """Do nothing yet, but return what does the work again and again. What is uploaded in it is zeros.

        Where kernels reach arrays of the host, the work may be given lists of them; what is returned is then given
        others, of the same shapes and types, every time.
        """


class DeviceMachine(RecordingMachine, Protocol):
    """One with memory of its own, where a recorded step finds its batch."""

    def conveyor(self, data: Any, n: int) -> Conveyor:
        """For batches of n rows of data like this, which it does not hold. They come to one of few places."""

    def batch(self, n: int, size: int, order: Array | None = None, index: Array | None = None) -> Any:
        """Rows for `gather` that are known to the device alone: n rows from index[0] * size on in the order `order`,
        the first n where there is none."""


class Ops(Protocol):
    """Every op of a backend. A module satisfies the protocol by defining functions with these signatures."""

    layout: Layout

    # ---- activations: linear, relu, sigmoid, tanh -------------------------------------------------------------------
    def activation_forward(self, y: Array, x: Array, activation: str) -> None:
        """y = activation(x), any shape."""

    def activation_backward(self, dx: Array, dy: Array, y: Array, activation: str) -> None:
        """dx = dy * activation'(x), the derivative written in terms of y."""

    # ---- dense ------------------------------------------------------------------------------------------------------
    def dense_forward(self, y: Array, x: Array, w: Array, b: Array | None, activation: str) -> None:
        """y = activation(x w + b)       x (..., I), w (I, O), b (O,), y (..., O)."""

    def dense_backward(
        self,
        dx: Array | None,
        dw: Array | None,
        db: Array | None,
        dy: Array,
        y: Array,
        x: Array,
        w: Array,
        activation: str,
        accumulate: bool,
    ) -> None:
        """dz = dy * activation'; dx = dz w^T, dw = x^T dz, db = sum of dz over the rows."""

    # ---- convolution ------------------------------------------------------------------------------------------------
    def conv2d_forward(self, y: Array, x: Array, w: Array, b: Array | None, padding: str, activation: str) -> None:
        """Cross-correlation with stride 1: y[n,h,w,o] = activation(sum_jkc x[n, h+j, w+k, c] w[j,k,c,o] + b[o]).

        x (N, H, W, C), w (J, K, C, O) with J and K odd. padding "same": y (N, H, W, O), x with a border of J//2 and
        K//2 zeros; "valid": y (N, H-J+1, W-K+1, O).
        """

    def conv2d_backward(
        self,
        dx: Array | None,
        dw: Array | None,
        db: Array | None,
        dy: Array,
        y: Array,
        x: Array,
        w: Array,
        padding: str,
        activation: str,
        accumulate: bool,
    ) -> None:
        """The three gradients of conv2d_forward."""

    # ---- pooling and upsampling by two ------------------------------------------------------------------------------
    def max_pool2d_forward(self, y: Array, winner: Array, x: Array) -> None:
        """Maximum of each 2x2 window, stride 2.

        x (N, H, W, C); y and winner (N, ceil(H/2), ceil(W/2), C) for "same", floor for "valid": the shape of y tells.
        A window that sticks out counts its inside only. winner (uint8) is the place of the maximum in the window in
        row-major order, the first one of equals. NaN wins.
        """

    def max_pool2d_backward(self, dx: Array, dy: Array, winner: Array) -> None:
        """dx is dy at each window's winner and zero elsewhere."""

    def up_sampling2d_forward(self, y: Array, x: Array) -> None:
        """Every pixel becomes a 2x2 block: x (N, H, W, C), y (N, 2H, 2W, C)."""

    def up_sampling2d_backward(self, dx: Array, dy: Array) -> None:
        """dx is the sum of dy over each 2x2 block."""

    # ---- sequences --------------------------------------------------------------------------------------------------
    def lstm_forward(self, h: Array, c: Array, gates: Array, x: Array, wx: Array, wh: Array, b: Array | None) -> None:
        """Long short-term memory over T steps from a zero state (Hochreiter & Schmidhuber 1997, with forget gates).

        z_t = x_t wx + h_(t-1) wh + b;  i, f, o = sigmoid, g = tanh of z's quarters in the order i, f, g, o;
        c_t = f c_(t-1) + i g;  h_t = o tanh(c_t).
        x (N, T, I), wx (I, 4U), wh (U, 4U), b (4U,), h and c (N, T, U), gates (N, T, 4U) holds i, f, g, o.
        """

    def lstm_backward(
        self,
        dx: Array | None,
        dwx: Array | None,
        dwh: Array | None,
        db: Array | None,
        dh: Array,
        h: Array,
        c: Array,
        gates: Array,
        x: Array,
        wx: Array,
        wh: Array,
        accumulate: bool,
    ) -> None:
        """Backpropagation through time; dh (N, T, U) is the gradient that each step's output receives from above."""

    def last_step_forward(self, y: Array, h: Array) -> None:
        """y = h[:, T-1]       h (N, T, U), y (N, U)."""

    def last_step_backward(self, dh: Array, dy: Array) -> None:
        """dh is dy in the last step and zero before."""

    def repeat_vector_forward(self, y: Array, x: Array) -> None:
        """x (N, D) at every step of y (N, T, D)."""

    def repeat_vector_backward(self, dx: Array, dy: Array) -> None:
        """dx is the sum of dy over time."""

    # ---- shape and scale --------------------------------------------------------------------------------------------
    def reshape_forward(self, y: Array, x: Array) -> None:
        """The elements of each sample of x in row-major order, in the shape of y."""

    def reshape_backward(self, dx: Array, dy: Array) -> None:
        """The elements of each sample of dy, in the shape of dx."""

    def rescale_forward(self, y: Array, x: Array, scale: float, offset: float) -> None:
        """y = scale x + offset."""

    def rescale_backward(self, dx: Array, dy: Array, scale: float) -> None:
        """dx = scale dy."""

    def add(self, y: Array, x: Array) -> None:
        """Adds x to y: where a tensor has several consumers, their gradients are summed."""

    def gather(self, x: Array, data: Array, rows: Array, flag: Array) -> None:
        """x[n] = data[rows[n]], cast to x's type; sets flag[0] to 1 if an element is NaN or infinite, and leaves it
        otherwise."""

    # ---- neighbours in one: the same as one op after the other, to rounding -----------------------------------------
    def conv2d_max_pool2d_forward(
        self, y: Array, winner: Array, x: Array, w: Array, b: Array | None, padding: str, activation: str
    ) -> None:
        """max_pool2d_forward of conv2d_forward."""

    def conv2d_max_pool2d_backward(
        self,
        dx: Array | None,
        dw: Array | None,
        db: Array | None,
        dy: Array,
        y: Array,
        winner: Array,
        x: Array,
        w: Array,
        padding: str,
        activation: str,
        accumulate: bool,
    ) -> None:
        """Its gradients."""

    def up_sampling2d_conv2d_forward(
        self, y: Array, x: Array, w: Array, b: Array | None, padding: str, activation: str
    ) -> None:
        """conv2d_forward of up_sampling2d_forward."""

    def up_sampling2d_conv2d_backward(
        self,
        dx: Array | None,
        dw: Array | None,
        db: Array | None,
        dy: Array,
        y: Array,
        x: Array,
        w: Array,
        padding: str,
        activation: str,
        accumulate: bool,
    ) -> None:
        """Its gradients."""

    def conv2d_chain_forward(self, links: list[Link]) -> None:
        """The forward op of each link, in order: the y of one is the x of the next."""

    def conv2d_chain_backward(self, links: list[Link]) -> None:
        """The backward op of each link, the last one first: the dx of one is the dy of the one before, and its dw and
        db are those of no other."""

    def repeat_vector_lstm_forward(
        self, h: Array, c: Array, gates: Array, x: Array, wx: Array, wh: Array, b: Array | None
    ) -> None:
        """lstm_forward of repeat_vector_forward: x (N, I) is the input of every step."""

    def repeat_vector_lstm_backward(
        self,
        dx: Array | None,
        dwx: Array | None,
        dwh: Array | None,
        db: Array | None,
        dh: Array,
        h: Array,
        c: Array,
        gates: Array,
        x: Array,
        wx: Array,
        wh: Array,
        accumulate: bool,
    ) -> None:
        """Its gradients; dx (N, I)."""

    def dense_chain_forward(
        self, ys: Sequence[Array], x: Array, ws: Sequence[Array], bs: Sequence[Array | None], activations: Sequence[str]
    ) -> None:
        """dense_forward of each layer, on what the one before has written: 2 to LONGEST_CHAIN of them, with outputs of
        at most WIDEST_CHAIN features. x may have any number."""

    def dense_chain_backward(
        self,
        dx: Array | None,
        dws: Sequence[Array | None],
        dbs: Sequence[Array | None],
        dys: Sequence[Array],
        ys: Sequence[Array],
        x: Array,
        ws: Sequence[Array],
        activations: Sequence[str],
        accumulate: bool,
    ) -> None:
        """Its gradients. The last of dys is given, the others are memory for those of the outputs between layers; all
        of them are scratch afterwards."""

    def dense_binary_crossentropy(
        self,
        total: Array,
        loss: Array,
        dz: Array,
        x: Array,
        w: Array,
        b: Array | None,
        t: Array,
        weight: Array,
        scale: float,
    ) -> None:
        """binary_crossentropy of p = dense_forward with a sigmoid, and in dz (N, O) its derivative with respect to the
        logits x w + b. Adds the weighted_sum of loss to total."""

    # ---- noise ------------------------------------------------------------------------------------------------------
    def normal(self, out: Array, key: Key, step: Array, first_sample: int) -> None:
        """Standard normal numbers, out (N, ...): see `reference/random.py` for the generator.

        Element i of sample n has index (first_sample + n) * (elements a sample) + i. step (1,) uint64.
        """

    def gaussian_noise_forward(
        self, y: Array, x: Array, stddev: float, key: Key, step: Array, first_sample: int
    ) -> None:
        """y = x + stddev * normal(key, step, first_sample)."""

    def gaussian_noise_backward(self, dx: Array, dy: Array) -> None:
        """dx = dy."""

    def dropout_forward(self, y: Array, x: Array, rate: float, key: Key, step: Array, first_sample: int) -> None:
        """y = x / (1 - rate) where a uniform number is at least rate, else 0."""

    def dropout_backward(self, dx: Array, dy: Array, rate: float, key: Key, step: Array, first_sample: int) -> None:
        """dx = dy / (1 - rate) where forward kept the element, else 0: the same numbers are drawn again."""

    def sampling_forward(
        self,
        z: Array,
        value: Array,
        mean: Array,
        log_var: Array,
        noise: Array | None,
        key: Key,
        step: Array,
        first_sample: int,
        scale: float,
    ) -> None:
        """z = mean + exp(log_var / 2) * noise (Kingma & Welling 2014, eq. 4); noise=None draws normal numbers.

        Adds scale * sum(-1/2 (1 + log_var - mean^2 - exp(log_var))) to value (1,): the divergence of their appendix B.
        scale=0 leaves value alone, whatever the divergence is.
        """

    def sampling_backward(
        self,
        dmean: Array,
        dlog_var: Array,
        dz: Array,
        mean: Array,
        log_var: Array,
        noise: Array | None,
        key: Key,
        step: Array,
        first_sample: int,
        scale: float,
    ) -> None:
        """dmean = dz + scale * mean; dlog_var = dz * noise * exp(log_var / 2) / 2 + scale * (exp(log_var) - 1) / 2.

        scale=0 leaves out the second terms, infinite ones too.
        """

    # ---- penalties: a value, and a term that is added to a gradient -------------------------------------------------
    def l1_l2_forward(self, value: Array, x: Array, l1: float, l2: float, scale: float) -> None:
        """Adds scale * (l1 sum |x| + l2 sum x^2) to value (1,)."""

    def l1_l2_backward(self, dx: Array, x: Array, l1: float, l2: float, scale: float) -> None:
        """Adds scale * (l1 sign(x) + 2 l2 x) to dx."""

    # ---- losses: loss (N,) and dy like p; dy=None computes values only ----------------------------------------------
    # loss[n] = scale * sum of the sample's terms; dy = weight[n] * scale * derivative of the term
    def binary_crossentropy(
        self, loss: Array, dy: Array | None, p: Array, t: Array, weight: Array, scale: float
    ) -> None:
        """Terms -t log p - (1 - t) log(1 - p), p clipped to [1e-7, 1 - 1e-7]; where it was, the derivative is 0."""

    def mean_squared_error(
        self, loss: Array, dy: Array | None, p: Array, t: Array, weight: Array, scale: float
    ) -> None:
        """Terms (p - t)^2."""

    def mean_absolute_error(
        self, loss: Array, dy: Array | None, p: Array, t: Array, weight: Array, scale: float
    ) -> None:
        """Terms |p - t|; the derivative at 0 is 0."""

    def binary_accuracy(self, value: Array, p: Array, t: Array, threshold: float) -> None:
        """value[n] = the fraction of the sample's elements for which t equals 1 if p > threshold else 0."""

    def weighted_sum(self, total: Array, values: Array, weight: Array) -> None:
        """Adds sum_n weight[n] values[n] to total (1,)."""

    # ---- optimizers: over all trained parameters p (P,) and their gradient g (P,) at once ---------------------------
    # lr (1,), t (1,) counts updates from 1; flag (1,): where it is not 0, nothing is written
    def find_nonfinite(self, flag: Array, x: Array, values: Array) -> None:
        """Sets flag[0] to 1 if an element of x or one of the values (k,) is NaN or infinite; leaves it otherwise."""

    def end_step(self, counters: Array, sums: Array, totals: Array, flag: Array, n: int) -> None:
        """counters += 1 (int64) and sums += n totals (float64): what a step leaves behind."""

    def sgd(
        self,
        p: Array,
        g: Array,
        m: Array | None,
        lr: Array,
        flag: Array,
        momentum: float,
        nesterov: bool,
    ) -> None:
        """p -= lr g; with momentum m = momentum m - lr g and p += m (nesterov: p += momentum m - lr g)."""

    def adam(
        self,
        p: Array,
        g: Array,
        m: Array,
        v: Array,
        v_max: Array | None,
        t: Array,
        lr: Array,
        flag: Array,
        beta_1: float,
        beta_2: float,
        epsilon: float,
    ) -> None:
        """Kingma & Ba 2015, in the form before section 2.1; with v_max: AMSGrad (Reddi, Kale & Kumar 2018).

        m += (1 - beta_1) (g - m); v += (1 - beta_2) (g^2 - v); v_max = max(v_max, v);
        p -= lr sqrt(1 - beta_2^t) / (1 - beta_1^t) * m / (sqrt(v or v_max) + epsilon)
        """

    def rmsprop(
        self,
        p: Array,
        g: Array,
        v: Array,
        mean: Array | None,
        m: Array | None,
        lr: Array,
        flag: Array,
        rho: float,
        momentum: float,
        epsilon: float,
    ) -> None:
        """v = rho v + (1 - rho) g^2; p -= lr g / sqrt(v + epsilon) (Hinton's lecture 6e).

        With mean (centered, Graves 2013): mean = rho mean + (1 - rho) g, and max(v - mean^2, 0) stands for v. With m:
        m = momentum m + step, and p -= m.
        """

    def adadelta(
        self, p: Array, g: Array, a: Array, d: Array, lr: Array, flag: Array, rho: float, epsilon: float
    ) -> None:
        """Zeiler 2012, algorithm 1: a = rho a + (1 - rho) g^2; s = -sqrt(d + eps) / sqrt(a + eps) g;
        d = rho d + (1 - rho) s^2; p += lr s."""

    def weight_decay(self, p: Array, lr: Array, flag: Array, decay: float) -> None:
        """p -= lr decay p (Loshchilov & Hutter 2019)."""

    def clip_by_value(self, g: Array, limit: float) -> None:
        """g is held within [-limit, limit]."""

    def clip_by_norm(self, g: Array, limit: float) -> None:
        """g *= limit / max(|g|, limit), |.| the Euclidean norm: for one parameter or for all of them."""

    def accumulate_gradient(self, total: Array, g: Array, flag: Array) -> None:
        """total += g: one more batch of an accumulation over several."""

    def mean_gradient(self, g: Array, total: Array, flag: Array, steps: int) -> None:
        """g = (g + total) / steps, and total = 0: ends an accumulation."""

    def exponential_average(self, average: Array, p: Array, flag: Array, momentum: float) -> None:
        """average = momentum average + (1 - momentum) p."""
