"""Programs written for Keras, run after `import scratchae as keras`."""

import numpy as np
import pytest

import scratchae as keras


@pytest.fixture
def x(rng):
    return rng.random((40, 12), dtype=np.float32)


def test_building_autoencoders_in_keras_programs(x):
    """The single-layer autoencoder of the Keras blog, its encoder and decoder cut out of it."""
    input_img = keras.Input(shape=(12,))
    encoded = keras.layers.Dense(4, activation="relu", activity_regularizer=keras.regularizers.l1(10e-5))(input_img)
    decoded = keras.layers.Dense(12, activation="sigmoid")(encoded)
    autoencoder = keras.Model(input_img, decoded)
    encoder = keras.Model(input_img, encoded)
    encoded_input = keras.Input(shape=(4,))
    decoder = keras.Model(encoded_input, autoencoder.layers[-1](encoded_input))
    autoencoder.compile(optimizer="adam", loss="binary_crossentropy")
    before = autoencoder.evaluate(x, x, verbose=0)
    history = autoencoder.fit(x, x, epochs=5, batch_size=8, shuffle=True, validation_data=(x, x), verbose=0)
    assert history.history["loss"][-1] < before
    np.testing.assert_array_equal(decoder.predict(encoder.predict(x)), autoencoder.predict(x))


def test_encoder_decoder_functions_with_keras_dot_models(x):
    inputs = keras.layers.Input((12,))
    h = keras.layers.Dense(8, activation="relu")(inputs)
    encoder = keras.models.Model(inputs, keras.layers.Dense(3, activation="relu")(h))
    latent = keras.layers.Input(shape=(3,))
    h = keras.layers.Dense(8, activation="relu")(latent)
    decoder = keras.models.Model(latent, keras.layers.Dense(12, activation="sigmoid")(h))
    inputs = keras.layers.Input((12,))
    auto = keras.models.Model(inputs, decoder(encoder(inputs)))
    auto.compile(
        optimizer=keras.optimizers.Adam(learning_rate=0.01), loss=keras.losses.BinaryCrossentropy(), metrics=["mae"]
    )
    auto.fit(x, x, epochs=2, verbose=0)
    assert len(auto.evaluate(x, x, verbose=0)) == 2
    assert len(auto.get_weights()) == 8


def test_sequential_convolutional_denoiser(rng):
    model = keras.Sequential(
        [
            keras.Input((12, 12, 1)),
            keras.layers.GaussianNoise(0.1),
            keras.layers.Conv2D(4, (3, 3), activation="relu", padding="same"),
            keras.layers.MaxPooling2D((2, 2), padding="same"),
            keras.layers.Conv2D(4, 3, activation="relu", padding="same"),
            keras.layers.UpSampling2D(),
            keras.layers.Conv2D(1, 3, activation="sigmoid", padding="same"),
        ]
    )
    model.compile("rmsprop", "mse")
    images = rng.random((16, 12, 12, 1))
    history = model.fit(images, images, epochs=3, verbose=0, callbacks=[keras.callbacks.EarlyStopping(monitor="loss")])
    assert history.history["loss"][-1] < history.history["loss"][0]
    assert model.predict(images).shape == images.shape


def test_lstm_autoencoder_with_time_distributed(rng):
    sequences = rng.standard_normal((20, 5, 2))
    model = keras.Sequential()
    model.add(keras.layers.LSTM(8, input_shape=(5, 2)))
    model.add(keras.layers.RepeatVector(5))
    model.add(keras.layers.LSTM(8, return_sequences=True))
    model.add(keras.layers.TimeDistributed(keras.layers.Dense(2)))
    model.compile(optimizer="adam", loss="mse")
    history = model.fit(sequences, sequences, epochs=4, verbose=0)
    assert history.history["loss"][-1] < history.history["loss"][0]
    assert model.output_shape == (None, 5, 2)


def test_features_of_an_inner_layer(x):
    model = keras.Sequential([keras.layers.Dense(6, activation="relu", name="code"), keras.layers.Dense(12)])
    model.compile("sgd", "mse")
    model.fit(x, x, epochs=1, verbose=0)  # builds it for the data
    features = keras.Model(model.inputs[0], model.get_layer("code").output)
    w, b = model.get_layer("code").get_weights()
    np.testing.assert_allclose(features.predict(x), np.maximum(x @ w + b, 0), rtol=1e-5, atol=1e-6)


def test_a_model_called_on_arrays_computes(x):
    inputs = keras.Input((12,))
    model = keras.Model(inputs, keras.layers.Dense(3)(inputs))
    np.testing.assert_array_equal(model(x), model.predict(x, batch_size=40))


@pytest.mark.parametrize(
    ("program", "message"),
    [
        (lambda: keras.layers.Lambda(lambda t: t), "Lambda is not part of scratchae"),
        (lambda: keras.Input((3,)) * 2, "takes no arithmetic"),
        (lambda: np.float32(2) * keras.Input((3,)), "takes no arithmetic"),
        (lambda: keras.layers.Dense(2)(np.zeros((3, 2))), "symbolic tensor of Input"),
        (lambda: keras.backend_, "Of Keras' names it provides"),
    ],
)
def test_what_is_not_there_says_so(program, message):
    with pytest.raises((AttributeError, TypeError), match=message):
        program()


def test_subclassed_models_are_refused_with_the_reason():
    class Mine(keras.Model):
        pass

    with pytest.raises(TypeError, match=r"Model\(inputs, outputs\)"):
        Mine()
