"""NVIDIA's cublasLt by ctypes: one product of matrices, what may follow it in the same kernel, and which algorithms
there are. products.py holds our kernels against it; nothing else uses it.

Why not CuPy's cuBLAS: it refuses to run while a graph is captured. cublasLt takes stream and workspace in each call.

    lt = opened()
    product = Matmul(lt, M, N, K, (False, False), "float32", Epilogue.RELU_BIAS, vector=address_of_the_bias)
    best, *others = product.algorithms(8)
    product.run(best.algorithm, out, a, b, workspace, stream)                addresses; captured if the stream is

Numbers, layouts and signatures are those of cublasLt.h and cublas_api.h, which are in NVIDIA's wheel nvidia-cublas:
https://docs.nvidia.com/cuda/cublas/#using-the-cublaslt-api
"""

from __future__ import annotations

import ctypes
from ctypes import POINTER, Structure, byref, c_char_p, c_float, c_int, c_int32, c_int64, c_size_t, c_uint64, c_void_p
from enum import IntEnum
from typing import Any

WORKSPACE = 32 * 2**20  # bytes: what NVIDIA recommends for Hopper


class Epilogue(IntEnum):
    """cublasLtEpilogue_t: what is done to the result before it is written."""

    DEFAULT = 1  # nothing
    BIAS = 4  # + bias
    RELU_BIAS = 6  # relu(... + bias)
    RELU_AUX = 130  # relu, and a bit for each element: is it positive?
    RELU_AUX_BIAS = 134  # the same of ... + bias
    DRELU = 136  # zero where such a bit is zero
    BGRADA = 256  # nothing; also, a bias' gradient: the sum of what is here b over its rows


class ComputeType(IntEnum):
    """cublasComputeType_t."""

    COMPUTE_32F = 68  # multiply-adds in float32
    COMPUTE_32F_FAST_TF32 = 77


class DescAttribute(IntEnum):
    """cublasLtMatmulDescAttributes_t."""

    TRANSA = 3  # int32, 0 or 1
    TRANSB = 4
    EPILOGUE = 7  # uint32
    BIAS_POINTER = 8  # of a bias, or of its gradient
    EPILOGUE_AUX_POINTER = 11  # of relu's bits
    EPILOGUE_AUX_LD = 12  # int64: bits from one column to the next, a multiple of 128


FLOAT32 = 0  # cudaDataType: CUDA_R_32F
MAX_WORKSPACE_BYTES = 1  # cublasLtMatmulPreferenceAttributes_t, uint64
AUX_LD_STEP = 128  # bits
PRECISIONS = {"float32": ComputeType.COMPUTE_32F, "tf32": ComputeType.COMPUTE_32F_FAST_TF32}


class Algorithm(Structure):
    """cublasLtMatmulAlgo_t, opaque."""

    _fields_ = (("data", c_uint64 * 8),)


class HeuristicResult(Structure):
    """cublasLtMatmulHeuristicResult_t."""

    _fields_ = (
        ("algorithm", Algorithm),
        ("workspace", c_size_t),  # bytes that it needs
        ("state", c_int),  # a cublasStatus_t: the rest is valid if it is 0
        ("waves", c_float),
        ("reserved", c_int * 4),
    )


# What the functions take; handles and descriptors are pointers. All but the two in CublasLt return a status.
SIGNATURES: dict[str, tuple[Any, ...]] = {
    "cublasLtCreate": (POINTER(c_void_p),),
    "cublasLtMatmulDescCreate": (POINTER(c_void_p), c_int, c_int),
    "cublasLtMatmulDescSetAttribute": (c_void_p, c_int, c_void_p, c_size_t),
    "cublasLtMatrixLayoutCreate": (POINTER(c_void_p), c_int, c_uint64, c_uint64, c_int64),
    "cublasLtMatmulPreferenceCreate": (POINTER(c_void_p),),
    "cublasLtMatmulPreferenceSetAttribute": (c_void_p, c_int, c_void_p, c_size_t),
    "cublasLtMatmulAlgoGetHeuristic": (*[c_void_p] * 7, c_int, POINTER(HeuristicResult), POINTER(c_int)),
    "cublasLtMatmul": (
        *(c_void_p, c_void_p, POINTER(c_float), c_void_p, c_void_p, c_void_p, c_void_p),  # handle, desc, alpha, A, B
        *(POINTER(c_float), c_void_p, c_void_p, c_void_p, c_void_p),  # beta, C, D
        *(POINTER(Algorithm), c_void_p, c_size_t, c_void_p),  # workspace and its size, stream
    ),
}


class CublasLtError(RuntimeError):
    """A status that is not CUBLAS_STATUS_SUCCESS."""


def find() -> str:
    """The library's path, from where CuPy takes its own. RuntimeError with the reason if there is none."""
    try:
        from cuda import pathfinder
    except ImportError:
        raise RuntimeError("cuda-pathfinder, which finds CuPy's libraries, is not installed") from None
    try:
        return pathfinder.load_nvidia_dynamic_lib("cublasLt").abs_path
    except pathfinder.DynamicLibNotFoundError:
        cure = "pip install nvidia-cublas (or nvidia-cublas-cu12, for CUDA 12)"
        raise RuntimeError(f"libcublasLt is not found: {cure}") from None


class CublasLt:
    """The library. Descriptions of products need no device, all else needs `connect`."""

    def __init__(self, path: str):
        self.functions = ctypes.CDLL(path)
        for name, arguments in SIGNATURES.items():
            getattr(self.functions, name).argtypes = arguments
        self.functions.cublasLtGetVersion.restype = c_size_t
        self.functions.cublasLtGetStatusName.restype = c_char_p
        self.handle = c_void_p()

    @property
    def version(self) -> str:
        number = self.functions.cublasLtGetVersion()
        return f"{number // 10000}.{number // 100 % 100}.{number % 100}"

    def connect(self) -> None:
        """To CUDA's current device."""
        self.handle = self.create("cublasLtCreate")

    def call(self, name: str, *arguments: Any) -> None:
        if status := getattr(self.functions, name)(*arguments):
            raise CublasLtError(f"{name}: {self.functions.cublasLtGetStatusName(status).decode()}")

    def create(self, name: str, *arguments: Any) -> c_void_p:
        """What a function makes. It lasts as long as the process: some hundred bytes for each product."""
        made = c_void_p()
        self.call(name, byref(made), *arguments)
        return made


def opened(path: str | None = None) -> CublasLt:
    """The library, connected to the device. RuntimeError with the reason where that can't be."""
    try:
        lt = CublasLt(path or find())
    except (OSError, AttributeError) as error:  # of the loader; of a library without one of the functions
        raise RuntimeError(str(error)) from None
    lt.connect()
    return lt


class Matmul:
    """out = a b for row-major matrices in float32: out (M, N), a (M, K), b (K, N), or as they are before one is
    transposed, (K, M) and (N, K). And an epilogue.

    cublasLt counts columns first. To it a row-major matrix is its transpose, so what it is asked for is
    out^T = b^T a^T: its A is b, its B is a, and its rows are out's columns.
    """

    def __init__(
        self,
        lt: CublasLt,
        M: int,
        N: int,
        K: int,
        transposed: tuple[bool, bool],
        precision: str,
        epilogue: Epilogue = Epilogue.DEFAULT,
        vector: int = 0,
        bits: int = 0,
    ):
        """vector: address of the bias, or for its gradient, (N,). bits: of `bytes_of_bits` bytes."""
        self.lt = lt
        self.description = lt.create("cublasLtMatmulDescCreate", PRECISIONS[precision], FLOAT32)
        a_transposed, b_transposed = transposed
        self._describe(DescAttribute.TRANSA, c_int32(b_transposed))
        self._describe(DescAttribute.TRANSB, c_int32(a_transposed))
        self._describe(DescAttribute.EPILOGUE, c_int32(epilogue))
        if vector:
            self._describe(DescAttribute.BIAS_POINTER, c_void_p(vector))
        if bits:
            self._describe(DescAttribute.EPILOGUE_AUX_POINTER, c_void_p(bits))
            self._describe(DescAttribute.EPILOGUE_AUX_LD, c_int64(up(N, AUX_LD_STEP)))
        self.a = self._layout((K, M) if a_transposed else (M, K))
        self.b = self._layout((N, K) if b_transposed else (K, N))
        self.out = self._layout((M, N))

    def _describe(self, attribute: DescAttribute, value: Any) -> None:
        self.lt.call("cublasLtMatmulDescSetAttribute", self.description, attribute, byref(value), ctypes.sizeof(value))

    def _layout(self, shape: tuple[int, int]) -> c_void_p:
        rows, columns = shape
        return self.lt.create("cublasLtMatrixLayoutCreate", FLOAT32, columns, rows, columns)

    def algorithms(self, count: int, workspace_bytes: int = WORKSPACE) -> list[HeuristicResult]:
        """So many at most, what should be fastest first; CublasLtError or an empty list where there are none."""
        preference = self.lt.create("cublasLtMatmulPreferenceCreate")
        limit = c_uint64(workspace_bytes)
        self.lt.call(
            "cublasLtMatmulPreferenceSetAttribute", preference, MAX_WORKSPACE_BYTES, byref(limit), ctypes.sizeof(limit)
        )
        found, returned = (HeuristicResult * count)(), c_int()
        self.lt.call(
            "cublasLtMatmulAlgoGetHeuristic",
            *(self.lt.handle, self.description, self.b, self.a, self.out, self.out),  # A, B, C, D
            *(preference, count, found, byref(returned)),
        )
        return [result for result in found[: returned.value] if result.state == 0]

    def run(
        self,
        algorithm: Algorithm,
        out: int,
        a: int,
        b: int,
        workspace: int,
        stream: int,
        workspace_bytes: int = WORKSPACE,
    ) -> None:
        """Launch it on a stream: addresses all."""
        alpha, beta = c_float(1), c_float(0)  # of the host: they are read before this returns
        self.lt.call(
            "cublasLtMatmul",
            *(self.lt.handle, self.description, byref(alpha), b, self.b, a, self.a),
            *(byref(beta), out, self.out, out, self.out),
            *(byref(algorithm), workspace, workspace_bytes, stream),
        )


def bytes_of_bits(M: int, N: int) -> int:
    """Memory of relu's bits for a result (M, N)."""
    return M * up(N, AUX_LD_STEP) // 8


def up(n: int, step: int) -> int:
    """n rounded up to a multiple of step."""
    return -(-n // step) * step
