import jaxtyping
import pytest


@pytest.fixture(autouse=True, scope="package")
def types_checked_in_one_file_only():
    """Check types in test_types.py alone; checks make many small functions 20 times slower."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)
