"""Matrix products beside cublasLt's: without a GPU a stand-in takes the library's place, and the emulator ours."""

import json
import os
import subprocess
import sys
import sysconfig
from ctypes import byref, c_int32, c_int64, c_size_t, c_void_p, sizeof
from functools import partial
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from benchmarks import floors
from benchmarks.gpu import ceilings, children, cublaslt, product_cases, products, table
from benchmarks.gpu.cublaslt import (
    CublasLt,
    CublasLtError,
    DescAttribute,
    Epilogue,
    Matmul,
    bytes_of_bits,
    find,
    opened,
)
from benchmarks.gpu.device import open_device
from benchmarks.gpu.product_cases import Layer, Part, Steps, by_layer, cases, layers
from scratchae.kernels.cuda import dense
from scratchae.kernels.cuda.emulator import unavailable
from scratchae.kernels.cuda.precision import matmul_precision

HERE = Path(__file__).parent
SMALL = [
    Layer(7, 5, "relu", gradients=("dw",)),
    Layer(5, 3, "relu", behind_relu=True),
    Layer(3, 9, "bce", behind_relu=True),
    Layer(4, 6, "linear", T=3, gradients=()),
    Steps(4, 3, 5),
    Steps(0, 2, 3),
]
pytestmark = pytest.mark.skipif(bool(unavailable()), reason=unavailable())


def nvidias_headers():
    """Folders with cublasLt.h and what it includes: of NVIDIA's wheels, or of a toolkit."""
    wheels = Path(sysconfig.get_path("purelib"), "nvidia").glob("*/include")
    toolkit = Path(os.environ.get("CUDA_PATH", "/usr/local/cuda"), "include")
    found = [folder for folder in (*wheels, toolkit) if folder.is_dir()]
    found += [folder / "cccl" for folder in found if (folder / "cccl").is_dir()]
    needed = "cublasLt.h", "cuda_fp16.h", "crt/host_defines.h", "nv/target"  # of four wheels
    return found if all(any((folder / name).exists() for folder in found) for name in needed) else []


HEADERS = nvidias_headers()
OPTIONS = {"as written down": [], "NVIDIA's header": ["-DNVIDIAS_HEADER", *(f"-I{folder}" for folder in HEADERS)]}


@pytest.fixture(scope="module", params=OPTIONS if HEADERS else ["as written down"])
def path(request, tmp_path_factory):
    """The stand-in's."""
    options = OPTIONS[request.param]
    made = tmp_path_factory.mktemp("cublaslt") / "libstandin.so"
    source = HERE / "cublaslt_stand_in.cpp"
    subprocess.run(["g++", "-O1", "-Wall", "-shared", "-fPIC", *options, source, "-o", made], check=True)
    return str(made)


@pytest.fixture
def lt(path):
    library = opened(path)
    yield library
    library.functions.stand_in_refuse(-1)


@pytest.fixture
def told(monkeypatch):
    found = []
    monkeypatch.setattr(products, "emit", lambda **result: found.append(json.loads(json.dumps(result))))
    return found


def play(lt, told, layer, batch=8, device=None):
    """What is told of a layer's products."""
    device = device or open_device("cuda-emulator")
    for case in cases(device, layer, batch):
        products.Duel(device, lt, case, {"layer": str(layer), "product": case.product}, smoke=True).play()
    return told


# ---- what is measured -----------------------------------------------------------------------------------------------
@pytest.mark.parametrize("layer", SMALL, ids=str)
def test_both_are_right_with_each_epilogue(lt, told, layer):
    found = [r for r in play(lt, told, layer) if r["what"] == "product"]
    assert not [r for r in found if "missing" in r]
    assert all(r["good"] and r["same_bits"] for r in found)
    wanted = set(layer.gradients) | {"forward"} if isinstance(layer, Layer) else {"dwx and dwh" if layer.I else "dwh"}
    assert {r["product"] for r in found} == wanted
    theirs = [r for r in found if r["by"] == "cublasLt"]
    errors = {p: [r["relative_error"] for r in theirs if r["precision"] == p] for p in ("float32", "tf32")}
    assert len(errors["float32"]) == len(errors["tf32"]) > 0
    assert max(errors["float32"]) < 1e-6  # and not in TF32
    assert max(errors["tf32"]) > 1e-5
    compared = [(r["precision"], r["theirs"]["relative_error"]) for r in told if r["what"] == "comparison"]
    assert {precision for precision, _ in compared} == {"float32", "tf32"}
    assert all((error > 1e-5) == (precision == "tf32") for precision, error in compared)
    assert {r["workspace"] for r in theirs} <= {0, 4096}
    assert {rank for r in theirs for rank in r["ranks"]} <= {"1 of 3", "3 of 3"}  # the second can't be run


def test_which_epilogues_are_asked_for(lt, told):
    def asked(product, layer):
        told.clear()
        rows = [r for r in play(lt, told, layer) if r.get("by") == "cublasLt" and r["product"] == product]
        return [(r["epilogue"], r["lacks"]) for r in rows if r["precision"] == "float32"]

    relu, last, linear = SMALL[1], SMALL[2], Layer(4, 6, "linear")
    assert asked("forward", relu) == [
        ("RELU_AUX_BIAS", ""),
        ("RELU_BIAS", ""),
        ("BIAS", "relu"),
        ("DEFAULT", "bias, relu"),
    ]
    assert asked("forward", last) == [("BIAS", "sigmoid, loss"), ("DEFAULT", "bias, sigmoid, loss")]
    assert asked("dx", relu) == [("DRELU", ""), ("DEFAULT", "relu's derivative")]
    assert asked("dx", linear) == [("DEFAULT", "")]
    assert asked("dx and dw", relu) == [("DRELU, BGRADA", ""), ("DEFAULT, DEFAULT", "relu's derivative, db")]
    assert asked("dwx and dwh", SMALL[4]) == [("BGRADA, DEFAULT", ""), ("DEFAULT, DEFAULT", "db")]


@pytest.mark.parametrize(
    ("refused", "product", "left"),
    [
        (Epilogue.RELU_AUX_BIAS, "forward", "RELU_BIAS"),
        (Epilogue.DRELU, "dx", "DEFAULT"),
        (Epilogue.RELU_AUX, "dx", "DEFAULT"),  # nothing makes bits for DRELU
        (Epilogue.BGRADA, "dw", "DEFAULT"),
    ],
)
def test_an_epilogue_that_there_is_not(lt, told, refused, product, left):
    lt.functions.stand_in_refuse(refused)
    play(lt, told, SMALL[1])
    missing = [r for r in told if "missing" in r and r["product"] == product and r["precision"] == "float32"]
    assert len(missing) == 1
    assert "CUBLAS_STATUS_NOT_SUPPORTED" in missing[0]["missing"]
    (compared,) = [
        r for r in told if r["what"] == "comparison" and r["product"] == product and r["precision"] == "float32"
    ]
    assert compared["theirs"]["epilogue"] == left


def test_both_are_asked_for_the_same():
    """What the parts multiply is what the reference makes of our op's arguments."""
    found = {case.product: case for case in cases(open_device("cuda-emulator"), Layer(5, 3, "relu"), 4)}
    (of_dx, of_dw), wanted = found["dx and dw"].theirs, [wanted for _, wanted in found["dx and dw"].written]
    for theirs, ours in zip((of_dx.product, *of_dw.expected(Epilogue.BGRADA)), wanted, strict=True):
        np.testing.assert_allclose(theirs, ours, rtol=1e-12)
    (forward,), ((_, y),) = found["forward"].theirs, found["forward"].written
    np.testing.assert_allclose(forward.expected(Epilogue.RELU_BIAS), [y], rtol=1e-12)


def test_the_fastest_algorithm_counts(lt, told, monkeypatch):
    times = iter([3.0, 2.0] * 99)
    monkeypatch.setattr(products, "times_of", lambda *_: [next(times)])
    device, part = open_device("cuda-emulator"), Part(*np.ones((2, 3, 3), np.float32), (False, False), ())
    workspace = device.backend.empty((4096,), np.dtype("uint8"))
    chosen = products.Placed(device, lt, part, workspace).fastest("float32", Epilogue.DEFAULT, smoke=False)
    assert chosen[1:] == (4096, 2, 3)


def test_times_are_of_one_of_many_in_a_graph(lt, told, monkeypatch):
    """As on a GPU, where nothing is a smoke run."""
    graphs, device = [], open_device("cuda-emulator")
    monkeypatch.setattr(device, "graph", lambda run: graphs.append(run) or run)
    monkeypatch.setattr(device, "seconds", lambda run: run() or 1.0)
    for name, value in (("TRIAL", (2, 1.0, 1)), ("TIMES", 4), ("ROUND", 1.0), ("ROUNDS", 3), ("WARM", 1.0)):
        monkeypatch.setattr(products, name, value)
    (case,) = cases(device, Steps(0, 2, 3), 2)
    products.Duel(device, lt, case, {}).play()
    ours, theirs, theirs_in_tf32 = (r["times"] for r in told if r["what"] == "product")
    assert ours == theirs == theirs_in_tf32 == [0.25] * 3
    assert len(graphs) == 1 + 2 * (2 + 1)  # ours; of theirs the two that can be run, and the fastest once more


def test_what_is_not_written_or_not_the_same_again_is_seen():
    device = open_device("cuda-emulator")
    y, wanted, values = device.backend.array(np.ones(2, np.float32)), np.ones(2), iter([1.0, 1.5])
    assert products.checked(device, lambda: None, [(y, wanted)]) == (np.inf, False)
    assert products.checked(device, lambda: device.backend.upload(y, next(values)), [(y, wanted)]) == (0.0, False)
    assert products.checked(device, lambda: device.backend.upload(y, 1.5), [(y, wanted)]) == (0.5, True)


def test_wrong_results_do_not_win(lt, told, monkeypatch):
    monkeypatch.setattr(Matmul, "run", lambda *_: None)
    play(lt, told, SMALL[0])
    theirs = [r for r in told if r.get("by") == "cublasLt"]
    assert all(r["relative_error"] == np.inf and not r["good"] for r in theirs)
    assert {r["winner"] for r in told if r["what"] == "comparison"} == {"scratchae"}


def test_who_wins():
    def result(seconds, good=True, lacks=""):
        return products.Result(seconds, {"good": good, "lacks": lacks})

    assert products.winner(result(1.0), result(1.02)) == "even"
    assert products.winner(result(1.0), result(2.0)) == "scratchae"
    assert products.winner(result(2.0), result(1.0)) == "cublasLt"
    assert products.winner(result(2.0), result(1.0, lacks="bias")) == "cublasLt, with less to do"
    assert products.winner(result(1.0, good=False), result(2.0)) == "cublasLt"
    assert products.winner(result(2.0), result(1.0, good=False)) == "scratchae"
    assert products.winner(result(2.0, good=False), result(1.0, good=False)) == "none"


def test_ours_is_measured_once_where_precision_changes_nothing(told):
    device = open_device("cuda-emulator")
    y, x = (device.backend.array(np.ones((2, 3), np.float32)) for _ in range(2))

    def ours(in_tf32):
        for _ in range(2 if matmul_precision() == "tf32" and in_tf32 else 1):
            device.backend.ops.add(y, x)

    for in_tf32, measured in ((False, ["float32"]), (True, ["float32", "tf32"])):
        told.clear()
        part = Part(np.ones((2, 3), np.float32), np.ones((3, 3), np.float32), (False, False), product_cases.ALONE)
        case = product_cases.Case("forward", partial(ours, in_tf32), [(y, np.ones((2, 3)))], [part])
        products.Duel(device, None, case, {}, smoke=True).play()
        assert [r["precision"] for r in told if r["what"] == "product"] == measured
        compared = [r for r in told if r["what"] == "comparison"]
        assert [(r["precision"], "theirs" in r) for r in compared] == [("float32", False), ("tf32", False)]
        assert compared[0]["flops"] == 2 * 2 * 3 * 3
        assert compared[0]["bytes"] == 4 * (6 + 9 + 6)
    assert matmul_precision() == "float32"


def test_the_products_are_those_of_a_step():
    """By their arithmetic, and without what an LSTM's walk over its steps does."""
    device = open_device("cuda-emulator")
    for model in ("dense", "deep", "sparse", "variational", "recurrent"):
        found = [case for layer in layers(model) for case in cases(device, layer, 1) if case.product != "dx and dw"]
        walks = 2 * 2 * 28 * 4 * (32**2 + 28**2) if model == "recurrent" else 0
        assert sum(case.flops for case in found) + walks == floors.training_step(model, 1).flops
    assert layers("convolutional") == []
    assert by_layer(("deep", "sparse"))[Layer(128, 64, "relu", behind_relu=True)] == ["deep", "sparse"]
    assert by_layer(("variational",))[Layer(512, 2, "linear", behind_relu=True)] == ["variational"]


def test_on_cupys_stream(lt, told, cupy_device):
    """And in a graph of its, of which the stand-in knows nothing: it multiplies what is not there yet."""
    before = lt.functions.stand_in_runs()
    play(lt, told, Steps(0, 2, 3), device=cupy_device)
    assert lt.functions.stand_in_stream() == cupy_device.stream.ptr == 5
    assert lt.functions.stand_in_runs() > before
    assert all(r["good"] for r in told if r.get("by") == "scratchae")


def test_ceilings_by_cublaslt(path, monkeypatch, cupy_device):
    found = []
    monkeypatch.setattr(ceilings, "emit", lambda **result: found.append(result))
    monkeypatch.setattr(cublaslt, "find", lambda: path)
    ceilings.cublaslt_products(cupy_device, smoke=True)
    assert [(r["by"], r["precision"], r["n"]) for r in found] == [("cublasLt", p, 64) for p in ("float32", "tf32")]
    assert all(len(r["times"]) == 1 for r in found)
    assert table.best_rates([{"stage": "ceilings", **r} for r in found]).keys() == {"float32", "tf32"}
    monkeypatch.setattr(cublaslt, "find", lambda: str(HERE / "cublaslt_stand_in.cpp"))
    ceilings.cublaslt_products(cupy_device, smoke=True)
    assert "cublaslt_stand_in.cpp" in found[-1]["error"]


# ---- the library ----------------------------------------------------------------------------------------------------
def test_what_does_not_go_together_is_an_error(lt, capfd):
    bare = Matmul(lt, 2, 3, 4, (False, False), "float32", Epilogue.BIAS)
    with pytest.raises(CublasLtError, match="cublasLtMatmulAlgoGetHeuristic: CUBLAS_STATUS_INVALID_VALUE"):
        bare.algorithms(1)
    assert "d.vector ||" in capfd.readouterr().err
    product = Matmul(lt, 2, 3, 4, (True, True), "tf32")
    assert [r.workspace for r in product.algorithms(8)] == [0, 0, 4096]
    assert [r.workspace for r in product.algorithms(8, workspace_bytes=4095)] == [0, 0]
    assert len(product.algorithms(1)) == 1


def test_bits_by_hand():
    assert bytes_of_bits(5, 128) == 5 * 16
    assert bytes_of_bits(5, 130) == 5 * 32


def test_versions_are_shown_as_nvidia_does(lt):
    assert lt.version == "13.2.7"


def test_without_the_library_the_reason_is_told(told, monkeypatch, tmp_path):
    emulator = open_device("cuda-emulator")
    assert products.open_cublaslt(emulator, None) is None
    (tmp_path / "libcublasLt.so").write_text("no library")
    assert products.open_cublaslt(emulator, str(tmp_path / "libcublasLt.so")) is None

    class Pathfinder:
        class DynamicLibNotFoundError(RuntimeError):
            pass

        def load_nvidia_dynamic_lib(self, name):
            raise self.DynamicLibNotFoundError(f"a page of advice\non {name}")

    cuda = ModuleType("cuda")
    monkeypatch.setitem(sys.modules, "cuda", cuda)
    with pytest.raises(RuntimeError, match="cuda-pathfinder, which finds CuPy's libraries, is not installed"):
        find()
    cuda.pathfinder = Pathfinder()
    with pytest.raises(RuntimeError, match=r"^libcublasLt is not found: pip install nvidia-cublas .*$"):
        find()
    first, second = (r["skipped"] for r in told)
    assert first == "it needs a GPU"
    assert "libcublasLt.so" in second
    text = table.gaps([{"stage": "run", "precision": "float32"}, {"stage": "products", **told[0]}])
    assert text == "## Gaps\n\n- products, library, cublasLt: it needs a GPU\n"


def test_the_real_library_takes_each_description():
    """Its half that needs no device, where it is installed: attributes are read back."""
    try:
        real = CublasLt(find())
    except RuntimeError as error:
        pytest.skip(str(error))

    def read_back(product, attribute, kind):
        value, written = kind(), c_size_t()
        real.call(
            "cublasLtMatmulDescGetAttribute",
            *(product.description, attribute, byref(value), c_size_t(sizeof(value)), byref(written)),
        )
        assert written.value == sizeof(value)
        return value.value

    for epilogue in Epilogue:
        for transposed in ((False, False), (False, True), (True, False)):
            product = Matmul(real, 256, 784, 128, transposed, "tf32", epilogue, vector=256, bits=512)
            assert read_back(product, DescAttribute.EPILOGUE, c_int32) == epilogue
            turned = tuple(read_back(product, a, c_int32) for a in (DescAttribute.TRANSB, DescAttribute.TRANSA))
            assert turned == transposed
            assert read_back(product, DescAttribute.BIAS_POINTER, c_void_p) == 256
            assert read_back(product, DescAttribute.EPILOGUE_AUX_LD, c_int64) == 896


# ---- the stage ------------------------------------------------------------------------------------------------------
def test_the_stage_goes_through_and_its_table_is_made(path, monkeypatch, told):
    monkeypatch.setattr(products, "by_layer", lambda models: {layer: ["small"] for layer in SMALL[:2]})
    options = ["--device", "cuda-emulator", "--smoke", "--batches", "2", "--cublaslt", path]
    monkeypatch.setattr(sys, "argv", ["products", *options])
    assert products.main() == 0
    assert told[0] == {"what": "library", "name": "cublasLt", "version": "13.2.7"}
    told = [{"stage": "products", **r} for r in told]
    text = table.products(told)
    compared = [r for r in told if r["what"] == "comparison"]
    assert len(compared) == 2 * 2 + 2 * 4
    assert [line.count(" | ") for line in text.splitlines() if line.startswith(("| 7", "| 5"))] == [14] * len(compared)
    rates = [{"stage": "ceilings", "what": "copy", "bytes": 1, "times": [1]}]
    assert "## Matrix products beside cublasLt" in table.products(rates + told)


def test_a_case_that_fails_is_told_and_the_others_go_on(monkeypatch, told):
    class Failing(products.Duel):
        def play(self):
            if self.where["product"] == "dx":
                raise MemoryError("no room")
            super().play()

    monkeypatch.setattr(products, "Duel", Failing)
    monkeypatch.setattr(products, "by_layer", lambda models: {SMALL[1]: ["small"]})
    monkeypatch.setattr(sys, "argv", ["products", "--device", "cuda-emulator", "--smoke", "--batches", "2"])
    assert products.main() == 0
    assert [(r["product"], r["error"]) for r in told if "error" in r] == [("dx", "MemoryError: no room")]
    assert {r["product"] for r in told if r["what"] == "comparison"} == {"forward", "dw", "dx and dw"}


def comparison(**more):
    ours = {"kernels": ["k"], "relative_error": 1e-7, "same_bits": True, "good": True}
    theirs = ours | {"epilogue": "BIAS", "lacks": "sigmoid, loss", "workspace": 2048, "relative_error": 2e-2}
    found = {"stage": "products", "what": "comparison", "layer": "2 to 3, bce", "models": ["deep", "sparse"]}
    found |= {"batch": 8192, "product": "forward", "precision": "tf32x3", "flops": 2 * 10**6, "bytes": 10**5}
    found |= {"ours": ours, "ours_us": 2.0, "theirs": theirs | {"good": False, "same_bits": False}, "theirs_us": 4.0}
    return found | {"ratio": 2.0, "winner": "scratchae"} | more


def test_the_table_by_hand():
    def ceiling(precision, rate):
        return {"stage": "ceilings", "what": "product", "precision": precision, "flops": rate, "times": [1]}

    rates = [ceiling("float32", 10**12), ceiling("tf32", 12 * 10**12)]
    rates.append({"stage": "ceilings", "what": "copy", "bytes": 10**12, "times": [1]})
    text = table.products([*rates, comparison()])
    assert "### Batch 8,192\n\nFaster: scratchae 1." in text
    cells = [cell.strip() for cell in text.splitlines()[8].strip("|").split("|")]
    # Bytes take 0.1 us, three products of 2 MFLOP 0.5 us, and one in float32 2 us.
    assert cells == ["2 to 3, bce (deep, sparse)", "forward", "tf32x3", "2.00", "1.00", "25 %", "1.0e-07",
                     "4.00", "0.500", "50 %", "2.0e-02 **WRONG**, other bits in a second run",
                     "bias; lacks sigmoid, loss", "2.00", "2.00", "scratchae"]  # fmt: skip
    alone = {key: value for key, value in comparison().items() if not key.startswith(("theirs", "ratio", "winner"))}
    text = table.products([alone])
    assert "Faster: -." in text
    assert text.splitlines()[8].endswith("| 2.00 | 1.00 | - | 1.0e-07 | - | - | - | - | - | - | - | - |")


def test_a_dry_run_keeps_no_comparison(tmp_path):
    journal = children.Journal(tmp_path, dry=True)
    journal.add("products", **{key: value for key, value in comparison().items() if key != "stage"})
    journal.close()
    kept = journal.records[0]
    assert [kept[key] for key in ("ours_us", "theirs_us", "ratio", "winner")] == [None] * 4
    assert "| - | - | - | 1.0e-07 |" in table.products(journal.records)


def test_the_function_that_the_page_names_is_there():
    text = (HERE.parents[1] / "docs" / "gpu.md").read_text()
    assert "`choose` in [`kernels/cuda/dense.py`](../kernels/cuda/dense.py)" in text
    assert callable(dense.choose)
