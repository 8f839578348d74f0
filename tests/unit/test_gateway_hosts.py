"""Under which names the gateway answers."""

import pytest

from gateway.api.hosts import is_allowed, parse_hosts
from gateway.errors import ConfigurationError


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.0.0.1:8080",
        "192.168.1.7:8080",
        "[::1]",
        "[::1]:8080",
        "[fd00::7]:8080",
        "localhost",
        "LOCALHOST:8080",
        "localhost.",
        "ruth",
        "gateway-1:8080",
        "ruth.localhost:8080",
        "ruth.local",
        "ruth.internal:8080",
        "ruth.site.svc:8080",
        "ruth.site.svc.cluster.local:8080",
    ],
)
def test_addresses_and_names_that_nobody_on_the_internet_owns_are_answered(host: str):
    assert is_allowed(host, parse_hosts(""))


@pytest.mark.parametrize(
    "host",
    [
        "evil.test",
        "evil.test:8080",
        "EVIL.test.",
        "127.0.0.1.evil.test",
        "localhost.evil.test:8080",
        "evillocal.test",
        "127.0.0.1.nip.io:8080",
        "[evil.test]:8080",
        "1.2.3:8080",
    ],
)
def test_names_that_anyone_can_own_are_not(host: str):
    assert not is_allowed(host, parse_hosts("ruth.example.org"))


@pytest.mark.parametrize(
    ("allowed", "host", "is_answered"),
    [
        ("ruth.example.org", "ruth.example.org:8080", True),
        (" Ruth.Example.org. , other.example.org", "RUTH.example.org", True),
        ("ruth.example.org", "www.ruth.example.org", False),
        ("ruth.example.org", "example.org", False),
        ("*.example.org", "ruth.example.org", True),
        ("*.example.org", "example.org", False),
        ("*.example.org", "evilexample.org", False),
        ("*", "evil.test", True),
    ],
)
def test_an_operator_may_allow_more(allowed: str, host: str, is_answered: bool):
    assert is_allowed(host, parse_hosts(allowed)) is is_answered


@pytest.mark.parametrize("stated", ["https://ruth.example.org", "ruth.example.org:8080", "a,*b.org", "ruth*.org"])
def test_what_is_no_name_is_refused_by_the_variable(stated: str):
    with pytest.raises(ConfigurationError, match="RUTH_AI_ALLOWED_HOSTS"):
        parse_hosts(stated)
