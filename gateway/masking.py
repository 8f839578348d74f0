"""Keeping credentials out of what is logged, shown or answered."""

import re

MASK = "***"

_SENSITIVE_NAME = (
    r"(?:token|password|passwd|passphrase|pwd|pass|secret|credentials?|signature|(?:api|access|secret|private)[_-]?key)"
)

# A password is taken to end at the last "@" of the word, beyond the host if need be: people type "/", "?", "#" and "@"
# in passwords unescaped, and libraries echo them decoded. Only `host:8080/a@b` is left alone, where the digits are a
# port. Repeats are bounded to keep hostile text from being slow.
_USERINFO = re.compile(r"""(?P<user>://[^\s/?#:\["'<>]*):(?!\d{1,5}(?:[/?#\s]|$))[^\s"'<>]{0,2000}@""")
_ENCODED_USERINFO = re.compile(
    r"(?P<user>%3A%2F%2F(?:(?!%3A|%2F|%40)[^\s&]){0,500}%3A)[^\s&]{0,2000}%40", re.IGNORECASE
)
_ASSIGNMENT = re.compile(rf"""(?P<name>{_SENSITIVE_NAME}\s?=\s?)(?:"[^"]*"|'[^']*'|[^\s&]+)""", re.IGNORECASE)
_BEARER = re.compile(r"(?P<scheme>\b(?:bearer|basic)\s+)[a-z0-9._~+/=-]{8,}", re.IGNORECASE)
_SECRET_KEY = re.compile(rf"(?:^|[_-]){_SENSITIVE_NAME}$", re.IGNORECASE)


def mask_secrets(text: str) -> str:
    """Replace what looks like a credential by `***`; what remains still tells which host, user and path were meant.

    Masked are the password of a URL (`rtsp://user:***@host/path`, in any scheme, percent-encoded or not, also when the
    whole URL is percent-encoded inside another one), the value of an assignment to a name that ends in a word such as
    `token`, `password` or `api_key` (`?token=***`), and the value of a `Bearer` or `Basic` authorization. Where the
    end of a secret can't be known it masks too much rather than too little. Masking twice changes nothing.
    """
    if "://" in text:
        text = _USERINFO.sub(rf"\g<user>:{MASK}@", text)
    if "%" in text:
        text = _ENCODED_USERINFO.sub(rf"\g<user>{MASK}%40", text)
    if "=" in text:
        text = _ASSIGNMENT.sub(rf"\g<name>{MASK}", text)
    if "bearer" in (lowered := text.lower()) or "basic" in lowered:
        text = _BEARER.sub(rf"\g<scheme>{MASK}", text)
    return text


def names_a_secret(key: str) -> bool:
    """Whether a field of this name holds a credential, whatever its value looks like."""
    return _SECRET_KEY.search(key) is not None
