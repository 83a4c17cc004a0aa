# SPDX-License-Identifier: GPL-3.0-or-later
"""Put an image with one incompressible layer into this host's registry; answers the layer's digest.

registry: host:port; ca: its authority's certificate; authorization; path; tag; size: bytes.
claims: the size that the manifest says, if another one; config: more of the image's configuration.
"""

import hashlib
import http.client
import io
import json
import os
import ssl
import sys
import tarfile
from typing import Any
from urllib.parse import urlsplit

asked = json.loads(sys.stdin.readline())
context = ssl.create_default_context(cafile=asked["ca"])
connection = http.client.HTTPSConnection(asked["registry"], context=context)


def ask(method: str, path: str, body: bytes = b"", **headers: str) -> http.client.HTTPResponse:
    headers = {"Authorization": asked["authorization"], **headers}
    connection.request(method, path, body, headers)
    response = connection.getresponse()
    said = response.read()
    assert response.status in (201, 202), (method, path, response.status, said)
    return response


def push_blob(data: bytes) -> dict[str, Any]:
    digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
    response = ask("POST", f"/v2/{asked['path']}/blobs/uploads/")
    place = urlsplit(str(response.getheader("Location")))
    ask("PUT", f"{place.path}?{place.query}&digest={digest}", data)
    return {"digest": digest, "size": len(data)}


archive = io.BytesIO()
with tarfile.open(fileobj=archive, mode="w") as tar:
    member = tarfile.TarInfo("data")
    member.size = asked["size"]
    tar.addfile(member, io.BytesIO(os.urandom(member.size)))
layer = push_blob(archive.getvalue())
oci = "application/vnd.oci.image"
config = {
    "architecture": "amd64",
    "os": "linux",
    "config": {"Cmd": ["/data"], **asked.get("config", {})},
    "rootfs": {"type": "layers", "diff_ids": [layer["digest"]]},
}
manifest: dict[str, Any] = {
    "schemaVersion": 2,
    "mediaType": f"{oci}.manifest.v1+json",
    "config": {
        "mediaType": f"{oci}.config.v1+json",
        **push_blob(json.dumps(config).encode()),
    },
    "layers": [
        {"mediaType": f"{oci}.layer.v1.tar", **layer, "size": asked.get("claims", layer["size"])}
    ],
}
ask(
    "PUT",
    f"/v2/{asked['path']}/manifests/{asked['tag']}",
    json.dumps(manifest).encode(),
    **{"Content-Type": manifest["mediaType"]},
)
print(json.dumps(layer["digest"]))
