"""Module streams: the repository's modules.yaml. One version of each stream is all there is.

The documents are written as JSON, which is YAML too.
"""

import json
import os

from standin import rpms
from standin.report import run


def write(catalogue, debs, repository, directory):
    """Adds the modules of one repository to its metadata, if it has any."""
    documents = _documents(catalogue, debs, repository)
    if not documents:
        return
    path = directory / "modules.yaml"
    path.write_text("".join(f"---\n{json.dumps(document, indent=1)}\n...\n" for document in documents))
    run(["modifyrepo_c", "--mdtype=modules", path, directory / "repodata"], f"adding the modules of {repository}")
    os.unlink(path)


def _documents(catalogue, debs, repository):
    """Those of the streams, and one for each module that names the default stream."""
    streams = {}
    for package in catalogue.packages.values():
        if package.module and catalogue.repository_of(package) == repository:
            streams.setdefault(package.module, []).append(package)
    defaults = {}
    documents = []
    for label, packages in streams.items():
        name, stream = label.split(":")
        documents.append(_stream(catalogue, debs, name, stream, packages))
        defaults.setdefault(name, {})[stream] = ["common"]
    for name, profiles in defaults.items():
        data = {"module": name, "stream": catalogue.modules[name]["default"], "profiles": profiles}
        documents.append({"document": "modulemd-defaults", "version": 1, "data": data})
    return documents


def _stream(catalogue, debs, name, stream, packages):
    files = [
        f"{package.rpm_name}-0:{rpms.version_of(package, debs)}-{rpms.release(catalogue)}.{rpms.ARCHITECTURE}"
        for package in packages
    ]
    description = catalogue.modules[name]["description"]
    data = {
        "name": name,
        "stream": stream,
        "version": 1,
        "context": rpms.MODULE_CONTEXT,
        "arch": rpms.ARCHITECTURE,
        "summary": description,
        "description": description,
        "license": {"module": ["Various"]},
        "dependencies": [{"requires": {"platform": [catalogue.dist]}}],
        "profiles": {"common": {"rpms": sorted(package.rpm_name for package in packages)}},
        "artifacts": {"rpms": files},
    }
    return {"document": "modulemd", "version": 2, "data": data}
