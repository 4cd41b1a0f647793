"""The GPU run: a dry one goes all the way, results are kept as they arrive, and the arithmetic of its tables."""

import inspect
import json
import re
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

import scratchae
from benchmarks import floors, gpu_sizes
from benchmarks.gpu import __main__ as conductor
from benchmarks.gpu import accuracy, ceilings, children, contestants, correctness, kernels, launches, table
from benchmarks.gpu.device import open_device, rounds
from benchmarks.kernels import Work
from benchmarks.peers import ours
from benchmarks.peers.models import MODELS
from benchmarks.peers.serve import measure
from scratchae.kernels import Ops
from scratchae.kernels.cuda.emulator import unavailable
from scratchae.kernels.cuda.machine import unavailable as no_gpu

ROOT = Path(__file__).parents[2]
OPS = {name for name, f in vars(Ops).items() if inspect.isfunction(f) and name[0] != "_"}
OPS -= {"conv2d_chain_forward", "conv2d_chain_backward"}  # which the tests and the trajectories are about
needs_the_emulator = pytest.mark.skipif(bool(unavailable()), reason=unavailable())


def run(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "benchmarks.gpu", *arguments], cwd=ROOT, capture_output=True, text=True
    )


def lines(folder):
    return [json.loads(line) for line in (folder / "results.jsonl").read_text().splitlines()]


# ---- the whole of it ------------------------------------------------------------------------------------------------
@needs_the_emulator
def test_a_dry_run_goes_through_all_stages(tmp_path):
    result = run("--out", str(tmp_path), "--device", "cuda-emulator", "--smoke")
    assert result.returncode == 0, result.stderr
    found, text = lines(tmp_path), (tmp_path / "gpu.md").read_text()
    errors = [r for r in found if "error" in r and isinstance(r["error"], str)]
    assert errors == [], (tmp_path / "log.txt").read_text()
    assert {r["stage"] for r in found} == {"run", *conductor.STAGES}
    assert {r["op"] for r in found if r.get("what") == "op"} == OPS
    assert all(r["good"] for r in found if "good" in r)
    assert {r["model"] for r in found if r.get("what") == "trajectory"} == set(conductor.SMOKE_MODELS)
    variants = {(r["name"], r["variant"]) for r in found if r["stage"] == "steps" and "variant" in r}
    assert variants == {(name, how) for name in ("scratchae", "scratchae tf32x3") for how in ("fit", "train_on_batch")}
    assert any(r.get("what") == "tests" and r.get("passed", 0) > 3 for r in found)
    assert text.startswith("# Training steps on a GPU\n\n**A dry run")
    assert text in result.stdout
    with (tmp_path / "results.jsonl").open("a") as half:
        half.write('{"stage": "pe')
    assert table.markdown(table.read(tmp_path)) == text


@needs_the_emulator
def test_a_dry_run_keeps_no_times(tmp_path):
    assert run("--out", str(tmp_path), "--device", "cuda-emulator", "--smoke", "--stages", "ceilings").returncode == 0
    timed = [r for r in lines(tmp_path) if "times" in r]
    assert len(timed) >= 5
    assert all(r["times"] is None for r in timed)
    assert re.search(r"\| copy, .* \| - GB/s \|", (tmp_path / "gpu.md").read_text())


@pytest.mark.skipif(not no_gpu(), reason="there is a GPU")
def test_without_a_gpu_the_reason_is_given(tmp_path):
    result = run("--out", str(tmp_path))
    assert result.returncode == 1
    assert f"There is no usable GPU: {no_gpu()}." in (tmp_path / "gpu.md").read_text()
    assert "--device cuda-emulator --smoke" in result.stderr
    assert {r["stage"] for r in lines(tmp_path)} == {"run", "facts"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--out", "x", "--device", "cuda-emulator"], "add --smoke"),
        (["--out", str(ROOT / "benchmarks" / "results"), "--smoke"], "a dry run leaves no results"),
        (["--out", "x", "--stages", "facts,lunch"], "lunch: expected some of facts,"),
        (["--out", "x", "--peers-python", "/nowhere/python"], "--peers-python /nowhere/python: no program"),
        ([], "--out"),
    ],
)
def test_a_wrong_command_is_refused(arguments, message, capsys):
    with pytest.raises(SystemExit):
        conductor.parse(arguments)
    assert message in capsys.readouterr().err


def test_an_interpreter_is_found_from_anywhere(tmp_path, monkeypatch):
    (tmp_path / "python").symlink_to(sys.executable)
    monkeypatch.chdir(tmp_path)
    assert conductor.parse(["--out", "x", "--peers-python", "./python"]).peers_python == str(tmp_path / "python")


def test_what_is_kept_for_each_stage_fits_into_the_run():
    end = 60 * conductor.parse(["--out", "x"]).minutes
    assert sum(least for _, least in conductor.STAGES.values()) < 0.7 * end
    assert all(least <= most for most, least in conductor.STAGES.values())


def test_the_command_is_shown_without_folders():
    shown = conductor.shown(["--out", "/a/b", "--peers-python", "/p/bin/python"])
    assert shown == "python -m benchmarks.gpu --out b --peers-python python"


def conduct(tmp_path, monkeypatch, stages, **methods):
    """A run whose stages are these methods."""
    for name, method in methods.items():
        monkeypatch.setattr(conductor.Run, name, method)
    status = conductor.main(["--out", str(tmp_path), "--stages", stages])
    return status, lines(tmp_path), (tmp_path / "gpu.md").read_text()


def test_a_stage_that_fails_is_told_and_the_others_go_on(tmp_path, monkeypatch, capsys):
    def stage(run, name, later):
        if name == "ceilings":
            raise OSError("no more processes")
        run.journal.add(name, what="seen")

    _, found, text = conduct(tmp_path, monkeypatch, "ceilings,kernels", stage=stage)
    assert [r.get("what") for r in found] == [None, "stage", "seen"]
    assert "- ceilings, stage: OSError: no more processes" in text


def test_a_run_does_not_end_for_want_of_a_table(tmp_path, monkeypatch, capsys):
    def stage(run, name, later):
        run.journal.add(name, what="kernel")  # without all that a kernel has

    status, found, text = conduct(tmp_path, monkeypatch, "kernels,peers", stage=stage)
    assert (status, len(found)) == (0, 3)
    assert text == "The tables can't be made: KeyError: 'model'. All results are in results.jsonl.\n"


def test_facts_that_can_not_be_found_end_the_run_with_the_reason(tmp_path, monkeypatch, capsys):
    class Broken(children.Child):
        def __init__(self, python, arguments, environment, errors):
            super().__init__(python, ["benchmarks.nothing"], environment, errors)

    monkeypatch.setattr(conductor, "Child", Broken)
    status, found, text = conduct(tmp_path, monkeypatch, "facts,kernels")
    assert status == 1
    assert {r["stage"] for r in found} == {"run", "facts"}
    assert "- facts, program, facts: status 1: " in text
    assert "No module named benchmarks.nothing" in text


# ---- processes and the journal --------------------------------------------------------------------------------------
def child(program, tmp_path):
    (tmp_path / "told.py").write_text(program)
    with (tmp_path / "log").open("w") as errors:
        environment = {"PYTHONPATH": str(tmp_path)}
        return children.Child(sys.executable, ["told"], environment, errors)


def test_a_process_that_is_late_is_ended(tmp_path):
    late = child("import time\nprint('{\"a\": 1}', flush=True)\ntime.sleep(60)", tmp_path)
    assert late.read(time.monotonic() + 10) == {"a": 1}
    with pytest.raises(children.LateError):
        late.read(time.monotonic() + 0.1)
    start = time.monotonic()
    assert late.close() < 0
    assert time.monotonic() - start < 5


def test_a_process_that_ends_says_so(tmp_path):
    ended = child("import sys\nsys.exit(3)", tmp_path)
    assert ended.ask(time.monotonic() + 10, do="check") == {"error": "its process has ended"}
    assert ended.close(10) == 3


def test_what_a_library_prints_is_no_reply(tmp_path):
    (tmp_path / "told.py").write_text("print('[loading]')\nprint('3')\nprint('{\"a\": 1}')\nprint('bye')")
    with (tmp_path / "log").open("w+") as errors:
        talking = children.Child(sys.executable, ["told"], {"PYTHONPATH": str(tmp_path)}, errors)
        assert talking.read(time.monotonic() + 10) == {"a": 1}
        assert talking.read(time.monotonic() + 10) is None
        assert talking.close(10) == 0
    assert (tmp_path / "log").read_text() == "[loading]\n3\nbye\n"


def test_a_process_that_does_not_end_is_left_behind(tmp_path, monkeypatch):
    def wait(timeout=None):
        raise subprocess.TimeoutExpired("told", timeout)

    stuck = child("", tmp_path)
    stuck.read(time.monotonic() + 10)
    monkeypatch.setattr(stuck.process, "wait", wait)
    assert stuck.close() < 0
    monkeypatch.undo()
    stuck.process.wait()


def test_nothing_outside_decides_on_tf32(monkeypatch):
    monkeypatch.setenv("NVIDIA_TF32_OVERRIDE", "1")
    found = {precision: children.environment("cuda", precision) for precision in ("float32", "tf32", "any")}
    assert {p: e.get("NVIDIA_TF32_OVERRIDE") for p, e in found.items()} == {"float32": "0", "tf32": None, "any": None}


def test_results_are_on_the_disk_at_once(tmp_path):
    journal = children.Journal(tmp_path, dry=False)
    journal.add("steps", what="cell", times=[1.0])
    assert [(r["stage"], r["times"]) for r in lines(tmp_path)] == [("steps", [1.0])]
    journal.close()


class Rival:
    """A contestant's process that is late with one model."""

    started = 0

    def __init__(self, *_):
        Rival.started += 1

    def read(self, deadline):
        return {"versions": {}, "settings": {}}

    def ask(self, deadline, **request):
        if request["do"] == "check":
            return {"loss": 1.0, "output": [1.0], "parameters": 1}
        if request["model"] == "deep":
            raise children.LateError
        return {"times": {"": [1.0, 2.0]}}

    def close(self, patience=0):
        pass


def test_who_is_late_once_starts_anew(tmp_path, monkeypatch):
    monkeypatch.setattr(contestants, "Child", Rival)
    journal = children.Journal(tmp_path, dry=False)
    entry = contestants.Entry("rival", (), ())
    options = contestants.Options("cuda", "float32", ("dense", "deep", "sparse"), (4,), sys.executable, None, False)
    chosen = [contestants.Contestant(entry, 60, 20)]
    reference, end = contestants.Reference(journal), time.monotonic() + 60
    contestants.compete("peers", chosen, options, journal, reference, end)
    cells = {r["model"]: r for r in journal.records if r.get("what") == "cell"}
    assert cells["deep"]["error"] == "took too long"
    assert cells["dense"]["times"] == cells["sparse"]["times"] == [1.0, 2.0]
    assert Rival.started == 3  # two of the rival, and the reference
    contestants.compete("peers", chosen, options, journal, reference, time.monotonic())
    assert journal.records[-1]["skipped"] == "no time was left"
    journal.close()


def test_a_round_has_as_many_runs_as_fill_it():
    asked = []

    def seconds(several):
        before = len(asked)
        several()
        return 0.25 * (len(asked) - before)

    assert rounds(seconds, lambda: asked.append(1), seconds=1.0, count=3, least=2) == [0.25] * 3
    assert len(asked) == 2 + 2 + 3 * 4


# ---- correctness ----------------------------------------------------------------------------------------------------
@needs_the_emulator
def test_wrong_ops_are_found(monkeypatch):
    """Numbers that are off, an output that is left as it was, an input that is written to."""
    told, rng = [], np.random.default_rng(0)
    monkeypatch.setattr(correctness, "emit", lambda **result: told.append(result))
    device = open_device("cuda-emulator")
    right = device.backend.ops.add

    def off(y, x):
        right(y, x)
        right(y[:1], x[:1])

    def left(y, x):
        pass

    def written(y, x):
        right(y, x)
        right(x, y)

    for op in (right, off, left, written):
        monkeypatch.setattr(device.backend.ops, "add", op)
        arrays = tuple(rng.random((3, 4), np.float32) for _ in range(2))
        correctness.check(device, rng, Work("add", "12", arrays))
    assert [result["good"] for result in told] == [True, False, False, False]
    forward = device.backend.ops.reshape_forward
    monkeypatch.setattr(device.backend.ops, "reshape_forward", lambda y, x: forward(y[:2], x[:2]))
    correctness.check(device, rng, Work("reshape_forward", "12", arrays))
    assert told[-1]["errors"]["y"] == np.inf  # what is not written is NaN


def test_compute_sanitizer_is_found_beside_the_path(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("CUDA_PATH", str(tmp_path))
    monkeypatch.setattr(correctness.sysconfig, "get_path", lambda name: str(tmp_path))
    assert correctness.find_sanitizer() is None
    for folder in ("nvidia/cu13/bin", "bin"):  # of a wheel; of a toolkit
        (tmp_path / folder).mkdir(parents=True)
        program = tmp_path / folder / "compute-sanitizer"
        program.touch(0o755)
        assert correctness.find_sanitizer() == str(program)


def test_a_difference_is_relative_to_the_largest_number():
    assert accuracy.difference(np.float32([1, 2.5]), np.array([1, 2.0]))[0] == 0.25
    assert accuracy.difference(np.float32([1, np.nan]), np.array([1, 2.0]))[0] == np.inf
    assert accuracy.difference(np.uint8([1, 2, 3, 4]), np.uint8([1, 2, 3, 0])) == (0.25, accuracy.OF_CHOICES)


# ---- floors and launches --------------------------------------------------------------------------------------------
def test_floors_by_hand():
    weights = 784 * 32 + 32 * 784
    dense = floors.training_step("dense", 10)
    assert dense.flops == 10 * (6 * weights - 2 * 784 * 32)
    # The batch; x, y; y and its target, x; and back: dz, x, dx; dy, y, x.
    numbers = 784 + (784 + 32) + (32 + 784 + 784) + (784 + 32 + 32) + (32 + 32 + 784)
    assert dense.bytes == 4 * (10 * numbers + 10 * (weights + 784 + 32))
    assert floors.training_step("deep", 256) == (288_358_400, 16_268_160)
    assert floors.Work(100, 10).seconds(10, 10) == 10
    assert floors.Work(100, 10).bound(10, 10) == "arithmetic"


@needs_the_emulator
@pytest.mark.parametrize("model", MODELS)
def test_the_arithmetic_of_the_launches_is_that_of_the_floor(model):
    paper = gpu_sizes.on_paper(model, 4)
    assert paper["flops"] == floors.training_step(model, 4).flops
    assert {"adam", "gather_floats"} < {k["kernel"] for k in paper["kernels"]}


@needs_the_emulator
def test_the_launches_of_a_step_are_those_of_any_step():
    device = open_device("cuda-emulator")
    x = device.backend.array(np.random.default_rng(0).random((3, 784), np.float32))
    scratchae.set_device("cuda-emulator")
    auto = ours.build("dense")
    with launches.watched(device.machine) as seen:
        for _ in range(3):
            auto.train_on_batch(x, x)
        before = device.machine.launches.copy()
        auto.train_on_batch(x, x)
    launched = device.machine.launches - before
    del launched["fill"]  # of numbers, which are uploads to those who watch
    assert launched == Counter(launch.kernel for launch in seen.step())
    assert "launch" not in vars(device.machine)  # nobody watches any more


def test_nvrtc_accepts_what_measures_ceilings():
    from tests.kernels import nvrtc

    if nvrtc.library() is None:
        pytest.skip("NVRTC is missing")
    for source in (ceilings.MULTIPLY_ADDS, ceilings.NOTHING):
        (taken,) = nvrtc.compile_source(source.name, source.text, 90).values()
        assert taken.spilled == taken.stack == 0


# ---- CuPy's side, on a stand-in -------------------------------------------------------------------------------------
@pytest.fixture
def told(monkeypatch):
    """What the stages' programs say."""
    found = []
    for module in (ceilings, correctness, kernels):
        monkeypatch.setattr(module, "emit", lambda **result: found.append(result))
    return found


def test_ceilings_by_cupy(cupy_device, told):
    for part in (ceilings.copies, ceilings.multiply_adds, ceilings.launches, ceilings.products):
        part(cupy_device, smoke=True)
    assert [r["what"] for r in told] == ["copy", "multiply-adds", "launch", "launch", "launch", "product"]
    assert all(len(r["times"]) == 1 and r["times"][0] > 0 for r in told)
    assert set(cupy_device.cupy.copied) == {2**20}
    assert cupy_device.used_bytes() == 2**32 - 2**30


def test_products_without_cublas(cupy_device, told):
    def missing(a, b, out):
        raise ImportError("no libcublas\nmore")

    cupy_device.cupy.matmul = missing
    ceilings.products(cupy_device, smoke=True)
    assert told == [{"what": "product", "by": "CuPy", "error": "ImportError: no libcublas"}]


def test_the_kernels_of_a_step_by_cupy(cupy_device, told):
    scratchae.set_device("cuda")
    kernels.measure(cupy_device, "recurrent", 2, smoke=True)
    step = told.pop()
    assert step["launches"] == sum(r["count"] for r in told) > 10
    assert {"walk_32_units", "adam", "gather_floats"} < {r["kernel"] for r in told}
    assert sum(r["count"] * r["flops"] for r in told) == floors.training_step("recurrent", 2).flops


def test_training_steps_by_cupy(cupy_device):
    contestant = ours.Scratchae("cuda", samples=5)
    assert contestant.settings() == {"device": "cuda", "precision": "float32"}
    request = {"task": "training", "model": "recurrent", "batch": 2, "batches": 2, "data": None}
    times = measure(contestant, request | {"seconds": 0, "rounds": 2})
    assert {variant: len(seconds) for variant, seconds in times.items()} == {"fit": 2, "train_on_batch": 2}
    assert cupy_device.cupy.replays > 5  # fit puts several steps into one


def test_small_steps_and_ops_by_cupy(cupy_device, told, monkeypatch):
    freed = []
    monkeypatch.setattr(cupy_device.cupy.cuda, "set_allocator", freed.append, raising=False)
    correctness.small_steps(cupy_device)
    assert freed == [None]
    arrays = tuple(np.random.default_rng(0).random((3, 4), np.float32) for _ in range(2))
    correctness.check(cupy_device, np.random.default_rng(0), Work("add", "12", arrays))
    assert told[0]["good"]


def test_cupy_has_what_the_device_asks_for():
    cupy = pytest.importorskip("cupy")
    text = (ROOT / "benchmarks" / "gpu" / "device.py").read_text()
    roots = {r"self\.cupy": cupy, r"\bruntime": cupy.cuda.runtime, r"self\.stream": cupy.cuda.Stream(null=True)}
    for name, root in roots.items():
        for path in set(re.findall(name + r"((?:\.\w+)+)", text)):
            found = root
            for part in path[1:].split("."):
                found = getattr(found, part)


# ---- tables ---------------------------------------------------------------------------------------------------------
def results(**run):
    def cell(name, variant, us, stage="peers"):
        times = [1e-6 * t for t in us]
        return {"stage": stage, "what": "cell", "name": name, "variant": variant, "times": times} | at

    at = {"model": "deep", "batch": 256}
    kernel = {"stage": "kernels", "what": "kernel", **at, "flops": 0, "bytes": 4000}
    return [
        {"stage": "run", "dry": False, "date": "d", "command": "c", "data": "x", "precision": "float32", **run},
        {"stage": "facts", "what": "device", "name": "Some GPU", "CUDA": "13.0", "sensors": {"clocks.sm": "1 MHz"}},
        {"stage": "ceilings", "what": "copy", "bytes": 4_000_000, "times": [2e-6, 1e-6, 4e-6]},
        {"stage": "ceilings", "what": "product", "by": "CuPy", "precision": "float32", "flops": 9, "times": [1]},
        {"stage": "ceilings", "what": "multiply-adds", "precision": "float32", "flops": 10**8, "times": [1e-6]},
        {"stage": "steps", "what": "check", "name": "scratchae", "model": "deep",
         "differences": {"loss": 2e-7, "output": 3e-7, "parameters": 0.0}},
        cell("scratchae", "fit", [20, 20, 20], "steps"),
        cell("scratchae", "train_on_batch", [30, 40, 54], "steps"),
        cell("slow", "", [90]),
        cell("fast", "NCHW", [70]),
        cell("fast", "channels_last", [50]),
        {"stage": "peers", "what": "cell", "name": "late", **at, "error": "took too long"},
        {"stage": "peers", "what": "check", "name": "fast", "model": "deep", "differences": {"loss": 1e-3}},
        {"stage": "peers", "what": "contestant", "name": "fast", "settings": {"precision": "tf32"}},
        {**kernel, "kernel": "small", "count": 3, "times": [1e-6]},
        {**kernel, "kernel": "large", "count": 1, "times": [7e-6]},
        {"stage": "kernels", "what": "step", **at, "launches": 4, "times": [9e-6]},
    ]  # fmt: skip


def test_the_table_has_ours_beside_the_best_peer_and_the_floor():
    found = results()
    assert table.best_rates(found) == {"bytes": pytest.approx(2e12), "float32": pytest.approx(1e14)}
    row = next(line for line in table.steps(found).splitlines() if line.startswith("| deep"))
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    # 16.27 MB at 2 TB/s are 8.13 us, and 288 MFLOP at 100 TFLOP/s 2.88 us.
    assert cells == ["deep", "256", "20.0 ±0 %", "40.0 ±15 %", "50.0 (fast, channels_last)", "2.50", "8.13 (bytes)",
                     "41 %", "3.0e-07"]  # fmt: skip


def test_kernels_are_held_against_their_sum():
    text = table.kernels(results())
    assert "Sum of the kernels 10.0 us; all in one graph 9.00 ±0 % us; a step of fit 20.0 ±0 % us." in text
    first, second = (line for line in text.splitlines() if line.startswith(("| small", "| large")))
    assert first == "| large | 1 | 7.00 ±0 % | 70 % | - | 0.00400 | 0 % |"
    assert second.startswith("| small | 3 | 1.00 ±0 % | 30 % |")


def test_what_is_missing_or_different_is_told():
    text = table.gaps(results())
    assert "- peers, cell, late, deep, 256: took too long" in text
    assert "- peers, check, fast, deep: DIFFERENT: {'loss': 0.001}" in text
    assert "- peers, contestant, fast: computes in tf32, not in float32" in text
    assert table.gaps(results()[:8]) == ""


def test_the_tables_of_several_runs(tmp_path):
    """The first had no time for the peers."""
    alone = [r for r in results() if r["stage"] != "peers"]
    peers = [r for r in results(command="d") if r["stage"] in ("run", "facts", "peers")]
    for name, found in (("a", alone), ("b", peers)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "results.jsonl").write_text("".join(f"{json.dumps(r)}\n" for r in found))
    text = table.markdown(table.read(tmp_path / "a") + table.read(tmp_path / "b"))
    assert text.count("name Some GPU") == 1
    assert "`c`. Data: x.\nDate: d. `d`. Data: x." in text
    assert "(fast, channels_last) | 2.50 |" in text


def test_a_folder_without_results_is_an_error_with_its_name(tmp_path, monkeypatch, capsys):
    (tmp_path / "results.jsonl").write_text("".join(f"{json.dumps(r)}\n" for r in results()))
    monkeypatch.setattr(sys, "argv", ["table", str(tmp_path)])
    assert table.main() == 0
    assert capsys.readouterr().out == table.markdown(results()) + "\n"
    for folders, said in (
        ([tmp_path, tmp_path / "no"], r"no holds no results\.jsonl; expected the --out"),
        ([], "FOLDER"),
    ):
        monkeypatch.setattr(sys, "argv", ["table", *map(str, folders)])
        with pytest.raises(SystemExit, match="2"):
            table.main()
        assert re.search(said, capsys.readouterr().err)


def test_what_is_correct_is_told():
    def row(**tests):
        return table.correctness([{"stage": "correctness", "what": "tests", **tests}]).splitlines()[-1]

    assert row(passed=5, skipped=1, names=[]) == "| tests | yes | 5 passed, 1 skipped |"
    assert row(passed=5, failed=1, names=["a.py::b"]) == "| tests | **NO** a.py::b | 5 passed, 1 failed |"
    assert row(passed=5, unfinished=True, names=[]) == "| tests | **NO** | 5 passed; stopped |"
    assert row(skipped=5, names=[]) == "| tests | **NO** | 5 skipped |"
    assert row(skipped="pytest is not installed") == "| tests | - | pytest is not installed |"
    ops = [{"what": "op", "op": op, "sizes": "3", "good": op == "add", "errors": {"y": 1e-7}} for op in ("add", "adam")]
    text = table.correctness([{"stage": "correctness", **op} for op in ops])
    assert "| 2 ops against float64 | **NO** adam (3) | 1.0e-07 in" in text


def test_a_table_of_half_a_run():
    found = results()
    for n in range(1, len(found) + 1):
        assert table.markdown(found[:n]).startswith("# Training steps on a GPU\n\nDate: d.")
    assert "**A dry run" in table.markdown(results(dry=True))


# ---- sizes on paper -------------------------------------------------------------------------------------------------
@needs_the_emulator
def test_sizes_are_counted(tmp_path, capsys):
    before = sorted((path, path.stat().st_mtime_ns) for path in gpu_sizes.RESULTS.iterdir())
    assert gpu_sizes.main(["--smoke", "--out", str(tmp_path)]) == 0
    assert before == sorted((path, path.stat().st_mtime_ns) for path in gpu_sizes.RESULTS.iterdir())
    text = (tmp_path / "gpu_sizes.md").read_text()
    assert text.startswith("# Training steps on a GPU: counted by the emulator and predicted, not measured\n")
    assert capsys.readouterr().out == text + "\n"
    found = json.loads((tmp_path / "gpu_sizes.json").read_text())
    assert "not measured" in found["what"]
    dense = found["results"][0]
    assert dense["launches"] == sum(k["launches"] for k in dense["kernels"]) < 30
    adam = next(k for k in dense["kernels"] if k["kernel"] == "adam")
    parameters = 784 * 32 + 32 * 784 + 784 + 32
    assert adam["array_bytes"] == pytest.approx(28 * parameters, rel=0.01)
    assert adam["sector_bytes"] == pytest.approx(28 * parameters, rel=0.02)


def test_blocks_on_a_multiprocessor_by_hand():
    assert gpu_sizes.resident_blocks(threads=256, registers=32, shared=0) == 8  # of 64 warps
    assert gpu_sizes.resident_blocks(threads=256, registers=128, shared=0) == 2  # of 65536 registers
    assert gpu_sizes.resident_blocks(threads=32, registers=16, shared=0) == 32
    assert gpu_sizes.resident_blocks(threads=64, registers=16, shared=47 * 1024) == 4  # 48 KiB each, of 228
    assert gpu_sizes.resident_blocks(threads=256, registers=33, shared=0) == 6  # a warp takes 5 x 256 registers


def test_a_prediction_by_hand(monkeypatch):
    monkeypatch.setattr(
        gpu_sizes, "ASSUMED", {"bytes_per_second": 10.0, "flops_per_second": 100.0, "launch_seconds": 3.0}
    )
    assert gpu_sizes.predict(20, 100, launches=2) == 2 + 6
    assert gpu_sizes.predict(5, 100, launches=1) == 1 + 3


def test_pytorch_knows_its_ways():
    """Without PyTorch its contestant can't be imported; the text tells."""
    ways = re.search(r"^WAYS = (.*)$", (ROOT / "benchmarks" / "peers" / "pytorch.py").read_text(), re.MULTILINE)
    given = [c.entry.arguments for c in contestants.peers("cuda", "float32") if "--way" in c.entry.arguments]
    assert {arguments[arguments.index("--way") + 1] for arguments in given} < set(re.findall(r'"([\w-]+)"', ways[1]))
