"""No password survives masking, whatever it is made of and wherever the URL stands."""

from urllib.parse import quote

from hypothesis import given
from hypothesis import strategies as st

from gateway.masking import MASK, mask_secrets

# Long enough, and in an alphabet of its own, so that finding it in the text around it is no coincidence.
SECRET_CORE = st.text(alphabet="QXZJqxzj", min_size=6, max_size=12)
SCHEMES = st.sampled_from(["rtsp", "rtsps", "http", "https", "postgresql", "redis", "RTSP"])
USERS = st.sampled_from(["admin", "", "a.b-c", "me@example.org", "us%40er"])
TAILS = st.sampled_from(["", "/", "/live?channel=1&x=a@b", ":554/h264", "/a@b:c", "#x"])
AROUND = st.sampled_from(["", "can't open ", "'", '"', "url=", "(", "\n"])


@given(SECRET_CORE, st.text(max_size=8), st.text(max_size=8), SCHEMES, USERS, TAILS, AROUND)
def test_a_percent_encoded_password_never_appears(
    core: str, before: str, after: str, scheme: str, user: str, tail: str, around: str
) -> None:
    password = quote(f"{before}{core}{after}".encode("utf-8", "replace"), safe="")
    masked = mask_secrets(f"{around}{scheme}://{user}:{password}@cam.example{tail}{around}")
    assert core not in masked
    assert MASK in masked


@given(SECRET_CORE, st.text(alphabet="@:/?#%&+=;,.!$*()ab1", max_size=8), SCHEMES, TAILS)
def test_a_password_echoed_decoded_never_appears(core: str, odd: str, scheme: str, tail: str) -> None:
    assert core not in mask_secrets(f"{scheme}://admin:{core}{odd}@cam.example{tail}")
    assert core not in mask_secrets(f"{scheme}://admin:x{odd}{core}@cam.example{tail}")


@given(SECRET_CORE, st.text(alphabet="@:/?#%+", max_size=8), SCHEMES)
def test_a_password_in_a_url_that_is_itself_percent_encoded_never_appears(core: str, odd: str, scheme: str) -> None:
    url = f"{scheme}://admin:{quote(core + odd, safe='')}@cam.example/1"
    assert core not in mask_secrets(f"GET /probe?camera={quote(url, safe='')}&x=1")


@given(
    SECRET_CORE,
    st.sampled_from(["token", "password", "api_key", "apikey", "API-KEY", "pwd", "access_token", "VAS_CLIENT_SECRET"]),
    st.sampled_from(["?{}={}", "&{}={}&n=1", "{}='{} {}'", '{}="{}, {}"', "{} = {}", "rtsp://h/user=a_{}={}_x.sdp"]),
)
def test_an_assigned_secret_never_appears(core: str, name: str, form: str) -> None:
    assert core not in mask_secrets(form.format(name, core, core))


@given(SECRET_CORE, st.sampled_from(["bearer", "basic"]), st.lists(st.booleans(), min_size=6, max_size=6), AROUND)
def test_a_credential_of_an_authorization_never_appears(core: str, scheme: str, high: list[bool], around: str) -> None:
    written = "".join(letter.upper() if up else letter for letter, up in zip(scheme, high, strict=False))
    assert core not in mask_secrets(f"{around}Authorization: {written} dXNlcjpw{core}=={around}")


@given(st.text(max_size=200))
def test_masking_twice_changes_nothing(text: str) -> None:
    assert mask_secrets(mask_secrets(text)) == mask_secrets(text)


@given(st.text(alphabet="abc :@/=%24FApwdtoken&'\"", max_size=120))
def test_masking_near_misses_twice_changes_nothing(text: str) -> None:
    assert mask_secrets(mask_secrets(text)) == mask_secrets(text)


@given(st.text(alphabet="abc 123 äöü .,;!?-_/", max_size=200))
def test_ordinary_text_is_left_as_it_is(text: str) -> None:
    assert mask_secrets(text) == text


def test_addresses_without_credentials_are_left_as_they_are() -> None:
    for text in ("http://host:8080/path@2x.png", "rtsp://cam/1?x=2", "http://[::1]:80/a@b", "https://example.org/@me"):
        assert mask_secrets(text) == text
