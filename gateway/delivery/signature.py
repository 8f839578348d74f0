"""The signature of a webhook's message, by the Standard Webhooks (https://www.standardwebhooks.com)."""

import base64
import binascii
import hashlib
import hmac

PREFIX = "whsec_"


def signed_headers(message_id: str, timestamp_s: int, body: bytes, secret: str) -> dict[str, str]:
    """Headers by which a receiver knows the sender, the age and the identity of a message.

    Args:
        message_id: The same at each attempt; what to de-duplicate by.
        timestamp_s: When this attempt is made, Unix time.
        body: What is posted.
        secret: `whsec_` and base64, as other senders give it; any other text is the key itself, in UTF-8.
    """
    content = f"{message_id}.{timestamp_s}.".encode() + body
    digest = hmac.new(_key(secret), content, hashlib.sha256).digest()
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp_s),
        "webhook-signature": f"v1,{base64.b64encode(digest).decode()}",
    }


def _key(secret: str) -> bytes:
    if secret.startswith(PREFIX):
        try:
            return base64.b64decode(secret.removeprefix(PREFIX), validate=True)
        except binascii.Error:
            pass
    return secret.encode()
