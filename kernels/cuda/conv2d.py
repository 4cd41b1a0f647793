"""Convolutions: conv2d.cu. And how the work of all convolutions is cut into blocks, which depends on shapes only, so
that sums have one order."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from .activation import ACTIVATIONS
from .launcher import SHARED, Source, blocks, machine_of

MULTIPROCESSORS = 132  # of an H100
THREADS = 256
ROOM = SHARED // 4 - 4  # numbers in the shared memory of a block, which a chain (conv2d_chain.cu) leaves a place for
ROWS, COLUMNS, WARPS = 9, 8, 8  # conv2d.cuh's, as is all that is computed from shapes here
LANES = 32

source = Source("conv2d")


def conv2d_forward(y, x, w, b, padding, activation):
    plan = plan_forward(len(x), y, x, w, padding)
    source.launch(
        "conv2d_forward", plan.grid, plan.block, y, x, w, b, *sizes(x, y, w, padding), ACTIVATIONS[activation],
        *plan.work, shared=plan.shared,
    )  # fmt: skip


def conv2d_backward(dx, dw, db, dy, y, x, w, padding, activation, accumulate):
    J, K = w.shape[:2]
    top, left = border(J, K, padding)
    code = ACTIVATIONS[activation]
    if dx is not None:
        plan = plan_input_gradient(len(x), x, w)
        source.launch(
            "conv2d_input_gradient", plan.grid, plan.block, dx, dy, y, w, *sizes(x, dy, w, padding), code, *plan.work,
            shared=plan.shared,
        )  # fmt: skip
    if dw is not None or db is not None:
        a_is_dz = takes_windows_of_dz(w)
        image, gradient = (x, None, ACTIVATIONS["linear"]), (dy, y, code)
        a, b = (gradient, image) if a_is_dz else (image, gradient)
        if a_is_dz:
            top, left = J - 1 - top, K - 1 - left
        sums = plan_weight_gradient(x, dy, w, padding)
        partial = machine_of(x).scratch(sums.numbers)
        source.launch(
            "conv2d_weight_gradient", sums.grid, THREADS, partial, *a, *b, a_is_dz, *a[0].shape, *b[0].shape[1:],
            J, K, top, left, *sums.share, shared=sums.shared,
        )  # fmt: skip
        add_partials(dw, db, partial, sums, w, a_is_dz, 0, accumulate)


def plan_forward(N, y, x, w, padding, threads=THREADS):
    J, K, C, O = w.shape
    _, P, Q, _ = y.shape
    return plan_cells(N, blocks(P, 2), blocks(Q, 2), C, O, (J, K), J * K, threads=threads)


def plan_input_gradient(N, x, w, threads=THREADS):
    J, K, C, O = w.shape
    _, H, W, _ = x.shape
    return plan_cells(N, blocks(H, 2), blocks(W, 2), O, C, (J, K), J * K, threads=threads)


def plan_weight_gradient(x, dy, w, padding, most=None):
    J, K, _, O = w.shape
    a, b = (dy, x) if takes_windows_of_dz(w) else (x, dy)
    return plan_sums(*b.shape, a.shape[3], (J, K), O, most=most)


def takes_windows_of_dz(w):
    """Whether dz, and not x, is displaced: where it has few channels they would not fill the columns, and x's may."""
    C, O = w.shape[2:]
    return O < COLUMNS and C > O


def add_partials(dw, db, partial, sums, w, a_is_dz, fold, accumulate):
    """dw and db from what the blocks have left."""
    source.launch(
        "conv2d_add_partials", blocks(w.size + w.shape[3], LANES), THREADS, dw, db, partial, sums.grid[0], *w.shape,
        a_is_dz, fold, accumulate,
    )  # fmt: skip


def border(J, K, padding):
    return (J // 2, K // 2) if padding == "same" else (0, 0)


def sizes(x, y, w, padding):
    """What every kernel takes: N, H, W, C, the y's height, width and channels, J, K, top, left."""
    J, K = w.shape[:2]
    return *x.shape, *y.shape[1:], J, K, *border(J, K, padding)


# ---- blocks ---------------------------------------------------------------------------------------------------------
class CellPlan(NamedTuple):
    """How cells of 2 x 2 pixels are dealt out: conv2d.cuh's Work, and the launch."""

    work: tuple[int, ...]  # images, rows, columns, chunk, groups, width
    grid: tuple[int, int]
    block: int
    shared: int
    tiles: int  # of an image


@lru_cache
def plan_cells(
    N: int,
    height: int,
    width: int,
    C: int,
    O: int,
    window: tuple[int, int],
    taps: int,
    stride: int = 1,
    phases: int = 1,
    threads: int = THREADS,
) -> CellPlan:
    """For N images of height x width cells, C channels in and O out. A pixel sees `window`, with so many weights for a
    pair of channels. A block has at most so many threads."""
    channels = 1 if O == 1 else 4 if O <= 4 else 8
    groups = min(blocks(O, channels), 4)
    cells = threads // (groups * phases)
    columns = even(width, min(cells, 16))
    rows = even(height, cells // columns)
    whole = rows == height and columns == width
    images = min(cells // (rows * columns), max(1, N // MULTIPROCESSORS)) if whole else 1
    chunk = C if C <= 16 else 16 if C % 4 == 0 else even(C, 16)

    def numbers() -> int:
        tile = plane(images, 2 * rows, 2 * columns, window, stride, 2 * stride)
        return chunk * (taps * groups * channels + tile)

    while numbers() > ROOM:  # better are 32 bytes of a pixel at once than many threads, and 128 threads than these
        if chunk > 8:
            chunk = 8
        elif images > 1 and images * rows * columns * groups * phases > 128:
            images -= 1
        elif chunk > 4:
            chunk = 4
        elif images > 1:
            images -= 1
        elif chunk > 1:
            chunk = blocks(chunk, 2)
        elif rows * columns > 1:
            rows, columns = blocks(rows, 2), blocks(columns, 2)
        elif groups > 1:
            groups = 1
        else:
            raise too_large(window)
    for narrower in (4, 1):  # where lanes of the only warp have nothing to do, they take channels of the others
        if narrower < channels and images * rows * columns * phases * groups * channels // narrower <= LANES:
            groups, channels = groups * channels // narrower, narrower
    tiles = blocks(N, images) * blocks(height, rows) * blocks(width, columns)
    down = blocks(O, groups * channels)
    used = blocks(images * rows * columns * groups * phases, LANES) * LANES
    grid = min(tiles, blocks(4 * MULTIPROCESSORS, down)), down
    work = images, rows, columns, chunk, groups, channels
    return CellPlan(work, grid, used, 4 * numbers(), blocks(height, rows) * blocks(width, columns))


class SumPlan(NamedTuple):
    """How sums over pixels are dealt out: conv2d.cuh's Share, and the launch."""

    share: tuple[int, ...]  # images, rows, columns, pitch, block_rows, row_groups, column_groups
    grid: tuple[int, int, int]
    shared: int
    numbers: int  # that the blocks leave


@lru_cache
def plan_sums(
    N: int,
    H: int,
    W: int,
    columns: int,
    channels: int,
    window: tuple[int, int],
    O: int,
    stride: int = 1,
    most: int | None = None,
) -> SumPlan:
    """For N images b (H, W, columns), and the windows of an image a with so many channels; dz has O. At most so many
    blocks, if that is possible; else two for each multiprocessor."""
    taps = window[0] * window[1]
    aligned = 4 * taps <= ROWS * WARPS  # then the rows of a block are of channels that can be read by fours
    limit = ROWS * WARPS // (4 * taps) * 4 * taps if aligned else ROWS * WARPS
    block_rows = min(channels * taps, limit, LANES * taps)
    block_channels = min(channels, block_rows // taps if aligned else (block_rows - 2) // taps + 2)
    row_groups = blocks(block_rows, ROWS)
    column_groups = min(blocks(columns, COLUMNS), WARPS // row_groups, LANES // COLUMNS)
    down, deep = blocks(channels * taps, block_rows), blocks(columns, column_groups * COLUMNS)
    parts = max(1, (most or 2 * MULTIPROCESSORS) // (down * deep))
    rows, across, images = H, even(W, 32), max(1, min(512 // (H * W), N // parts))

    def pitch(columns: int) -> int:
        in_a = blocks(stride * (columns - 1) + window[1], stride)
        return in_a if 6 * in_a <= 7 * columns else columns  # a seventh of the lanes may wait

    def numbers() -> int:
        tile = plane(images, rows, across, window, stride, stride)
        pixels = images * rows * pitch(across)
        tiles = block_channels * tile + (column_groups * COLUMNS + 4) * pixels
        return 4 * THREADS + ROWS * WARPS + pixels + max(tiles, ROWS * COLUMNS * WARPS)

    while numbers() > ROOM:
        if images > 1:
            images -= 1
        elif rows * across > 1:
            rows, across = (blocks(rows, 2), across) if rows > 1 else (1, blocks(across, 2))
        else:
            raise too_large(window)
    grid = min(parts, blocks(N, images) * blocks(H, rows) * blocks(W, across)), down, deep
    share = images, rows, across, pitch(across), block_rows, row_groups, column_groups
    return SumPlan(share, grid, 4 * numbers(), grid[0] * (channels * taps * columns + O))


def too_large(window: tuple[int, int]) -> ValueError:
    return ValueError(f"a kernel of {window[0]} x {window[1]} needs more shared memory than a GPU has")


def even(n: int, most: int) -> int:
    """The size of n's parts if they are as equal as they can be, and none is larger than `most`."""
    return blocks(n, blocks(n, most))


def plane(images: int, rows: int, columns: int, window: tuple[int, int], stride: int, parts: int) -> int:
    """Numbers of a channel in a tile: conv2d.cuh's Tile."""
    height, width = (stride * (n - 1) + size for n, size in zip((rows, columns), window, strict=True))
    return images * parts**2 * blocks(height, parts) * blocks(width, parts) | 1
