"""An authority of our own, trusted as an installation does that has one: by OpenSSL's own variable."""

import pytest

from tests.peers import authority as authorities
from tests.peers.authority import Authority


@pytest.fixture(scope="session")
def made_authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return authorities.make(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def authority(made_authority: Authority, monkeypatch: pytest.MonkeyPatch) -> Authority:
    monkeypatch.setenv("SSL_CERT_FILE", str(made_authority.certificates))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(made_authority.certificates))
    return made_authority
