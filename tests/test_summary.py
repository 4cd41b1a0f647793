import xml.etree.ElementTree as ElementTree

import pytest

from scratchae import Input, Model, layers
from scratchae.autoencoders import variational


@pytest.fixture
def auto():
    return variational.autoencoder(6, [5], 2)[2]


def test_text_tells_shapes_and_sizes_of_nested_layers(auto):
    lines = []
    auto.summary(print_fn=lines.append)
    [text] = lines
    rows = {line.split(" (")[0]: line for line in text.splitlines()}
    assert rows["  mean"].split()[-4:] == ["(Dense)", "(None,", "2)", "12"]
    assert "(None, 2), (None, 2), (None, 2)" in rows["encoder"]
    assert rows["encoder"].endswith("59")
    assert text.endswith("110 parameters, 110 of them trained")
    assert len({len(line) for line in text.splitlines()[1:-1]}) == 1  # a straight right edge


def test_nested_models_can_stay_closed(auto, capsys):
    auto.summary(expand_nested=False)
    assert "mean" not in capsys.readouterr().out


def test_frozen_weights_are_counted_apart(auto, capsys):
    auto.get_layer("encoder").trainable = False
    auto.summary()
    assert "110 parameters, 51 of them trained" in capsys.readouterr().out


def test_html_is_well_formed_and_opens_nested_models(auto):
    tree = ElementTree.fromstring(f"<div>{auto._repr_html_()}</div>")
    opened = [summary.text for summary in tree.iter("summary")]
    assert opened == ["encoder (Model)", "decoder (Model)"]
    cells = [cell.text for cell in tree.iter("td")]
    assert cells[cells.index("mean (Dense)") + 1 :][:2] == ["(None, 2)", "12"]


def test_html_escapes_names():
    x = Input((2,))
    model = Model(x, layers.Dense(2, name="<b>&")(x), name="<i>")
    tree = ElementTree.fromstring(f"<div>{model._repr_html_()}</div>")
    assert "<b>& (Dense)" in [cell.text for cell in tree.iter("td")]
    assert tree.find("p/b").text == "Model <i>"
