"""A private server that speaks S3, on loopback. It keeps objects in memory: stopped, it has forgotten them."""

import contextlib
import subprocess
import sys
from collections.abc import Iterator

import boto3
from botocore.config import Config
from botocore.exceptions import EndpointConnectionError

from gateway.domain.evidence_place import EvidencePlace
from tests.support.triton_server import eventually, free_ports

BUCKET = "evidence"
ACCESS_KEY, SECRET_KEY, REGION = "tester", "kept-from-logs", "eu-central-1"


class PrivateS3:
    """A server that can be stopped, and started again empty, with one bucket.

    Attributes:
        endpoint: Its address.
    """

    def __init__(self) -> None:
        port = free_ports(1)[0]
        self.endpoint = f"http://127.0.0.1:{port}"
        self._command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start, wait until it answers, and make the bucket."""
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        eventually(self._make_bucket, 30)

    def stop(self) -> None:
        """End it; what it had is gone."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def stored(self) -> set[str]:
        """Keys of all objects."""
        return {found["Key"] for found in self._client().list_objects_v2(Bucket=BUCKET).get("Contents", [])}

    def place(self, prefix: str = "", staging_bytes: int = 1 << 20) -> EvidencePlace:
        """How a gateway finds it."""
        return EvidencePlace(
            url=f"s3://{BUCKET}/{prefix}",
            endpoint=self.endpoint,
            region=REGION,
            access_key=ACCESS_KEY,
            secret_key=SECRET_KEY,
            path_style=True,
            staging_bytes=staging_bytes,
        )

    def _make_bucket(self) -> bool:
        try:
            self._client().create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
        except EndpointConnectionError:
            return False
        return True

    def _client(self):
        settings = Config(retries={"max_attempts": 0}, connect_timeout=2, read_timeout=5)
        keys = {"aws_access_key_id": ACCESS_KEY, "aws_secret_access_key": SECRET_KEY}
        return boto3.client("s3", endpoint_url=self.endpoint, region_name=REGION, config=settings, **keys)


@contextlib.contextmanager
def private_s3() -> Iterator[PrivateS3]:
    """Run a server during the block."""
    server = PrivateS3()
    server.start()
    try:
        yield server
    finally:
        server.stop()
