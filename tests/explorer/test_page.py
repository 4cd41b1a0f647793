"""The page in a real browser: it decodes what predict predicts, and does what a person expects of it."""

import json

import chromium
import numpy as np
import pytest

from scratchae import Input, Model, layers
from scratchae.autoencoders import convolutional, recurrent, vanilla
from scratchae.explorer import explore

GREY = 0.51 / 255  # what rounding to a byte takes


def dense(latent):
    return vanilla.autoencoder(35, [9], latent)[1]


def conv():
    return convolutional.autoencoder((12, 20, 3), [4, 3, 2], (2, 3, 2))[1]


def odd_conv():
    z = y = Input((5, 7, 2))
    y = layers.Conv2D(3, (3, 5), padding="same", activation="tanh")(y)
    y = layers.UpSampling2D()(y)
    y = layers.MaxPooling2D(padding="same")(layers.Conv2D(3, (1, 3), use_bias=False)(y))  # (10, 12)
    y = layers.MaxPooling2D()(layers.Conv2D(3, 1)(y))
    return Model(z, layers.Rescaling(2.5, -0.5)(y))


def lstm():
    return recurrent.autoencoder(7, 3, 5)[1]


def every_other_layer():
    """Nested models, a shared layer, sequences, and layers that are there in training only."""
    shared = layers.Dense(6, "relu", activity_regularizer="l1")
    h = Input((6,))
    inner = Model(h, layers.GaussianNoise(0.3)(shared(shared(h))))
    z = Input((6,))
    y = layers.RepeatVector(4)(layers.Dropout(0.5)(inner(z)))
    y = layers.TimeDistributed(layers.Dense(5, "tanh"))(layers.LSTM(3, return_sequences=True, use_bias=False)(y))
    y = layers.LSTM(8)(layers.ActivityRegularization(0.1)(y))
    y = layers.Reshape((2, -1))(layers.Activation("sigmoid")(y))
    return Model(z, layers.Dense(7, use_bias=False)(layers.Flatten()(y)))


def randomize(model, rng):
    """Weights and biases that matter."""
    model.set_weights([rng.normal(0, 0.5, w.shape) for w in model.get_weights()])
    return model


def points(model, rng, count=40):
    return rng.normal(0, 1.5, (count, *model.inputs[0].sample_shape)).astype(np.float32)


def decoded(page, code):
    return np.array(page.evaluate(f"Array.from(decode(Float64Array.from({np.ravel(code).tolist()})))"))


def current_code(page):
    return np.array(page.evaluate("Array.from(state.code)"), np.float32)


def pixels(page, selector="#picture", box=None):
    """Red, green and blue of a canvas on white paper, or of its box (x, y, width, height), in [0, 1]."""
    height, width, data = page.evaluate(f"""{{
        const canvas = document.querySelector({json.dumps(selector)});
        const copy = new OffscreenCanvas(canvas.width, canvas.height).getContext("2d", {{ willReadFrequently: true }});
        copy.fillStyle = "white";
        copy.fillRect(0, 0, canvas.width, canvas.height);
        copy.drawImage(canvas, 0, 0);
        const [x, y, width, height] = {json.dumps(box)} || [0, 0, canvas.width, canvas.height];
        [height, width, Array.from(copy.getImageData(x, y, width, height).data)];
    }}""")
    return np.reshape(data, (height, width, 4))[..., :3] / 255


def on_plane(page, *fractions):
    """Places in the window: fractions of the plane's box, from left and from the top."""
    left, top, _, _ = page.place("#plane")
    box = page.evaluate("scale.box")
    return [(left + box["left"] + x * box["width"], top + box["top"] + y * box["height"]) for x, y in fractions]


@pytest.mark.parametrize("make", [lambda: dense(3), conv, odd_conv, lstm, every_other_layer])
def test_the_page_decodes_what_predict_predicts(make, open_page, tmp_path, rng):
    decoder = randomize(make(), rng)
    codes = points(decoder, rng)
    explore(decoder, tmp_path / "p.html", codes)
    page = open_page(tmp_path / "p.html")
    expected = decoder.predict(codes[:5], verbose=0)
    assert expected.std() > 0.01
    for code, sample in zip(codes, expected, strict=False):
        np.testing.assert_allclose(decoded(page, code), sample.ravel(), rtol=0, atol=1e-5)


def test_dragging_shows_what_the_decoder_makes_of_that_place(open_page, tmp_path, rng):
    decoder = randomize(dense(2), rng)
    codes = points(decoder, rng)
    explore(decoder, tmp_path / "p.html", codes, sample_shape=(5, 7, 1))
    page = open_page(tmp_path / "p.html")
    before = pixels(page)
    assert before.shape == (5, 7, 3)
    page.mouse(*on_plane(page, (0.5, 0.5), (0.6, 0.6), (0.9, 0.25)))
    low, high = codes.min(axis=0), codes.max(axis=0)
    margin = 0.05 * (high - low)
    expected = low - margin + (high - low + 2 * margin) * [0.9, 0.75]
    np.testing.assert_allclose(current_code(page), expected, atol=0.01)
    image = decoder.predict(current_code(page)[np.newaxis], verbose=0).reshape(5, 7)
    np.testing.assert_allclose(pixels(page)[..., 0], image, atol=GREY)
    assert np.abs(pixels(page) - before).max() > 0.1
    page.mouse(*on_plane(page, (0.5, 0.5)), (0, 0))  # outside: the ring stays at the edge
    np.testing.assert_allclose(current_code(page), [low[0] - margin[0], high[1] + margin[1]], atol=0.01)


def test_keys_and_fingers_move_the_ring(open_page, tmp_path, rng):
    decoder = randomize(dense(2), rng)
    explore(decoder, tmp_path / "p.html")
    page = open_page(tmp_path / "p.html", width=390, height=844)
    page.evaluate("document.querySelector('#plane').focus()")
    for key, shift, expected in (
        ("ArrowRight", False, [0.06, 0]),
        ("ArrowUp", True, [0.06, 0.6]),
        ("ArrowLeft", True, [-0.54, 0.6]),
        ("ArrowDown", False, [-0.54, 0.54]),
    ):
        page.key(key, shift)
        np.testing.assert_allclose(current_code(page), expected, atol=1e-6)
    page.evaluate("document.querySelector('#plane').scrollIntoView({block: 'end'})")
    page.finger(*on_plane(page, (0.5, 0.5), (0.7, 0.6), (0.75, 0.75)))
    np.testing.assert_allclose(current_code(page), [1.5, -1.5], atol=0.02)


def test_two_clicks_give_the_way_between_them(open_page, tmp_path, rng):
    decoder = randomize(dense(2), rng)
    explore(decoder, tmp_path / "p.html", sample_shape=(5, 7, 1))
    page = open_page(tmp_path / "p.html")
    for choose in ("with shift", "with the button"):
        x = 0.25 if choose == "with shift" else 0.5
        if choose == "with the button":
            page.click("#choose")
        for place in on_plane(page, (x, 0.25), (0.75, 1)):
            page.mouse(place, shift=choose == "with shift")
        np.testing.assert_allclose(current_code(page), [0, 0])  # the ring stays
        ends = np.array(page.evaluate("[Array.from(state.a), Array.from(state.b)]"), np.float32)
        np.testing.assert_allclose(ends, [[6 * x - 3, 1.5], [1.5, -3]], atol=0.02)
        t = np.linspace(0, 1, 11)[:, np.newaxis]
        expected = decoder.predict((1 - t) * ends[0] + t * ends[1], verbose=0).reshape(-1, 5, 7)
        for i, image in enumerate(expected):
            shown = pixels(page, f"#strip li:nth-child({i + 1}) canvas")
            np.testing.assert_allclose(shown[..., 0], image, atol=GREY)
    page.click("#strip li:nth-child(4) button")
    np.testing.assert_allclose(current_code(page), 0.7 * ends[0] + 0.3 * ends[1], atol=1e-6)


def test_playing_goes_from_a_to_b_and_back(open_page, tmp_path, rng):
    explore(randomize(dense(2), rng), tmp_path / "p.html")
    page = open_page(tmp_path / "p.html")
    until = "new Promise((done) => (function wait() {{ {} ? done(state.t) : requestAnimationFrame(wait); }})())"
    page.click("#play")
    assert 0.02 < page.evaluate(until.format("state.t > 0.02")) < 0.9
    page.evaluate("play(0.99)")
    assert page.evaluate(until.format("state.t === 1")) == 1
    assert page.evaluate(until.format("state.t < 0.98")) > 0.5
    page.click("#play")
    stopped = page.evaluate("state.t")
    page.settle()
    assert page.evaluate("state.t") == stopped
    np.testing.assert_allclose(current_code(page), page.evaluate("Array.from(between(state.a, state.b, state.t))"))
    page.send("Emulation.setEmulatedMedia", features=[])  # no wish for less motion: a new way is played by itself
    page.evaluate("plane.focus()")
    page.key("b")
    page.evaluate(until.format("state.t > 0.02"))


def test_points_have_the_colour_of_their_label(open_page, tmp_path, rng):
    codes = np.array([[0.13, 0.13], [0.13, 0.87], [0.87, 0.13], [0.87, 0.87]], np.float32)  # beside the grid's lines
    explore(randomize(dense(2), rng), tmp_path / "p.html", codes, ["b", "a", "c", "a"])
    page = open_page(tmp_path / "p.html")
    assert page.evaluate("document.querySelector('#legend').innerText.split(/\\s+/)") == ["a", "b", "c"]
    page.evaluate("moveTo(state.a = state.b = Float64Array.of(0.5, 0.5))")  # nothing hides a point
    page.settle()

    def colours():
        places = np.round(page.evaluate("places")).astype(int).tolist()
        return [pixels(page, "#plane", (x, y, 1, 1))[0, 0] for x, y in places]

    def blended(colour, alpha):
        return np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255 * alpha + 1 - alpha

    palette = page.evaluate("PALETTE")
    for shown, k in zip(colours(), [1, 0, 2, 0], strict=True):
        np.testing.assert_allclose(shown, blended(palette[k], 0.8), atol=0.01)
    page.click("#legend button:nth-child(3)")  # only "c" in full
    for shown, k, alpha in zip(colours(), [1, 0, 2, 0], [0.12, 0.12, 0.8, 0.12], strict=True):
        np.testing.assert_allclose(shown, blended(palette[k], alpha), atol=0.01)


def test_more_dimensions_have_axes_to_choose_and_sliders(open_page, tmp_path, rng):
    decoder = randomize(dense(4), rng)
    codes = points(decoder, rng) @ rng.normal(size=(4, 4)).astype(np.float32) + 2
    explore(decoder, tmp_path / "p.html", codes)
    page = open_page(tmp_path / "p.html")
    np.testing.assert_allclose(current_code(page), codes.mean(axis=0), atol=1e-5)
    centred = codes - codes.mean(axis=0)
    _, _, v = np.linalg.svd(centred)
    page.mouse(*on_plane(page, (0.9, 0.2)))
    moved = current_code(page) - codes.mean(axis=0)
    np.testing.assert_allclose(v[2:] @ moved, [0, 0], atol=1e-4)  # in the plane of the first two components
    assert np.abs(v[:2] @ moved).min() > 0.1
    assert page.evaluate("state.sliders.map((slider) => slider.axis.name)") == ["component 3", "component 4"]

    change = "{{ const e = document.querySelector('{}'); e.value = {}; e.dispatchEvent(new Event('{}')); }}"
    page.evaluate(change.format("#system", 1, "change"))
    page.evaluate(change.format("#x-axis", 3, "change"))
    page.evaluate(change.format("#y-axis", 3, "change"))  # taken by the other, which gets the old one
    page.settle()
    assert page.evaluate("[state.x.name, state.y.name, ...state.sliders.map((slider) => slider.axis.name)][1]") == "z4"
    assert page.evaluate("state.x !== state.y")
    free = page.evaluate("state.sliders.map((slider) => Number(slider.axis.name[1]) - 1)")
    before = current_code(page)
    page.evaluate(change.format("#sliders input", codes[:, free[0]].mean() + 0.5, "input"))
    page.settle()
    others = [d for d in range(4) if d != free[0]]
    np.testing.assert_allclose(current_code(page)[others], before[others])
    assert current_code(page)[free[0]] == pytest.approx(codes[:, free[0]].mean() + 0.5, abs=0.1)

    page.click("#snap")
    page.mouse(*on_plane(page, (0.1, 0.1)))
    assert np.abs(codes - current_code(page)).max(axis=1).min() < 1e-6  # a sample's whole code
    page.click("#centre")
    np.testing.assert_allclose(current_code(page), codes.mean(axis=0), atol=1e-5)


@pytest.mark.parametrize("with_codes", [True, False])
def test_one_dimension_is_a_line(with_codes, open_page, tmp_path, rng):
    decoder = randomize(dense(1), rng)
    explore(decoder, tmp_path / "p.html", points(decoder, rng) if with_codes else None)
    page = open_page(tmp_path / "p.html", dark=True)
    page.mouse(*on_plane(page, (0.9, 0.2)))
    high = page.evaluate("scale.fromX(scale.box.left + 0.9 * scale.box.width)")
    assert current_code(page)[0] == pytest.approx(high, abs=0.05)


def test_images_of_large_codes_and_sequences_are_drawn(open_page, tmp_path, rng):
    for make, kind in ((conv, "image"), (lstm, "lines")):
        decoder = randomize(make(), rng)
        explore(decoder, tmp_path / f"{kind}.html", points(decoder, rng))
        page = open_page(tmp_path / f"{kind}.html", dark=True)
        assert page.evaluate("document.querySelector('#picture').className") == kind
        before = pixels(page)
        page.mouse(*on_plane(page, (0.9, 0.1)))
        assert np.abs(pixels(page) - before).max() > 0.05
    assert page.evaluate("document.querySelectorAll('#features li').length") == 3


HOSTILE = "</script><script>window.hacked = 1</script><img src=x onerror='window.hacked = 1'>"


def test_titles_and_labels_stay_text(open_page, tmp_path, rng):
    decoder = randomize(dense(2), rng)
    explore(decoder, tmp_path / "p.html", points(decoder, rng, 2), [HOSTILE, "<!--"], title=f"{HOSTILE} \u2028 é")
    page = open_page(tmp_path / "p.html")
    assert page.evaluate("document.title") == f"{HOSTILE} \u2028 é"
    assert page.evaluate("document.querySelector('h1').textContent") == f"{HOSTILE} \u2028 é"
    assert page.evaluate("document.querySelector('#legend').textContent") == f"<!--{HOSTILE}"
    assert page.evaluate("[typeof window.hacked, document.images.length]") == ["undefined", 0]


def test_the_policy_lets_nothing_out_and_nothing_in(browser, tmp_path, rng):
    explore(randomize(dense(2), rng), tmp_path / "p.html")
    page = chromium.Page(browser, tmp_path / "p.html")
    ways = {
        "connect-src": "fetch('http://127.0.0.1:9/').catch(() => 0)",
        "img-src": "new Image().src = 'http://127.0.0.1:9/'",
        "script-src-elem": "document.head.append(Object.assign(document.createElement('script'), {text: '1'}))",
    }
    for directive, attempt in ways.items():
        listen = "addEventListener('securitypolicyviolation', (event) => done(event.effectiveDirective), {once: true})"
        assert page.evaluate(f"new Promise((done) => {{ {listen}; {attempt}; }})") == directive
    answers = [event["params"]["response"] for event in page.close() if event["method"] == "Network.responseReceived"]
    assert [answer["url"] for answer in answers] == [page.url]
