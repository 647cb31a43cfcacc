"""The catalogue: which RPMs there are, from which of Debian's packages, and what is changed on the way.

It is data (catalogue/*.json); this module reads it, fills in its variables and refuses what it does not know.
"""

import json
import re
from dataclasses import dataclass, field

from standin.report import BuildError

SCRIPTS = ("pre", "post", "preun", "postun", "posttrans")


@dataclass
class Package:
    """One RPM. Paths are absolute, as in the installed system."""

    name: str
    # Why it is as it is; for readers only.
    about: str = ""
    # The RPM's name, where several entries have the same; empty: the entry's.
    rpm: str = ""
    # NAME:STREAM of the module that it belongs to.
    module: str = ""
    # The repository that has it; empty: the first one.
    repository: str = ""
    # Empty: that of its first Debian package.
    version: str = ""
    debs: list = field(default_factory=list)
    # Takes every Debian package of this pattern that no other RPM names. The first pattern that fits wins,
    # longer patterns first.
    leftover_debs: str = ""
    requires: list = field(default_factory=list)
    # Must be installed before this one.
    requires_pre: list = field(default_factory=list)
    provides: list = field(default_factory=list)
    # Patterns.
    remove: list = field(default_factory=list)
    # Old path to new path. Copies come after moves, each after those before it.
    moves: dict = field(default_factory=dict)
    copies: dict = field(default_factory=dict)
    # New file to the core image of GRUB that is made for it, before anything is removed: "platform", "prefix" (where it
    # looks for grub.cfg) and "modules".
    grub_images: dict = field(default_factory=dict)
    # New file to the pattern of the files that it is made of.
    concatenate: dict = field(default_factory=dict)
    # Path to list of [regular expression, replacement]; each must fit somewhere.
    edits: dict = field(default_factory=dict)
    # Hand-written files that are stored in UTF-16, as firmware reads text.
    utf16: list = field(default_factory=list)
    # Link to its target.
    links: dict = field(default_factory=dict)
    # Pattern with one * to the name of a link beside each file that fits, as in "grub-*": "grub2-*".
    aliases: dict = field(default_factory=dict)
    directories: list = field(default_factory=list)
    # Path or pattern to "MODE USER GROUP", for names that the building machine may not have.
    attributes: dict = field(default_factory=dict)
    # Scriptlet to its lines.
    scripts: dict = field(default_factory=dict)
    # Whether it may have the reserved directories.
    owns_reserved: bool = False

    @property
    def rpm_name(self):
        """The name that rpm knows it by."""
        return self.rpm or self.name


@dataclass
class Catalogue:
    """All packages by name, and what is common to them."""

    release: str
    dist: str
    vendor: str
    # The packages that depend on the current kernel's; the first one brings the kernel.
    kernel_packages: list
    dropped_debs: set
    dropped_paths: list
    # Path to mode bits.
    directory_modes: dict
    reserved_directories: list
    # Name to place below the mirror.
    repositories: dict
    groups: dict
    environments: dict
    # Name to description and default stream; the packages name their module.
    modules: dict
    packages: dict

    def seeds(self):
        """What apt is asked for; it adds the dependencies. The kernel's own names depend on the answer."""
        named = {deb for package in self.packages.values() for deb in package.debs if "@" not in deb}
        return sorted(named | set(self.kernel_packages))

    def repository_of(self, package):
        """The name of the repository that has the package."""
        return package.repository or next(iter(self.repositories))

    def assign_leftovers(self, debs):
        """Gives every Debian package that no RPM names to the one that takes its kind."""
        named = {deb for package in self.packages.values() for deb in package.debs}
        left = sorted(set(debs) - named - self.dropped_debs - set(self.kernel_packages))
        takers = sorted((p for p in self.packages.values() if p.leftover_debs), key=lambda p: -len(p.leftover_debs))
        for taker in takers:
            pattern = re.compile(re.escape(taker.leftover_debs).replace(r"\*", ".*"))
            taker.debs = [name for name in left if pattern.fullmatch(name)]
            left = [name for name in left if name not in taker.debs]

    def check(self, debs):
        """Refuses packages that apt did not bring, and requirements that no RPM of the catalogue meets."""
        provided = {text.split(" ")[0] for package in self.packages.values() for text in package.provides}
        provided |= {package.rpm_name for package in self.packages.values()}
        for package in self.packages.values():
            if self.repository_of(package) not in self.repositories:
                raise BuildError(f"package {package.name}: there is no repository {package.repository}")
            if package.module and package.module.split(":")[0] not in self.modules:
                raise BuildError(f"package {package.name}: there is no module {package.module}")
            for deb in package.debs:
                if deb not in debs:
                    raise BuildError(f"package {package.name}: Debian's package {deb} is not in what apt found")
            for name in package.requires + package.requires_pre:
                if name not in provided:
                    raise BuildError(f"package {package.name}: it requires {name}, which the catalogue does not have")
        for group in self.groups.values():
            for name in group["packages"]:
                if name not in self.packages:
                    raise BuildError(f"group {group['name']}: there is no package {name} in the catalogue")


def read(directory, variables):
    """Reads the catalogue below `directory`. Variables that are not given yet stay as they are (@NAME@)."""
    common = _read_json(directory / "repository.json", variables)
    variables = {"RELEASE": common["release"], **variables}
    packages = {}
    for path in sorted((directory / "packages").glob("*.json")):
        data = _read_json(path, variables)
        for name, entry in data["packages"].items():
            packages[name] = _package(path.name, name, {**data.get("defaults", {}), **entry})
    return Catalogue(
        release=common["release"],
        dist=common["dist"],
        vendor=common["vendor"],
        kernel_packages=common["kernel_packages"]["names"],
        dropped_debs=set(common["dropped_debs"]["names"]),
        dropped_paths=common["dropped_paths"]["names"],
        directory_modes={path: int(mode, 8) for path, mode in common["directory_modes"]["modes"].items()},
        reserved_directories=common["reserved_directories"]["names"],
        repositories=common["repositories"]["places"],
        groups=common["groups"],
        environments=common["environments"],
        modules=common["modules"],
        packages=packages,
    )


def fill(text, variables):
    """Replaces @NAME@ for each variable."""
    for name, value in variables.items():
        text = text.replace(f"@{name}@", value)
    return text


def _read_json(path, variables):
    try:
        return _filled(json.loads(path.read_text()), variables)
    except (OSError, ValueError) as error:
        raise BuildError(f"reading {path}: {error}") from error


def _filled(data, variables):
    if isinstance(data, str):
        return fill(data, variables)
    if isinstance(data, list):
        return [_filled(entry, variables) for entry in data]
    if isinstance(data, dict):
        return {fill(key, variables): _filled(value, variables) for key, value in data.items()}
    return data


def _package(file, name, entry):
    try:
        package = Package(name=name, **entry)
    except TypeError as error:
        raise BuildError(f"{file}: package {name}: {error}") from error
    unknown = set(package.scripts) - set(SCRIPTS)
    if unknown:
        raise BuildError(f"{file}: package {name}: unknown scriptlet {', '.join(sorted(unknown))}")
    return package
