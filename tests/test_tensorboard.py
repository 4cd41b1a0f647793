"""The callback TensorBoard: its files, read back byte by byte, hold what training gave."""

import io
import shutil
import struct
import sys
import threading
from collections import defaultdict

import numpy as np
import pytest

import scratchae
from scratchae import optimizers, schedules
from scratchae.autoencoders import convolutional, vanilla, variational
from scratchae.callbacks import BackupAndRestore, CallbackList, LambdaCallback, ProgressBar, TensorBoard, TerminateOnNaN
from scratchae.callbacks.tensorboard import pixels, projector
from scratchae.callbacks.tensorboard.reconstructions import Reconstructions

pytest.importorskip("tensorboardX")
from PIL import Image
from tensorboardX.proto.event_pb2 import Event


@pytest.fixture(autouse=True)
def on_reference(fresh_session):
    scratchae.set_device("reference")


@pytest.fixture
def x(rng):
    return rng.random((20, 9), dtype=np.float32)


@pytest.fixture
def models():
    return vanilla.autoencoder(9, [5], 2)


@pytest.fixture
def auto(models):
    return models[2]


# ---- a reader of its own --------------------------------------------------------------------------------------------
def masked_crc(content):
    """CRC-32C (Castagnoli), bit by bit, rotated and shifted as TensorFlow stores it."""
    crc = 0xFFFFFFFF
    for byte in content:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def events(folder):
    """All events of a folder's only file, each record checked."""
    [file] = folder.glob("events.out.tfevents.*")
    content, found = file.read_bytes(), []
    while content:
        (length,) = struct.unpack("<Q", content[:8])
        payload = content[12 : 12 + length]
        assert len(payload) == length
        assert content[8:12] == struct.pack("<I", masked_crc(content[:8]))
        assert content[12 + length : 16 + length] == struct.pack("<I", masked_crc(payload))
        found.append(Event.FromString(payload))
        content = content[16 + length :]
    assert found[0].file_version == "brain.Event:2"
    assert all(event.wall_time > 1.7e9 for event in found)
    return found[1:]


def scalars(folder):
    """tag -> [(step, value)]"""
    found = defaultdict(list)
    for event in events(folder):
        for value in event.summary.value:
            if value.HasField("simple_value"):
                found[value.tag].append((event.step, value.simple_value))
    return dict(found)


def pictures(folder):
    """tag -> {step: array}"""
    found = defaultdict(dict)
    for event in events(folder):
        for value in event.summary.value:
            if value.HasField("image"):
                picture = np.asarray(Image.open(io.BytesIO(value.image.encoded_image_string)))
                assert picture.shape == (value.image.height, value.image.width, value.image.colorspace)
                found[value.tag][event.step] = picture
    return found


def histograms(folder):
    """(tag, step) -> message"""
    return {
        (value.tag, event.step): value.histo
        for event in events(folder)
        for value in event.summary.value
        if value.HasField("histo")
    }


def as_written(values):
    return [float(np.float32(value)) for value in values]


def test_the_reader_knows_a_checksum():
    """RFC 3720, B.4: 32 bytes of zero; masked by hand."""
    crc = 0x8A9136AA
    assert masked_crc(bytes(32)) == ((crc >> 15 | (crc & 0x7FFF) << 17) + 0xA282EAD8) & 0xFFFFFFFF


# ---- scalars --------------------------------------------------------------------------------------------------------
def test_the_epochs_numbers_are_those_of_history(auto, x, tmp_path):
    auto.compile(optimizers.Adam(schedules.ExponentialDecay(0.01, 5, 0.5)), "mse", metrics=["mae"])
    history = auto.fit(x, x, 4, epochs=3, validation_data=(x, x), verbose=0, callbacks=[TensorBoard(tmp_path)]).history
    train, validation = scalars(tmp_path / "train"), scalars(tmp_path / "validation")
    assert list(train) == ["epoch_loss", "epoch_mae", "epoch_learning_rate"]
    for name in ("loss", "mae"):
        assert train[f"epoch_{name}"] == list(enumerate(as_written(history[name])))
        after = as_written(history[f"val_{name}"])
        assert validation[f"epoch_{name}"] == list(enumerate(after))
        assert validation[f"evaluation_{name}_vs_iterations"] == list(zip([5, 10, 15], after, strict=True))
    assert train["epoch_learning_rate"] == list(enumerate(as_written([0.005, 0.0025, 0.00125])))


def test_without_validation_there_is_no_folder_for_it(auto, x, tmp_path):
    auto.fit(x, x, verbose=0, callbacks=[TensorBoard(tmp_path / "a" / "b")])
    assert [path.name for path in (tmp_path / "a" / "b").iterdir()] == ["train"]


def test_every_third_batch(auto, x, tmp_path):
    means = []
    watch = LambdaCallback(on_batch_end=lambda batch, logs: means.append(logs["loss"]))
    tensorboard = TensorBoard(tmp_path, update_freq=3, write_steps_per_second=True)
    auto.fit(x, x, 4, epochs=2, verbose=0, callbacks=[tensorboard, watch])
    train = scalars(tmp_path / "train")
    assert train["batch_loss"] == list(zip([3, 6, 9], as_written(means[2::3]), strict=True))
    assert [step for step, _ in train["batch_steps_per_second"]] == [3, 6, 9]
    assert [step for step, _ in train["epoch_steps_per_second"]] == [0, 1]
    assert all(value > 0 for _, value in train["batch_steps_per_second"] + train["epoch_steps_per_second"])
    auto.fit(x, x, 10, verbose=0, callbacks=[tensorboard])  # the same object goes on in its file
    assert [step for step, _ in scalars(tmp_path / "train")["batch_loss"]] == [3, 6, 9, 12]


def test_batch_is_every_batch(auto, x, tmp_path):
    auto.fit(x, x, 4, verbose=0, callbacks=[TensorBoard(tmp_path, update_freq="batch")])
    assert [step for step, _ in scalars(tmp_path / "train")["batch_loss"]] == [1, 2, 3, 4, 5]


def test_who_writes_epochs_does_not_listen_to_batches(auto):
    def listens(tensorboard):
        return CallbackList([tensorboard], auto, {}).listens("on_train_batch_end", "on_batch_end", but=ProgressBar)

    assert not listens(TensorBoard(write_steps_per_second=True, histogram_freq=1))
    assert listens(TensorBoard(update_freq=100))


def test_evaluate_writes_too(auto, x, tmp_path):
    auto.fit(x, x, 10, verbose=0)
    loss = auto.evaluate(x, x, callbacks=[TensorBoard(tmp_path)])
    assert scalars(tmp_path / "validation") == {"evaluation_loss_vs_iterations": [(2, np.float32(loss))]}


def test_a_loss_that_is_nan_is_written_and_histograms_leave_nan_out(auto, x, tmp_path):
    kernel = auto.weights[0].numpy()
    kernel[0, 0] = np.nan
    auto.weights[0].assign(kernel)
    auto.fit(x, x, verbose=0, callbacks=[TerminateOnNaN(), TensorBoard(tmp_path, histogram_freq=1)])
    assert np.isnan(scalars(tmp_path / "train")["epoch_loss"][0][1])
    assert histograms(tmp_path / "train")["dense/kernel/histogram", 0].num == 9 * 5 - 1


# ---- weights --------------------------------------------------------------------------------------------------------
def test_histograms_of_weights_and_gradients(auto, x, tmp_path):
    auto.compile(optimizers.SGD(1.0), "mse")
    before = auto.get_weights()
    auto.fit(x, x, 20, verbose=0, callbacks=[TensorBoard(tmp_path, histogram_freq=1)])
    found = histograms(tmp_path / "train")
    assert len(found) == 2 * len(before)
    for parameter, old in zip(auto.weights, before, strict=True):
        new = parameter.numpy().astype(np.float64)
        for kind, values in (("histogram", new), ("gradient", old - new)):  # w - 1 * g
            message = found[f"{parameter.name}/{kind}", 0]
            assert (message.num, sum(message.bucket)) == (new.size, new.size)
            np.testing.assert_allclose(
                [message.min, message.max, message.sum, message.sum_squares],
                [values.min(), values.max(), values.sum(), (values**2).sum()],
                atol=1e-6,
            )
            inside = (message.bucket_limit[5] < values) & (values <= message.bucket_limit[6])
            assert abs(message.bucket[6] - inside.sum()) <= 2  # of the upper bounds, and rounding at the edges


def test_histograms_every_second_epoch_begin_with_the_first(auto, x, tmp_path):
    auto.fit(x, x, epochs=4, verbose=0, callbacks=[TensorBoard(tmp_path, histogram_freq=2)])
    assert {step for _, step in histograms(tmp_path / "train")} == {0, 2}


def test_weights_as_images(x, tmp_path):
    _, _, auto = convolutional.autoencoder((12, 12, 1), [4, 2, 2], (2, 2, 2))
    images = np.zeros((2, 12, 12, 1))
    auto.fit(images, images, verbose=0, callbacks=[TensorBoard(tmp_path, histogram_freq=1, write_images=True)])
    kernel, bias = (w.numpy() for w in auto.weights[2:4])  # (3, 3, 4, 2), (2,)
    found = pictures(tmp_path / "train")
    picture = found["conv2d_1/kernel/image"][0][..., 0]
    assert picture.shape == (4 * 3 + 3, 2 * 3 + 1)
    expected = 255 * (kernel - kernel.min()) / (kernel.max() - kernel.min())
    np.testing.assert_allclose(picture[8:11, 4:7], expected[:, :, 2, 1], atol=0.51)
    assert picture.min() == 0
    assert np.all(picture[3] == 255)
    assert found["conv2d_1/bias/image"][0].shape[:2] == (1, len(bias))


def test_a_matrix_lies_on_its_longer_side_and_constants_are_black():
    picture = pixels.weights(np.linspace(-3, 5, 12).reshape(6, 2))
    assert (picture.shape, picture[0, 0], picture[1, 5]) == ((2, 6), 0, 255)
    assert np.all(pixels.weights(np.full((2, 3), 7.0)) == 0)


# ---- reconstructions ------------------------------------------------------------------------------------------------
def test_images_stand_over_their_reconstructions(auto, x, tmp_path):
    auto.fit(
        x, x, epochs=3, verbose=0, callbacks=[TensorBoard(tmp_path, reconstructions=x[:13], reconstructions_freq=2)]
    )
    found = pictures(tmp_path / "train")["reconstructions"]
    assert list(found) == [0, 2]
    picture = found[2]
    assert picture.shape == (2 * 7 + 6, 10 * 3 + 9 * 6, 3)  # two blocks of ten pairs
    assert np.all(picture[..., 0] == picture[..., 2])
    copies = auto.predict(x[:13])
    for i in (0, 9, 12):
        top, left = i // 10 * (7 + 6), i % 10 * (3 + 6)
        pair = picture[top : top + 7, left : left + 3, 0]
        np.testing.assert_array_equal(pair[:3], np.rint(x[i] * 255).reshape(3, 3))
        np.testing.assert_allclose(pair[4:], copies[i].reshape(3, 3) * 255, atol=0.501)
        assert np.all(pair[3] == 255)
    assert np.all(picture[13:, 3 * 9 :] == 255)


def test_colours_rows_of_no_square_bytes_and_wide_ranges(rng):
    colours = rng.random((3, 2, 4, 3))
    assert pixels.over_copies(colours, colours).shape == (5, 3 * 4 + 12, 3)
    wide = np.array([[[-2.0, 2.0]]])
    np.testing.assert_array_equal(pixels.over_copies(wide, wide / 2), [[0, 255], [255, 255], [64, 191]])
    rows = Reconstructions(np.full((1, 6), 51, np.uint8), image_shape=(2, 3))
    np.testing.assert_array_equal(rows.originals, np.full((1, 2, 3), 0.2))


def test_samples_of_another_model_are_refused_before_training(auto, x, tmp_path):
    with pytest.raises(ValueError, match=r"reconstructions has samples of shape \(16,\), the model takes \(9,\)"):
        auto.fit(x, x, verbose=0, callbacks=[TensorBoard(tmp_path, reconstructions=np.zeros((2, 16)))])
    assert list(tmp_path.iterdir()) == []


# ---- embeddings -----------------------------------------------------------------------------------------------------
def test_codes_labels_and_thumbnails_at_the_end(models, x, tmp_path):
    encoder, _, auto = models
    labels = ["a\tb", 7, *"cdefg"]
    tensorboard = TensorBoard(tmp_path, embeddings=x[:7], encoder=encoder, labels=labels)
    auto.fit(x, x, epochs=3, verbose=0, callbacks=[tensorboard])
    folder = tmp_path / "train"
    codes = np.loadtxt(folder / "embedding" / "codes-00002.tsv", np.float32, delimiter="\t")
    np.testing.assert_array_equal(codes, encoder.predict(x[:7]))
    assert (folder / "embedding" / "metadata.tsv").read_text().split("\n") == ["a b", "7", *"cdefg", ""]
    sprite = np.asarray(Image.open(folder / "embedding" / "sprite.png"))
    assert sprite.shape == (9, 9)
    np.testing.assert_array_equal(sprite[3:6, 6:], np.rint(255 * x[5]).reshape(3, 3))
    assert np.all(sprite[6:, 3:] == 255)
    assert (folder / "projector_config.pbtxt").read_text() == (
        'embeddings {\n  tensor_name: "codes-00002"\n  tensor_path: "embedding/codes-00002.tsv"\n'
        '  metadata_path: "embedding/metadata.tsv"\n'
        '  sprite { image_path: "embedding/sprite.png" single_image_dim: 3 single_image_dim: 3 }\n}\n'
    )


def test_codes_every_second_epoch_of_samples_that_are_no_images(rng, tmp_path):
    encoder, _, auto = variational.autoencoder(7, [5], 3)
    x = rng.random((6, 7), dtype=np.float32)
    auto.fit(
        x,
        x,
        epochs=3,
        verbose=0,
        callbacks=[TensorBoard(tmp_path, 0, embeddings_freq=2, embeddings=x, encoder=encoder)],
    )
    folder = tmp_path / "train" / "embedding"
    assert sorted(path.name for path in folder.iterdir()) == ["codes-00000.tsv", "codes-00002.tsv"]
    means = encoder.predict(x)[1]
    np.testing.assert_allclose(np.loadtxt(folder / "codes-00002.tsv"), means, rtol=1e-6)
    config = (tmp_path / "train" / "projector_config.pbtxt").read_text()
    assert config.index("codes-00002") < config.index("codes-00000")
    assert "sprite" not in config
    assert "metadata" not in config


def test_thumbnails_stay_below_tensorboard_s_limit(monkeypatch):
    monkeypatch.setattr(projector, "LARGEST", 20)
    sprite, height, width = projector.thumbnails(np.zeros((10, 6, 8)))
    assert (sprite.shape, height, width) == ((12, 16), 3, 4)


# ---- when training is broken off, and goes on -----------------------------------------------------------------------
def test_an_error_loses_nothing_and_leaves_nothing_running(auto, x, tmp_path):
    def fail(batch, logs):
        if auto.optimizer.iterations == 7:
            raise KeyboardInterrupt

    threads = threading.active_count()
    callbacks = [TensorBoard(tmp_path, update_freq=1), LambdaCallback(on_batch_end=fail)]
    with pytest.raises(KeyboardInterrupt):
        auto.fit(x, x, 4, epochs=3, verbose=0, callbacks=callbacks)
    assert [step for step, _ in scalars(tmp_path / "train")["batch_loss"]] == [1, 2, 3, 4, 5, 6, 7]
    assert threading.active_count() == threads


def test_resumed_training_writes_no_step_twice(auto, x, tmp_path):
    """As after a kill: what was written since the state was taken is cut off, a record half written among it."""
    first, options = TensorBoard(tmp_path, update_freq=1), {"validation_data": (x, x), "verbose": 0}
    auto.fit(x, x, 4, epochs=2, callbacks=[first], **options)
    state, whole = first.get_state(), scalars(tmp_path / "train")
    auto.fit(x, x, 4, initial_epoch=2, epochs=3, callbacks=[first], **options)
    [file] = (tmp_path / "train").iterdir()
    with open(file, "ab") as torn:
        torn.write(b"\x18\0\0\0\0")
    second = TensorBoard(tmp_path, update_freq=1)
    second.set_state(state)
    auto.optimizer.iterations = 10
    auto.fit(x, x, 4, initial_epoch=2, epochs=4, callbacks=[second], **options)
    train, validation = scalars(tmp_path / "train"), scalars(tmp_path / "validation")
    assert [step for step, _ in train["batch_loss"]] == list(range(1, 21))
    assert [step for step, _ in train["epoch_loss"]] == [0, 1, 2, 3]
    assert [step for step, _ in validation["evaluation_loss_vs_iterations"]] == [5, 10, 15, 20]
    assert train["batch_loss"][:10] == whole["batch_loss"]


@pytest.mark.parametrize("save_freq", ["epoch", 2])
def test_a_fit_that_is_broken_off_and_resumed_ends_with_the_same_events(save_freq, x, tmp_path):
    """After a backup every batch and the epoch are written on, and one record only half, as by a kill."""

    def fit(name, fail_at=None):
        def fail(batch, logs):
            if auto.optimizer.iterations == fail_at:
                [file] = (tmp_path / name / "train").iterdir()
                with open(file, "ab") as torn:
                    torn.write(b"\x18\0\0\0\0")
                raise KeyboardInterrupt

        scratchae.set_random_seed(1)
        scratchae.clear_session()  # the same names each time, as a new process has them
        _, _, auto = vanilla.autoencoder(9, [5], 2)
        board = TensorBoard(tmp_path / name, 2, update_freq=1, reconstructions=x)
        watch = [board, LambdaCallback(on_batch_end=fail), BackupAndRestore(tmp_path / f"backup {name}", save_freq)]
        auto.fit(x, x, 4, epochs=4, validation_data=(x, x), verbose=0, callbacks=watch)

    def written(name):
        return [
            (event.step, event.summary.SerializeToString())
            for part in ("train", "validation")
            for event in events(tmp_path / name / part)
        ]

    fit("whole")
    for fail_at in (3, 13, 18):
        with pytest.raises(KeyboardInterrupt):
            fit("parts", fail_at)
    fit("parts")
    assert written("parts") == written("whole")


def test_a_state_from_before_the_first_event(auto, x, tmp_path):
    first = TensorBoard(tmp_path)
    state = first.get_state()
    assert list(tmp_path.iterdir()) == []
    auto.fit(x, x, verbose=0, callbacks=[first])
    second = TensorBoard(tmp_path)
    second.set_state(state)
    auto.fit(x, x, verbose=0, callbacks=[second])
    assert [step for step, _ in scalars(tmp_path / "train")["epoch_loss"]] == [0]


def test_codes_are_written_where_only_the_end_of_training_was_missing(models, x, tmp_path):
    encoder, _, auto = models
    first, second = (TensorBoard(tmp_path / name, embeddings=x, encoder=encoder) for name in "ab")
    auto.fit(x, x, epochs=2, verbose=0, callbacks=[first])
    second.set_state(first.get_state())
    auto.fit(x, x, initial_epoch=2, epochs=2, verbose=0, callbacks=[second])
    codes = "train/embedding/codes-00001.tsv"
    assert (tmp_path / "a" / codes).read_bytes() == (tmp_path / "b" / codes).read_bytes()


@pytest.mark.parametrize(
    "damage", [lambda folder: shutil.rmtree(folder), lambda folder: next(folder.iterdir()).write_bytes(b"")]
)
def test_a_file_that_is_gone_or_shorter_is_left_alone(damage, auto, x, tmp_path):
    first, second = TensorBoard(tmp_path), TensorBoard(tmp_path)
    auto.fit(x, x, verbose=0, callbacks=[first])
    state = first.get_state()
    damage(tmp_path / "train")
    before = set(tmp_path.glob("train/*"))
    second.set_state(state)
    auto.fit(x, x, initial_epoch=1, epochs=2, verbose=0, callbacks=[second])
    for path in before:
        assert path.read_bytes() == b""
        path.unlink()
    assert [step for step, _ in scalars(tmp_path / "train")["epoch_loss"]] == [1]


def test_a_state_reaches_no_file_but_its_own(tmp_path):
    victim = tmp_path / "events.out.tfevents.victim"
    victim.write_bytes(b"0123456789")
    with pytest.raises(ValueError, match=r"'passwd' is no name of an event file"):
        TensorBoard(tmp_path / "logs").set_state({"epoch": 0, "train": {"name": "/etc/passwd", "size": 0}})
    position = {"name": f"../../{victim.name}", "size": 3}
    TensorBoard(tmp_path / "logs").set_state({"epoch": 0, "train": position, "validation": position})
    assert victim.read_bytes() == b"0123456789"


def test_logs_that_are_removed_meanwhile_begin_anew(auto, x, tmp_path):
    watch = LambdaCallback(on_epoch_begin=lambda epoch, logs: epoch == 1 and shutil.rmtree(tmp_path / "train"))
    auto.fit(x, x, epochs=3, verbose=0, callbacks=[TensorBoard(tmp_path), watch])
    assert [step for step, _ in scalars(tmp_path / "train")["epoch_loss"]] == [1, 2]


def test_two_callbacks_of_one_second_have_two_files(auto, x, tmp_path):
    auto.fit(x, x, verbose=0, callbacks=[TensorBoard(tmp_path), TensorBoard(tmp_path)])
    assert len(list((tmp_path / "train").iterdir())) == 2


# ---- arguments ------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"write_graph": True}, ValueError, "write_graph, profile_batch and embeddings_metadata are not supported"),
        ({"profile_batch": (2, 4)}, ValueError, "are not supported"),
        ({"embeddings_metadata": "labels.tsv"}, ValueError, "labels= are what embeddings_metadata would be"),
        ({"histogram_freq": -1}, ValueError, "histogram_freq=-1 is too small"),
        ({"histogram_freq": True}, TypeError, "histogram_freq=True is a bool"),
        ({"update_freq": "often"}, TypeError, "update_freq='often' is a str"),
        ({"update_freq": 0}, ValueError, "update_freq=0 is too small"),
        ({"write_images": True}, ValueError, "write_images=True writes with the histograms; give histogram_freq=1"),
        ({"reconstructions": np.zeros((4, 7))}, ValueError, r"shape \(4, 7\).*give image_shape=\(H, W\)"),
        ({"reconstructions": np.zeros((0, 9))}, ValueError, "it is empty"),
        ({"reconstructions": [["a"]]}, TypeError, "expected an array of numbers"),
        ({"embeddings": np.zeros((4, 9))}, ValueError, "embeddings= and encoder= belong together"),
        ({"labels": [1]}, ValueError, "labels= to them"),
    ],
)
def test_nonsense_is_refused(options, error, message):
    with pytest.raises(error, match=message):
        TensorBoard(**options)


def test_embeddings_have_the_shape_of_the_encoder_s_input_and_a_label_each(models):
    with pytest.raises(ValueError, match=r"embeddings has shape \(4, 7\); the encoder takes samples of \(9,\)"):
        TensorBoard(embeddings=np.zeros((4, 7)), encoder=models[0])
    with pytest.raises(ValueError, match=r"labels has shape \(3,\); expected \(4,\), one label for each sample"):
        TensorBoard(embeddings=np.zeros((4, 9)), encoder=models[0], labels=[1, 2, 3])


def test_without_tensorboardx_the_cure_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(ImportError, match=r"needs tensorboardX: pip install 'scratchae\[tensorboard\]'"):
        TensorBoard()
