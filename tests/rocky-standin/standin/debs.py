"""Debian's packages: which ones, by apt's resolver against an empty system, and their download.

Nothing of the host's own apt state is changed, except that missing or stale package lists are updated.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from standin.report import BuildError, progress, run

LISTS = Path("/var/lib/apt/lists")


@dataclass(frozen=True)
class Deb:
    """One of Debian's packages as apt would download it."""

    name: str
    version: str
    file_name: str
    size: int
    digest: str


class Apt:
    """apt-get for a system that has no package installed yet."""

    def __init__(self, work, archives):
        self.archives = archives
        self.empty_archives = work / "no-archives"
        self.status = work / "status"
        self.cache = work / "cache"
        for directory in (self.archives, self.empty_archives):
            (directory / "partial").mkdir(parents=True, exist_ok=True)
        self.cache.mkdir(exist_ok=True)
        self.status.write_text("")

    def resolve(self, seeds):
        """All packages that an installation of the seeds brings, by name."""
        if not any(LISTS.glob("*Packages*")):
            self._update()
        # apt leaves out of its list what the archive directory has, hence the empty one.
        printed = self._install(self.empty_archives, ["-qq", "--print-uris"], seeds, "resolving Debian's packages")
        debs = {}
        for match in re.finditer(r"(?m)^'[^']+' (\S+)_(\S+)_(\S+)\.deb (\d+) (\S*)$", printed):
            name, version, architecture, size, digest = match.groups()
            file_name = f"{name}_{version}_{architecture}.deb"
            debs[name] = Deb(name, version.replace("%3a", ":"), file_name, int(size), digest)
        if not debs:
            raise BuildError("resolving Debian's packages: apt-get named none")
        return debs

    def download(self, seeds, debs):
        """Brings all packages into the archive directory, and removes older ones from it."""
        wanted = {deb.file_name for deb in debs.values()}
        # apt moves a file here when it is complete and has the right digest.
        if all((self.archives / name).exists() for name in wanted):
            self._remove_all_but(wanted)
            return
        try:
            self._install(self.archives, ["-q", "--download-only"], seeds, "downloading Debian's packages")
        except BuildError:
            # The lists may be older than the archive, which does not keep replaced packages.
            self._update()
            self._install(self.archives, ["-q", "--download-only"], seeds, "downloading Debian's packages")
        missing = self._remove_all_but(wanted)
        if missing:
            raise BuildError(
                f"downloading Debian's packages: {', '.join(sorted(missing))} missing afterwards\n"
                "  the package lists have changed meanwhile: run it again"
            )

    def _remove_all_but(self, wanted):
        """Removes other packages from the archive directory; returns those that it does not have."""
        present = {path.name for path in self.archives.glob("*.deb")}
        for name in present - wanted:
            (self.archives / name).unlink()
        return wanted - present

    def _install(self, archives, mode, seeds, doing):
        options = {
            "Dir::State::status": self.status,
            "Dir::Cache": self.cache,
            "Dir::Cache::archives": archives,
            "Debug::NoLocking": 1,
            "APT::Install-Recommends": "false",
            # The user _apt may not be able to write where this builds.
            "APT::Sandbox::User": "root",
            "Acquire::Retries": 3,
        }
        arguments = [part for key, value in options.items() for part in ("-o", f"{key}={value}")]
        try:
            return run(["apt-get", "-y", *mode, *arguments, "install", *seeds], doing)
        except BuildError as error:
            if "Unable to locate package" in str(error):
                raise BuildError(f"{error}\n  the catalogue is written for Debian 12 (bookworm)") from error
            raise

    @staticmethod
    def _update():
        progress("updating apt's package lists")
        run(["apt-get", "-q", "update"], "updating apt's package lists")


def kernel_version(debs):
    """The kernel's own name of its version (`uname -r`), from the package that has its files."""
    for name in debs:
        match = re.fullmatch(r"linux-image-(\d.*)", name)
        if match:
            return match.group(1)
    raise BuildError("looking for the kernel: apt brought no package linux-image-VERSION")
