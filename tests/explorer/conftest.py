import chromium
import pytest

import scratchae


@pytest.fixture(autouse=True)
def formulas(fresh_session):
    """What decoders are held against; nothing here needs compiled kernels."""
    scratchae.set_device("reference")


@pytest.fixture(scope="session")
def browser(tmp_path_factory):
    if chromium.program() is None:
        pytest.skip("there is no Chromium or Chrome: apt install chromium")
    with chromium.Chromium(tmp_path_factory.mktemp("profile")) as started:
        yield started


@pytest.fixture
def open_page(browser):
    """Opens files as pages; afterwards there must have been no error in them, and no request but for the file."""
    opened = []

    def open_file(path, **options):
        opened.append(chromium.Page(browser, path, **options))
        return opened[-1]

    yield open_file
    for page in opened:
        events = page.close()
        errors = ("Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded")
        assert [event for event in events if event["method"] in errors] == []
        requests = [event["params"]["request"] for event in events if event["method"] == "Network.requestWillBeSent"]
        assert [request["url"] for request in requests] == [page.url]
