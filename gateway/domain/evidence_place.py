"""Where evidence is kept, where that is no folder."""

import msgspec


class EvidencePlace(msgspec.Struct, frozen=True, kw_only=True):
    """A bucket that speaks S3.

    Attributes:
        url: `s3://bucket` or `s3://bucket/prefix`.
        endpoint: Address of the service; None for AWS.
        region: Its region.
        access_key: Who the gateway is to it; None to find out as AWS's own tools do.
        secret_key: Proves it.
        path_style: Whether the bucket goes into the path (`endpoint/bucket/…`) or before the host.
        staging_bytes: So much evidence may wait on disk while the service is away.
    """

    url: str
    endpoint: str | None
    region: str
    access_key: str | None
    secret_key: str | None
    path_style: bool
    staging_bytes: int
