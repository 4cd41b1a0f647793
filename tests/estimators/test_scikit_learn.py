"""The estimators among others: scikit-learn's own checks, pipelines, searches, pickles, frames."""

import copy
import pickle
import subprocess
import sys

import joblib
import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import scratchae
from scratchae import estimators
from scratchae.estimators import SparseAutoencoder, VanillaAutoencoder, VariationalAutoencoder

ALL = [getattr(estimators, name) for name in estimators.__all__]


@parametrize_with_checks([estimator(epochs=3) for estimator in ALL])
def test_scikit_learn_s_checks_pass(estimator, check):
    check(estimator)


@pytest.mark.parametrize("estimator", ALL)
def test_a_pickle_predicts_the_same_bits_and_goes_on_training_the_same(estimator, X):
    model = estimator(epochs=2, random_state=0).fit(X)
    restored = pickle.loads(pickle.dumps(model))
    for other in (restored, copy.deepcopy(model)):
        assert other.offset_ == model.offset_
        assert other.history_ == model.history_
        np.testing.assert_array_equal(other.transform(X), model.transform(X))
        np.testing.assert_array_equal(other.score_samples(X), model.score_samples(X))
    for _ in range(2):
        model.partial_fit(X)
        restored.partial_fit(X)
    np.testing.assert_array_equal(restored.transform(X), model.transform(X))
    assert restored.loss_curve_ == model.loss_curve_
    assert len(model.loss_curve_) == model.n_iter_ == 4


def test_a_pickle_holds_arrays_not_layers(X):
    model = VanillaAutoencoder(epochs=1).fit(X)
    numbers = sum(weight.nbytes for weight in model.autoencoder_.get_weights())
    content = pickle.dumps(model)
    assert len(content) < 3.2 * numbers + 10_000  # weights and Adam's two moments, whose parts begin on cache lines
    assert b"scratchae.layers" not in content
    assert b"scratchae.model" not in content


def test_the_models_of_an_estimator_are_saved_and_loaded_as_any_other(X, tmp_path):
    model = VanillaAutoencoder(epochs=1).fit(X)
    model.autoencoder_.save(tmp_path / "model.safetensors")
    encoder, _, _ = scratchae.load(tmp_path / "model.safetensors")
    np.testing.assert_array_equal(encoder.predict(X, verbose=0), model.transform(X))


def test_joblib_reads_memory_mapped(X, tmp_path):
    model = VanillaAutoencoder(epochs=1).fit(X)
    joblib.dump(model, tmp_path / "model.joblib")
    restored = joblib.load(tmp_path / "model.joblib", mmap_mode="r")
    np.testing.assert_array_equal(restored.predict(X), model.predict(X))
    restored.partial_fit(X)


def test_a_pickle_of_another_version_says_so(X, monkeypatch):
    model = VanillaAutoencoder(epochs=1).fit(X)
    monkeypatch.setattr("scratchae.estimators.network.__version__", "0.0.1")
    content = pickle.dumps(model)
    monkeypatch.undo()
    with pytest.warns(UserWarning, match=r"pickled by scratchae 0\.0\.1, and this is "):
        pickle.loads(content)


def test_an_estimator_that_is_not_fitted_can_be_pickled_and_says_what_it_is(X):
    model = pickle.loads(pickle.dumps(VanillaAutoencoder((5,), 3)))
    assert model.get_params()["hidden_layers"] == (5,)
    assert repr(model) == "VanillaAutoencoder(hidden_layers=(5,), latent_dims=3)"
    for use in (model.transform, model.predict, model.score, model.inverse_transform, model.get_feature_names_out):
        with pytest.raises(NotFittedError):
            use(X) if use != model.get_feature_names_out else use()
    with pytest.raises(NotFittedError):
        _ = model.encoder_
    with pytest.raises(NotFittedError):
        VariationalAutoencoder().sample()


def test_a_pipeline_scales_trains_and_predicts(X):
    pipeline = make_pipeline(StandardScaler(), VanillaAutoencoder(latent_dims=2, epochs=60, random_state=0))
    pipeline.fit(1000 + 50 * X)
    codes = pipeline.transform(1000 + 50 * X)
    assert codes.shape == (40, 2)
    copies = pipeline.inverse_transform(codes)
    assert np.square(copies - (1000 + 50 * X)).mean() < 25**2  # the mean of X alone is wrong by 50**2
    assert (pipeline.predict(1000 + 50 * X) == -1).sum() == 4  # contamination is 0.1
    assert pipeline.predict(np.full((1, 7), 5000.0)) == [-1]
    assert list(pipeline.get_feature_names_out()) == ["vanillaautoencoder0", "vanillaautoencoder1"]


def test_a_search_in_two_processes_finds_the_size_of_the_code(X):
    search = GridSearchCV(VanillaAutoencoder((16,), epochs=30, random_state=0), {"latent_dims": [1, 8]}, cv=2, n_jobs=2)
    search.fit(X)
    assert search.best_params_ == {"latent_dims": 8}
    here = clone(search.best_estimator_).fit(X)
    np.testing.assert_array_equal(search.predict(X), here.predict(X))


def test_threads_train_their_own(X):
    def codes(seed):
        return SparseAutoencoder((8,), 4, epochs=20, random_state=seed).fit(X).transform(X)

    alone = [codes(seed) for seed in range(3)]
    together = joblib.Parallel(n_jobs=3, backend="threading")(joblib.delayed(codes)(seed) for seed in range(3))
    np.testing.assert_array_equal(alone, together)


def test_frames_in_and_out(X):
    pandas = pytest.importorskip("pandas")
    names = [f"sensor {i}" for i in range(7)]
    frame = pandas.DataFrame(X, columns=names, index=range(100, 140))
    model = VanillaAutoencoder(latent_dims=2, epochs=2, random_state=0).set_output(transform="pandas").fit(frame)
    codes = model.transform(frame)
    assert list(model.feature_names_in_) == names
    assert list(codes.columns) == ["vanillaautoencoder0", "vanillaautoencoder1"]
    assert list(codes.index) == list(range(100, 140))
    assert model.inverse_transform(codes.to_numpy()).shape == X.shape
    with pytest.raises(ValueError, match="feature names should match"):
        model.transform(frame[names[::-1]])


@pytest.mark.parametrize("kind", [np.float32, np.float64, np.uint8, np.int64, bool, np.float16, ">f4", np.longdouble])
def test_float32_stays_float32_and_the_rest_becomes_float64(kind, rng):
    data = rng.integers(0, 2, (20, 5)).astype(kind)
    model = VariationalAutoencoder((4,), epochs=1, random_state=0).fit(data)
    expected = np.float32 if kind is np.float32 else np.float64
    codes = model.transform(data)
    assert codes.dtype == expected
    assert model.inverse_transform(codes).dtype == expected
    assert model.score_samples(data).dtype == np.float64


def test_memory_mapped_files_are_not_copied(rng, tmp_path):
    np.save(tmp_path / "x.npy", rng.random((20000, 250), dtype=np.float32))
    code = f"""if True:
        import numpy as np, tracemalloc
        from scratchae.estimators import VanillaAutoencoder
        X = np.load({str(tmp_path / "x.npy")!r}, mmap_mode="r")
        model = VanillaAutoencoder((4,), 2, epochs=1, device="reference", batch_size=500)
        model.fit(X[:500])
        tracemalloc.start()
        model.fit(X).transform(X)
        print(tracemalloc.get_traced_memory()[1] / X.nbytes)
    """
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert float(run.stdout) < 0.5  # of the file's size


def test_scikit_learn_is_imported_with_the_estimators_only():
    code = """if True:
        import sys, scratchae
        assert "sklearn" not in sys.modules
        print(scratchae.estimators.VanillaAutoencoder())
    """
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "VanillaAutoencoder()\n"


def test_without_scikit_learn_the_extra_is_named():
    code = "import sys; sys.modules['sklearn'] = None; import scratchae.estimators"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "ImportError: scratchae.estimators needs scikit-learn: pip install 'scratchae[sklearn]'" in run.stderr


def test_a_notebook_shows_it(X):
    assert "VanillaAutoencoder" in VanillaAutoencoder(epochs=1).fit(X)._repr_html_()
