import pytest
from nvrtc_compiler import Compile, Nvrtc


@pytest.fixture(scope="session")
def nvrtc() -> Compile:
    return Nvrtc()
