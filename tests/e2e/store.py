"""An S3 store on loopback, in a process of its own, and what lies in it."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import boto3  # type: ignore[import-untyped]

from tests.e2e.person import Person

KEYS = {
    "AWS_ACCESS_KEY_ID": "AKIATESTTESTTESTTEST",
    "AWS_SECRET_ACCESS_KEY": "a-secret-of-the-test-that-appears-nowhere",
}
BUCKET = "results"
TO_BUCKET = f"artifacts: {{to: s3://{BUCKET}/team}}\n"


def url_of_index(person: Person) -> str:
    """With what the last run's machine writes its index now."""
    label = person.view()["machines"][-1]["label"]
    ended = person.types("ssh", "last", "--", f"cat $HOME/gpulease/{label}/slots.json")
    assert ended.code == 0, ended.err
    return str(json.loads(ended.out)["index"]["url"])


class Store:
    """moto's server, which keeps everything in memory; it checks no signature and no expiry."""

    def __init__(self, log: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        self.env = {**KEYS, "AWS_ENDPOINT_URL_S3": self.url, "AWS_REGION": "eu-west-1"}
        self._said = log
        self._log = log.open("wb")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
            stdout=self._log,
            stderr=self._log,
        )
        self._wait(port)
        self._s3 = boto3.client(
            "s3",
            endpoint_url=self.url,
            region_name="eu-west-1",
            aws_access_key_id=KEYS["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=KEYS["AWS_SECRET_ACCESS_KEY"],
        )
        where = {"LocationConstraint": "eu-west-1"}
        self._s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration=where)

    def close(self) -> None:
        self._process.terminate()
        self._process.wait(20)
        self._log.close()

    def keys(self, prefix: str = "") -> dict[str, int]:
        """Key → bytes of what lies below a prefix."""
        pages = self._s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=prefix)
        return {one["Key"]: one["Size"] for page in pages for one in page.get("Contents", [])}

    def read(self, key: str) -> bytes:
        return bytes(self._s3.get_object(Bucket=BUCKET, Key=key)["Body"].read())

    def write(self, key: str, data: bytes) -> None:
        self._s3.put_object(Bucket=BUCKET, Key=key, Body=data)

    def was_asked_with(self, url: str) -> bool:
        """Whether a request came with this signed URL."""
        (signature,) = parse_qs(urlsplit(url).query)["X-Amz-Signature"]
        return signature in self._said.read_text()

    def _wait(self, port: int) -> None:
        give_up_at = time.monotonic() + 60
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                return
            except OSError:
                assert self._process.poll() is None, "moto's server ended"
                assert time.monotonic() < give_up_at, "moto's server does not answer"
                time.sleep(0.05)
