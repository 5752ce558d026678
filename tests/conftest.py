"""What every test stands on."""

import pytest
from hypothesis import settings

# How long an example takes says something about the machine that it runs on, not about the code.
settings.register_profile("meshdoctor", deadline=None)
settings.load_profile("meshdoctor")


@pytest.fixture(autouse=True, scope="session")
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Runs of the command keep nothing in the cache folder of whoever runs the tests."""
    pytest.MonkeyPatch().setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
