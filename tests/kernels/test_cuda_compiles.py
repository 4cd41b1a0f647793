"""NVIDIA's compiler accepts every CUDA source for every architecture, and no kernel spills registers."""

import nvrtc
import pytest
import test_cuda_emulator

from scratchae.kernels.cuda.launcher import Source

pytestmark = pytest.mark.skipif(nvrtc.library() is None, reason="NVRTC is missing: pip install nvidia-cuda-nvrtc")

TABLE = nvrtc.read_table()
WRITE = "after a look at the difference: python tests/kernels/nvrtc.py --write"


@pytest.mark.parametrize("source", nvrtc.sources(), ids=lambda source: source.name)
def test_source(source):
    entry = TABLE["sources"].get(source.name, {"digest": None, "kernels": {}})
    same_compiler = nvrtc.version() == TABLE["nvrtc"]
    # The same compiler makes the same of the same text: then one architecture is enough to believe the others.
    unchanged = same_compiler and entry["digest"] == nvrtc.digest(source)
    architectures = nvrtc.ARCHITECTURES[:1] if unchanged else nvrtc.ARCHITECTURES
    for attempts_left in (2, 1, 0):  # once in hundreds NVRTC gives a kernel a register more or less than it did before
        compiled = nvrtc.compile_for(source, architectures)
        assert nvrtc.wasteful(compiled) == []
        assert {*source.kernels} == {kernel for kernels in compiled.values() for kernel in kernels}
        recorded = {
            kernel: {name: taken for name, taken in row.items() if int(name.removeprefix("sm_")) in compiled}
            for kernel, row in entry["kernels"].items()
        }
        if not same_compiler or nvrtc.rows(compiled) == recorded:
            return
        assert attempts_left, WRITE


def test_the_table_is_of_these_sources():
    assert sorted(TABLE["sources"]) == [source.name for source in nvrtc.sources()], WRITE
    architectures = {name for entry in TABLE["sources"].values() for row in entry["kernels"].values() for name in row}
    assert architectures == {f"sm_{architecture}" for architecture in nvrtc.ARCHITECTURES}


@pytest.mark.parametrize("name", ["WRONG", "RIGHT", "SCRIPTED", "PROFILED"])
def test_what_the_emulator_is_tested_with_is_cuda(name):
    source = getattr(test_cuda_emulator, name)
    alone = "__device__ float emulated_tf32(float x) { return x; }\n" + source.text  # kernels call it for CUDA_ON_CPU
    assert {*nvrtc.compile_source(source.name, alone, 80)} == {*source.kernels}


SPILLS = Source.of_text(
    "spills",
    r"""
extern "C" __global__ void stack(float* y, const int* x) {
  float kept[64];
  for (int i = 0; i < 64; ++i) kept[i] = y[i];
  for (int i = 0; i < 64; ++i) kept[x[i]] += kept[x[i + 64]];
  for (int i = 0; i < 64; ++i) y[i] = kept[i];
}
extern "C" __global__ void __launch_bounds__(1024) spill(float* y, const float* x) {
  float kept[96];
#pragma unroll
  for (int i = 0; i < 96; ++i) kept[i] = x[i * 1024 + threadIdx.x];
  __syncthreads();
#pragma unroll
  for (int i = 0; i < 96; ++i) y[(95 - i) * 1024 + threadIdx.x] = kept[i];
}
extern "C" __global__ void fine(float* y) {
  __shared__ float s[32];
  s[threadIdx.x] = y[threadIdx.x];
  __syncthreads();
  y[threadIdx.x] = s[31 - threadIdx.x];
}
""",
)


def test_stack_and_spills_would_be_seen():
    compiled = nvrtc.compile_for(SPILLS, [75, 90])
    assert sorted({text.split()[0] for text in nvrtc.wasteful(compiled)}) == ["spill", "stack"]
    for kernels in compiled.values():
        assert kernels["stack"].stack >= 256
        assert kernels["spill"].spilled > 0
        assert kernels["fine"][1:] == (128, 0, 0)
        assert 0 < kernels["fine"].registers < 32


def test_errors_are_those_of_the_source():
    wrong = Source.of_text("wrong", 'extern "C" __global__ void f(float* y) {\n  y[0] = undefined;\n}\n')
    with pytest.raises(nvrtc.CompileError, match=r'(?s)wrong.cu for sm_80.*wrong.cu\(2\): error: .*"undefined"'):
        nvrtc.compile_for(wrong, [80])
