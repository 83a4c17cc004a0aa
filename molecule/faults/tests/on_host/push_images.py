# SPDX-License-Identifier: GPL-3.0-or-later
"""Put images into this host's registry as builders of all sorts make them; answers their digests.

registry: host:port; ca: its authority's certificate; authorization;
base: path and tag of the image whose layers they have;
images: a list of such: name: path and tag; config: what is different in its configuration (null
removes a key); about: the same for what stands beside the configuration; files: what a layer on top
has, a list of name, and of mode, owner, text, link or same (a hard link); annotations: of the
manifest; many: how many small layers it has more; form: its media type; index: how many indexes are
around it; plain: without platforms.
"""

import hashlib
import http.client
import io
import json
import ssl
import sys
import tarfile
from typing import Any
from urllib.parse import urlsplit

asked = json.loads(sys.stdin.readline())
context = ssl.create_default_context(cafile=asked["ca"])
connection = http.client.HTTPSConnection(asked["registry"], context=context)
OCI = "application/vnd.oci.image"
DOCKER = "application/vnd.docker.distribution.manifest.v2+json"


def ask(
    method: str, path: str, body: bytes = b"", **headers: str
) -> tuple[http.client.HTTPResponse, bytes]:
    headers = {"Authorization": asked["authorization"], **headers}
    connection.request(method, path, body, headers)
    response = connection.getresponse()
    said = response.read()
    assert response.status in (200, 201, 202), (method, path, response.status, said)
    return response, said


def push_blob(path: str, data: bytes) -> dict[str, Any]:
    digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
    response, _said = ask("POST", f"/v2/{path}/blobs/uploads/")
    place = urlsplit(str(response.getheader("Location")))
    ask("PUT", f"{place.path}?{place.query}&digest={digest}", data)
    return {"digest": digest, "size": len(data)}


def push_manifest(path: str, tag: str | None, manifest: dict[str, Any]) -> dict[str, Any]:
    data = json.dumps(manifest).encode()
    digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
    headers = {"Content-Type": manifest["mediaType"]}
    ask("PUT", f"/v2/{path}/manifests/{tag or digest}", data, **headers)
    return {"mediaType": manifest["mediaType"], "digest": digest, "size": len(data)}


def manifest_of(path: str, tag: str | None) -> Any:
    accept = f"{OCI}.manifest.v1+json, {DOCKER}"
    return json.loads(ask("GET", f"/v2/{path}/manifests/{tag}", Accept=accept)[1])


def merged(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in {**old, **new}.items() if value is not None}


def layer_of(files: list[dict[str, Any]]) -> bytes:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for file in files:
            member = tarfile.TarInfo(file["name"].rstrip("/"))
            data = file.get("text", "").encode()
            if "link" in file:
                member.type, member.linkname = tarfile.SYMTYPE, file["link"]
            elif "same" in file:
                member.type, member.linkname = tarfile.LNKTYPE, file["same"]
            elif file["name"].endswith("/"):
                member.type = tarfile.DIRTYPE
            member.size, member.mode = len(data), file.get("mode", 0o755)
            member.uid = member.gid = file.get("owner", 0)
            tar.addfile(member, io.BytesIO(data))
    return archive.getvalue()


def zstd(data: bytes) -> bytes:
    """A frame of blocks that are as they were (RFC 8878): no program for it need be here."""
    head = bytes.fromhex("28b52ffda0") + len(data).to_bytes(4, "little")
    parts = [data[at : at + 0x10000] for at in range(0, len(data), 0x10000)]
    blocks = [
        (len(part) << 3 | (number == len(parts))).to_bytes(3, "little") + part
        for number, part in enumerate(parts, 1)
    ]
    return head + b"".join(blocks)


def push(image: dict[str, Any]) -> str:
    path, _colon, tag = image["name"].partition(":")
    about = merged(base_config, image.get("about", {}))
    if "config" in image:
        about["config"] = merged(base_config["config"], image["config"])
    layers, ids = [], []
    for layer, diff_id in zip(base["layers"], base_config["rootfs"]["diff_ids"]):
        layers.append(layer)
        ids.append(diff_id)
        ask("POST", f"/v2/{path}/blobs/uploads/?mount={layer['digest']}&from={base_path}")
    for number in range(image.get("many", 0)):
        data = layer_of([{"name": f"many/{number}", "text": "x"}])
        ids.append(f"sha256:{hashlib.sha256(data).hexdigest()}")
        layers.append({"mediaType": f"{OCI}.layer.v1.tar", **push_blob(path, data)})
    if "files" in image:
        data = layer_of(image["files"])
        ids.append(f"sha256:{hashlib.sha256(data).hexdigest()}")
        packed = zstd(data) if image.get("zstd") else data
        kind = "tar+zstd" if image.get("zstd") else "tar"
        layers.append({"mediaType": f"{OCI}.layer.v1.{kind}", **push_blob(path, packed)})
    if "layer_form" in image:
        layers = [{**layer, "mediaType": image["layer_form"]} for layer in layers]
    if image.get("bare"):
        layers, ids = [], []
    about["rootfs"] = {"type": "layers", "diff_ids": image.get("diff_ids", ids)}
    about.pop("history", None)
    config = push_blob(path, json.dumps(about).encode())
    manifest = {
        "schemaVersion": 2,
        "mediaType": image.get("form", f"{OCI}.manifest.v1+json"),
        "config": {"mediaType": image.get("config_form", f"{OCI}.config.v1+json"), **config},
        "layers": layers,
        **({"annotations": image["annotations"]} if "annotations" in image else {}),
    }
    around = image.get("index", 0)
    pushed = push_manifest(path, None if around else tag, manifest)
    for left in reversed(range(around)):
        if not image.get("plain"):
            pushed["platform"] = {key: about[key] for key in ("os", "architecture")}
        index = {
            "schemaVersion": 2,
            "mediaType": f"{OCI}.index.v1+json",
            "manifests": [pushed],
        }
        pushed = push_manifest(path, None if left else tag, index)
    return str(pushed["digest"])


base_path, _colon, base_tag = asked["base"].partition(":")
base = manifest_of(base_path, base_tag)
base_config = json.loads(
    ask("GET", f"/v2/{base_path}/blobs/{base['config']['digest']}")[1],
)
print(json.dumps({image["name"]: push(image) for image in asked["images"]}))
