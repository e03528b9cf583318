import pytest

from tests.data.scenes.reader import types_unchecked


@pytest.fixture
def unchecked():
    with types_unchecked():
        yield
