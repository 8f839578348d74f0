"""Pictures and clips of violations as objects in a bucket. Imported only where a bucket is configured."""

import hashlib
from datetime import timedelta
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

import obstore
from obstore.exceptions import BaseError
from obstore.store import S3Store

from gateway.domain.evidence_place import EvidencePlace
from gateway.errors import ConfigurationError, NotFoundError, StoreError
from gateway.store.evidence import check_name

if TYPE_CHECKING:
    from obstore.store import S3Config

TIMEOUT_S = 30.0
CONNECT_TIMEOUT_S = 5.0
RETRY_S = 10.0
_TYPES = {"jpg": "image/jpeg", "mp4": "video/mp4"}


class S3Evidence:
    """Implements `gateway.domain.ports.EvidenceStore`: a name is a key below the prefix.

    Nothing is connected before the first call. An object is put in one request: there is all of it, or none.

    Args:
        place: Which bucket, and how it is reached.

    Raises:
        ConfigurationError: The place can't be understood; the text shows no secret.
    """

    def __init__(self, place: EvidencePlace) -> None:
        url = urlsplit(place.url)
        self._bucket = url.netloc
        if url.scheme != "s3" or not url.netloc or url.query or url.fragment or url.username:
            raise ConfigurationError("RUTH_AI_EVIDENCE_URL is s3://bucket or s3://bucket/prefix")
        endpoint = _endpoint(place, self._bucket)
        try:
            self._store = S3Store(
                self._bucket,
                prefix=url.path.strip("/") or None,
                config=_config(place, endpoint),
                client_options={
                    "allow_http": (endpoint or "").startswith("http:"),
                    "timeout": timedelta(seconds=TIMEOUT_S),
                    "connect_timeout": timedelta(seconds=CONNECT_TIMEOUT_S),
                },
                retry_config={"max_retries": 2, "retry_timeout": timedelta(seconds=RETRY_S)},
            )
        except (BaseError, ValueError) as error:
            raise ConfigurationError(f"the bucket of RUTH_AI_EVIDENCE_URL can't be used: {error}") from error

    async def put(self, name: str, content: bytes) -> str:
        """Keep a file under a name, durably and all or nothing; returns its sha256 (hex).

        Raises:
            InvalidInputError: The name is no plain relative path.
            StoreError: It can't be kept.
        """
        check_name(name)
        kind = _TYPES.get(name.rpartition(".")[2], "application/octet-stream")
        try:
            await obstore.put_async(self._store, name, content, attributes={"Content-Type": kind}, use_multipart=False)
        except (BaseError, OSError) as error:
            raise self._away(error) from error
        return hashlib.sha256(content).hexdigest()

    async def get(self, name: str) -> bytes:
        """Read a file.

        Raises:
            InvalidInputError: The name is no plain relative path.
            NotFoundError: There is no such file.
            StoreError: It can't be read.
        """
        check_name(name)
        try:
            found = await obstore.get_async(self._store, name)
            return bytes(await found.bytes_async())
        except FileNotFoundError as error:
            raise NotFoundError(f"there is no evidence {name}") from error
        except (BaseError, OSError) as error:
            raise self._away(error) from error

    async def delete(self, name: str) -> None:
        """Delete a file, or all that begins with the name of a folder; nothing happens where there is neither.

        Raises:
            InvalidInputError: The name is no plain relative path.
            StoreError: It can't be deleted.
        """
        check_name(name)
        try:
            async for page in obstore.list(self._store, name):
                await obstore.delete_async(self._store, [found["path"] for found in page])
            await obstore.delete_async(self._store, name)
        except FileNotFoundError:
            return
        except (BaseError, OSError) as error:
            raise self._away(error) from error

    async def used_share(self) -> float:
        """0: nothing bounds a bucket."""
        return 0.0

    async def held_share(self) -> float:
        """0, likewise."""
        return 0.0

    def _away(self, error: Exception) -> StoreError:
        """What a person is told; obstore's message goes on with a dump of its own objects."""
        reason = str(error).partition("\n\nDebug source:")[0].strip()
        return StoreError(f"the bucket {self._bucket} can't be used: {reason or type(error).__name__}")


def _config(place: EvidencePlace, endpoint: str | None) -> "S3Config":
    """What is stated; the rest obstore takes from AWS's own variables and roles."""
    config: S3Config = {"region": place.region, "virtual_hosted_style_request": not place.path_style}
    if endpoint:
        config["endpoint"] = endpoint
    if place.access_key and place.secret_key:
        config["access_key_id"], config["secret_access_key"] = place.access_key, place.secret_key
    return config


def _endpoint(place: EvidencePlace, bucket: str) -> str | None:
    """Address of the service, with the bucket before its host where that is asked for."""
    if place.endpoint is None:
        return None
    url = urlsplit(place.endpoint)
    if url.scheme not in {"http", "https"} or not url.hostname or url.username:
        raise ConfigurationError("RUTH_AI_EVIDENCE_ENDPOINT is https://host or http://host:port, without a password")
    host = url.netloc if place.path_style else f"{bucket}.{url.netloc}"
    return urlunsplit((url.scheme, host, url.path.rstrip("/"), "", ""))
