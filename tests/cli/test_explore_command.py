"""scratchae explore."""

import pytest

from scratchae import cli


@pytest.fixture(params=["variational", "convolutional", "recurrent"])
def model(request, tmp_path, capsys):
    assert cli.main(["train", request.param, "--epochs", "1", "--out", str(tmp_path)]) == 0
    capsys.readouterr()
    return tmp_path / "model.safetensors"


def test_a_page_is_written(model, tmp_path, capsys):
    out = tmp_path / "latent.html"
    assert cli.main(["explore", str(model), "-o", str(out), "--samples", "20", "--title", "<Digits>"]) == 0
    size = out.stat().st_size
    assert capsys.readouterr().out == f"wrote {out}, {size / 1e6:.1f} MB: open it in a browser\n"
    assert '"title":"\\u003cDigits>"' in out.read_text()
    assert '"kind":"image","shape":[28,28,1]' in out.read_text()

    assert cli.main(["explore", str(model), "-o", str(out), "--samples", "0"]) == 1
    assert capsys.readouterr().err == "scratchae: --samples 0 is too small; expected at least 1\n"
    assert cli.main(["explore", str(model), "-o", str(tmp_path / "latent.png")]) == 1
    assert "must end in .html" in capsys.readouterr().err
    assert out.stat().st_size == size
