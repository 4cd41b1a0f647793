"""Several processes against one: trained.py says what they train."""

import importlib.util
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

import scratchae
from scratchae import cli, distributed
from scratchae.distributed import starting
from tests.distributed import trained

ROOT = Path(__file__).parents[2]
ENVIRONMENT = {
    "OMPI_ALLOW_RUN_AS_ROOT": "1",
    "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
    "OMPI_MCA_rmaps_base_oversubscribe": "1",  # more processes than cores: Open MPI 4, and from 5 on
    "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe",
    "OPENBLAS_NUM_THREADS": "1",
}

mpi = pytest.mark.skipif(
    shutil.which("mpirun") is None or importlib.util.find_spec("mpi4py") is None,
    reason="needs mpirun, of Open MPI or MPICH, and mpi4py",
)


def mpirun(n, *arguments):
    """Run `python -W error ARGUMENTS` in n processes."""
    environment = {**os.environ, **ENVIRONMENT}
    command = ["mpirun", "-n", str(n), sys.executable, "-W", "error", *map(str, arguments)]
    none = subprocess.DEVNULL
    return subprocess.run(command, cwd=ROOT, env=environment, stdin=none, capture_output=True, text=True, timeout=300)


@pytest.fixture(scope="module")
def together(tmp_path_factory):
    """What each process of a run of so many has, on being asked for a run."""
    known = {}

    def results(n, run=0):
        if (n, run) not in known:
            folder = tmp_path_factory.mktemp("run")
            done = mpirun(n, "-m", "tests.distributed.trained", "all", folder)
            assert done.returncode == 0, done.stderr
            known[n, run] = [dict(np.load(folder / f"{rank}.npz")) for rank in range(n)]
        return known[n, run]

    return results


@pytest.fixture(scope="module")
def alone():
    return trained.train_all()


# ---- the same numbers -----------------------------------------------------------------------------------------------
@mpi
@pytest.mark.parametrize("n", [2, 4])
def test_processes_train_what_one_does(alone, together, n):
    """Float64 to 1e-13 of the largest number, float32 to 1e-6 of it: what comes of adding in another order."""
    first = together(n)[0]
    left_out = {name.split(":")[0] for name in alone.keys() - first.keys()}
    assert left_out == (set() if n == 2 else {"float32 on cpu, variational", "float32 on cpu, convolutional"})
    for name in alone.keys() & first.keys():
        expected, bound = alone[name], 1e-6 if "float32" in name else 1e-13
        np.testing.assert_allclose(first[name], expected, rtol=0, atol=bound * np.abs(expected).max(), err_msg=name)


@mpi
@pytest.mark.parametrize("n", [2, 4])
def test_all_processes_have_the_same_bits(together, n):
    first, *others = together(n)
    assert np.ptp(first["unseeded"]) > 0
    for other in others:
        for name, value in first.items():
            np.testing.assert_array_equal(other[name], value, err_msg=name)


@mpi
def test_runs_have_the_same_bits(together):
    first, again = together(4)[0], together(4, run=1)[0]
    for name in first.keys() - {"unseeded"}:
        np.testing.assert_array_equal(first[name], again[name], err_msg=name)
    assert np.any(first["unseeded"] != again["unseeded"])


def test_shares_are_even_and_leave_nothing_out():
    for n in (0, 1, 3, 7, 8, 256):
        for size in (1, 2, 4, 5):
            shares = []
            for rank in range(size):
                group = distributed.Group()
                group.rank, group.size = rank, size
                shares.append(group.share(n))
            assert [i for first, end in shares for i in range(first, end)] == list(range(n))
            lengths = [end - first for first, end in shares]
            assert max(lengths) - min(lengths) <= 1


@mpi
def test_one_process_can_end_training(together):
    assert together(2)[0]["stopped"] == 2


# ---- errors ---------------------------------------------------------------------------------------------------------
@mpi
def test_what_goes_wrong_alike_is_an_error_that_one_can_catch(together):
    errors = together(2)[0]
    for name, what in (
        ("fewer rows", "the data"),
        ("other rows", "the data"),
        ("other validation", "the data"),
        ("other epochs", "the arguments of fit"),
        ("other seeds", "the seeds"),
    ):
        assert str(errors[name]).startswith(f"ValueError: fit: the processes differ in {what}. Each is to call ")
    assert str(errors["not finite"]).startswith("FloatingPointError: the loss of this batch is ")
    assert "after 2 steps the weights or the learning rate of process 1 are not" in str(errors["changed weights"])


@mpi
@pytest.mark.parametrize("how", ["nan", "killed", "interrupted"])
def test_a_process_that_dies_ends_all_and_leaves_the_checkpoint(tmp_path, how):
    begin = time.monotonic()
    done = mpirun(2, "-m", "tests.distributed.trained", how, tmp_path)
    assert done.returncode != 0
    assert time.monotonic() - begin < 60
    if how == "nan":
        assert done.stderr.count("ValueError: fit: x[20, 0] is nan, which is not finite") == 1
    if how != "killed":
        assert done.stderr.count("scratchae: process 1 of 2 failed and ends the others") == 1
    assert {path.name for path in tmp_path.iterdir() if path.suffix} == {"1.safetensors", "2.safetensors"}
    scratchae.set_device("reference")
    scratchae.set_random_seed(3)
    x, one, kept = trained.rows(9), trained.vanilla(), trained.vanilla()
    one.fit(x, x, batch_size=len(x), epochs=2, shuffle=False, verbose=0)
    kept.load_weights(tmp_path / "2.safetensors")
    for a, b in zip(kept.get_weights(), one.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


@mpi
def test_processes_go_on_where_they_were_broken_off(tmp_path):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    for folder, how in ((whole, "resumed"), (broken, "killed"), (broken, "resumed")):
        folder.mkdir(exist_ok=True)
        done = mpirun(2, "-m", "tests.distributed.trained", how, folder)
        assert (done.returncode == 0) == (how == "resumed"), done.stderr
    assert (whole / "4.safetensors").read_bytes() == (broken / "4.safetensors").read_bytes()
    assert not (broken / "backup").exists()


# ---- the command line -----------------------------------------------------------------------------------------------
@mpi
def test_train_reports_and_saves_once(tmp_path, capsys, rng):
    data = tmp_path / "images.npy"  # memory-mapped
    np.save(data, rng.integers(0, 256, (45, 12, 12), dtype=np.uint8))
    command = ["train", "vanilla", "--data", str(data), "--epochs", "2", "--device", "reference", "--hidden", "5"]
    done = mpirun(2, "-m", "scratchae", *command, "--out", tmp_path / "two")
    assert done.returncode == 0, done.stderr
    assert cli.main([*command, "--out", str(tmp_path / "one")]) == 0
    assert done.stdout.replace("two", "one") == capsys.readouterr().out
    assert sorted(path.name for path in (tmp_path / "two").iterdir()) == [
        "history.csv", "loss.png", "model.safetensors", "reconstructions.png"
    ]  # fmt: skip
    one, two = (scratchae.load(tmp_path / name / "model.safetensors")[2] for name in ("one", "two"))
    for a, b in zip(one.get_weights(), two.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


@mpi
def test_an_error_of_all_is_said_once(tmp_path):
    done = mpirun(2, "-m", "scratchae", "train", "vanilla", "--data", tmp_path / "nothing.npy")
    assert done.returncode != 0
    assert done.stderr.count("scratchae: ") == done.stderr.count("nothing.npy") == 1
    assert "Traceback" not in done.stderr


# ---- start ----------------------------------------------------------------------------------------------------------
@pytest.fixture
def mpi4py(monkeypatch):
    """A stand-in, by which there is one process."""
    stand_in = ModuleType("mpi4py")
    stand_in.MPI = SimpleNamespace(COMM_WORLD=SimpleNamespace(size=1), Get_library_version=lambda: "MPICH 4.3\n...")
    monkeypatch.setitem(sys.modules, "mpi4py", stand_in)
    for name in starting.SIZES:
        monkeypatch.delenv(name, raising=False)
    return stand_in


def test_without_mpirun_there_is_one_process(mpi4py, monkeypatch):
    monkeypatch.setitem(sys.modules, "mpi4py", None)
    monkeypatch.delitem(sys.modules, "mpi4py.MPI", raising=False)
    assert distributed.start() is distributed.world() is distributed.ALONE
    assert (distributed.ALONE.rank, distributed.ALONE.size) == (0, 1)


def test_mpirun_needs_mpi4py(mpi4py, monkeypatch):
    monkeypatch.setenv("OMPI_COMM_WORLD_SIZE", "4")
    monkeypatch.setitem(sys.modules, "mpi4py", None)
    with pytest.raises(ImportError, match=r"4 processes were started.*pip install 'scratchae\[mpi\]'"):
        distributed.start()


def test_mpi4py_of_another_mpi(mpi4py, monkeypatch):
    monkeypatch.setenv("PMI_SIZE", "4")
    with pytest.raises(ImportError, match=r"started 4 processes, of which mpi4py sees one.*MPICH 4\.3\. pip install"):
        distributed.start()


def test_cores_are_divided_unless_threads_were_chosen(monkeypatch):
    chosen = []
    numba = SimpleNamespace(set_num_threads=chosen.append, config=SimpleNamespace(NUMBA_NUM_THREADS=4))
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(6)), raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    for neighbours in (1, 2, 3, 8, 9):
        monkeypatch.setattr(os, "environ", {})
        monkeypatch.setitem(sys.modules, "numba", numba)
        starting.divide_cores(neighbours)
        assert os.environ == {}
        monkeypatch.delitem(sys.modules, "numba")
        starting.divide_cores(neighbours)
        chosen.append(os.environ["NUMBA_NUM_THREADS"])
    assert chosen == [4, "6", 4, "4", 2, "2", 1, "1", 1, "1"]
    monkeypatch.setattr(os, "environ", {"NUMBA_NUM_THREADS": "5"})
    starting.divide_cores(8)
    assert os.environ == {"NUMBA_NUM_THREADS": "5"}


@pytest.mark.parametrize(
    ("allowed", "seen"), [(None, "012"), ("", ["", "", ""]), ("4,6,7", "467"), ("5", "555")], ids=str
)
def test_each_process_has_a_gpu(monkeypatch, allowed, seen):
    found = []
    for number in range(3):
        monkeypatch.setattr(os, "environ", {} if allowed is None else {"CUDA_VISIBLE_DEVICES": allowed})
        starting.choose_gpu(number)
        found.append(os.environ["CUDA_VISIBLE_DEVICES"])
    assert found == list(seen)
