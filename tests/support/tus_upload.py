"""Uploads a file with PyPI's tuspy: ``python tus_upload.py ENDPOINT TOKEN FILE IDENTIFIER``; prints the URL of it."""

import sys
import time

import requests
from tusclient.client import TusClient
from tusclient.exceptions import TusCommunicationError

ATTEMPTS = 200


def main() -> None:
    endpoint, token, path, identifier = sys.argv[1:]
    client = TusClient(endpoint, headers={"Authorization": f"Bearer {token}"})
    said = {"identifier": identifier, "filename": "tệp.bin"}
    url = None
    for _ in range(ATTEMPTS):
        # What tuspy itself does not try again: the question for the offset when an upload is taken up.
        try:
            uploader = client.uploader(
                path,
                url=url,
                chunk_size=8 * 1024 * 1024,
                metadata=said,
                retries=20,
                retry_delay=0.2,
                upload_checksum=True,
            )
            if url is None:
                url = uploader.create_url()
                uploader.set_url(url)
            uploader.upload()
        except (TusCommunicationError, requests.RequestException) as error:
            print(f"again: {error!r}", file=sys.stderr)
            # Nothing says when the node is back but asking it.
            time.sleep(0.2)
        else:
            print(url)
            return
    sys.exit("it did not end")


if __name__ == "__main__":
    main()
