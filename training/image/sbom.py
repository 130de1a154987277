#!/usr/bin/env python3
"""Writes the SBOM of the image that it runs in, CycloneDX 1.6: Debian's packages, and those of the Python environment.

    sbom.py >sbom.cdx.json
"""

import importlib.metadata
import json
import subprocess
import sys
import urllib.parse


def component(kind, name, version, suffix=""):
    purl = f"pkg:{kind}/{urllib.parse.quote(name, safe='')}@{urllib.parse.quote(version, safe='')}{suffix}"
    return {"type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl}


def main():
    query = ["dpkg-query", "-W", "-f", "${Package} ${Version} ${Architecture}\n"]
    debian = subprocess.run(query, check=True, capture_output=True, text=True)
    parts = [component("deb/debian", name, version, f"?arch={arch}") for name, version, arch in map(str.split, debian.stdout.splitlines())]
    parts += [component("pypi", d.metadata["Name"].lower().replace("_", "-"), d.version) for d in importlib.metadata.distributions()]
    json.dump({
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json", "bomFormat": "CycloneDX", "specVersion": "1.6", "version": 1,
        "metadata": {"component": {"type": "application", "bom-ref": "fovea-train", "name": "fovea-train"}},
        "components": sorted({p["purl"]: p for p in parts}.values(), key=lambda p: p["purl"]),
    }, sys.stdout, indent=2)


if __name__ == "__main__":
    main()
