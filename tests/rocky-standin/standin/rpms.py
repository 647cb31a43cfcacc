"""RPMs from trees: the spec file and rpmbuild."""

import os
import re

from standin.catalogue import SCRIPTS
from standin.report import run

ARCHITECTURE = "x86_64"

# What keeps rpmbuild from looking into and changing the files: they come from another distribution's build.
DEFINES = {
    "_rpmfilename": "%{NAME}-%{VERSION}-%{RELEASE}.%{ARCH}.rpm",
    "_binary_payload": "w3.zstdio",
    "__os_install_post": "%{nil}",
    "debug_package": "%{nil}",
    "_build_id_links": "none",
    "_buildhost": "standin",
    "_use_internal_dependency_generator": "0",
}


# A module's context tells builds of one stream apart; there is only one.
MODULE_CONTEXT = "standin"


def version_of(package, debs):
    """The package's version: upstream's part of that of its first Debian package, or what the catalogue says."""
    if package.version:
        return package.version
    if not package.debs:
        return "1.0"
    return rpm_version(debs[package.debs[0]].version)


def rpm_version(debian):
    """Upstream's part of a Debian version, in letters that rpm takes. rpm's dashes separate fields."""
    upstream = re.sub(r"^\d+:", "", debian)
    return re.sub(r"[^A-Za-z0-9.~]", ".", re.sub(r"[-+].*", "", upstream))


def release(catalogue):
    """The release of every package."""
    return f"1.standin.{catalogue.dist}"


def spec(package, catalogue, tree, version):
    """The text of the spec file. It has no %install, so that rpmbuild takes the tree as it is."""
    origin = " ".join(package.debs) or "(none)"
    lines = [
        f"Name: {package.rpm_name}",
        f"Version: {version}",
        f"Release: {release(catalogue)}",
        f"Summary: Stand-in for {package.rpm_name}, payload repackaged from Debian 12",
        "License: Various",
        f"BuildArch: {ARCHITECTURE}",
        f"Vendor: {catalogue.vendor}",
        "AutoReqProv: no",
        *([f"ModularityLabel: {package.module}:1:{MODULE_CONTEXT}"] if package.module else []),
        *(f"Provides: {text}" for text in package.provides),
        *(f"Provides: standin-deb({deb})" for deb in package.debs),
        *(f"Requires: {name}" for name in package.requires + package.requires_pre),
        *(f"Requires(pre): {name}" for name in package.requires_pre),
        "%description",
        f"Test fixture. Not Rocky Linux: the files come from these Debian 12 packages: {origin}.",
    ]
    for script in SCRIPTS:
        if script in package.scripts:
            lines += [f"%{script}", *package.scripts[script]]
    return "\n".join([*lines, "%files", "%defattr(-,-,-,-)", *_files(package, tree), ""])


def _files(package, tree):
    # Only the names in /: rpm adds what is below. So directories belong to many packages, which is allowed as
    # long as their modes agree, and no name needs rpm's quoting.
    for name in sorted(os.listdir(tree.root)):
        yield '%config(noreplace) "/etc"' if name == "etc" else f'"/{name}"'
    # A file's own line wins over that of its directory.
    for path, attributes in package.attributes.items():
        mode, user, group = attributes.split()
        directory = "%dir " if tree.at(path).is_dir() else ""
        yield f'%attr({mode},{user},{group}) {directory}"{path}"'


def build(package, spec_file, tree, work, packages):
    """Runs rpmbuild; the RPM lands in the directory `packages`."""
    # One top directory each, so that builds can run side by side.
    defines = {**DEFINES, "_topdir": work / "rpmbuild" / package.name, "_rpmdir": packages}
    arguments = [part for name, value in defines.items() for part in ("--define", f"{name} {value}")]
    command = ["rpmbuild", "-bb", "--noclean", "--quiet", "--target", ARCHITECTURE, "--buildroot", tree.root]
    run([*command, *arguments, spec_file], f"building the RPM {package.name}")
