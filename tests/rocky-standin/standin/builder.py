"""The build from Debian's packages to the mirror.

Below the directory that is given: debs/ (downloads, kept), key/ (kept), work/ (removed), mirror/ (the result, laid out
as Rocky's mirrors are).
"""

import os
import shutil
from concurrent.futures import ThreadPoolExecutor, as_completed

from standin import catalogue, modules, repository, rpms
from standin.debs import Apt, kernel_version
from standin.report import progress
from standin.signing import Key
from standin.tree import Tree


class Builder:
    """One build. `resolve` first, then `build`."""

    def __init__(self, here, directory):
        self.here = here
        self.directory = directory
        self.work = directory / "work"
        self.key = Key(directory / "key")
        self.debs = {}
        self.kernel = ""
        # Without the variables that depend on what apt finds.
        self.catalogue = catalogue.read(here / "catalogue", {})
        self.seeds = self.catalogue.seeds()
        self.apt = Apt(directory / "apt", directory / "debs")

    def resolve(self):
        """Finds out which of Debian's packages are used, by name."""
        self.debs = self.apt.resolve(self.seeds)
        self.kernel = kernel_version(self.debs)
        size = sum(deb.size for deb in self.debs.values()) / 1e6
        progress(f"{len(self.debs)} packages of Debian, {size:.0f} MB, kernel {self.kernel}")
        return self.debs

    def build(self):
        """Builds the mirror, and puts it in the place of the one that may be there."""
        self.apt.download(self.seeds, self.debs)
        progress("packages downloaded")
        self.key.ensure()
        variables = self._variables()
        self.catalogue = catalogue.read(self.here / "catalogue", variables)
        self.catalogue.assign_leftovers(self.debs)
        self.catalogue.check(self.debs)

        shutil.rmtree(self.work, ignore_errors=True)
        (self.work / "specs").mkdir(parents=True)
        mirror = self.work / "mirror"
        self._build_rpms(mirror, variables)
        built = sorted(mirror.rglob("*.rpm"))
        progress(f"{len(built)} RPMs built")
        self.key.sign(built)
        self._finish_mirror(mirror)

        final = self.directory / "mirror"
        shutil.rmtree(final, ignore_errors=True)
        mirror.rename(final)
        shutil.rmtree(self.work)
        size = sum(path.stat().st_size for path in final.rglob("*") if path.is_file()) / 1e6
        progress(f"{final}: {size:.0f} MB")

    def description(self):
        """What users of the stand-in want to know, for standin.json. Paths are relative to the directory."""
        mirror = self.directory / "mirror"
        return {
            "about": "Test fixture: not Rocky Linux, but Debian's files in RPMs with Rocky's names.",
            "release": self.catalogue.release,
            "kernel": self.kernel,
            "key": str(self._key_file(mirror).relative_to(self.directory)),
            "fingerprint": self.key.fingerprint(),
            "repositories": {
                name: str(self._repository(mirror, name).relative_to(self.directory))
                for name in self.catalogue.repositories
            },
        }

    def _variables(self):
        flavour = self.catalogue.kernel_packages[0].removeprefix("linux-image-")
        abi = self.kernel.removesuffix("-" + flavour)
        return {
            "KERNEL": self.kernel,
            "KERNEL_ABI": abi,
            "KERNEL_SERIES": ".".join(abi.split(".")[:2]),
            "KERNEL_RPM_VERSION": abi.replace("-", "."),
            "PUBLIC_KEY": self.key.public(),
            "RELEASE": self.catalogue.release,
        }

    def _build_rpms(self, mirror, variables):
        for name in self.catalogue.repositories:
            (self._repository(mirror, name) / "Packages").mkdir(parents=True)
        # The biggest first, so that no processor waits for one of them at the end.
        packages = sorted(self.catalogue.packages.values(), key=self._size, reverse=True)
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            jobs = [pool.submit(self._build_rpm, package, mirror, variables) for package in packages]
            try:
                for job in as_completed(jobs):
                    job.result()
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise

    def _size(self, package):
        return sum(self.debs[deb].size for deb in package.debs)

    def _build_rpm(self, package, mirror, variables):
        tree = Tree(self.work / "trees" / package.name, package, self.catalogue)
        tree.unpack([self.apt.archives / self.debs[deb].file_name for deb in package.debs])
        tree.change(self.here / "files" / package.name, variables)
        tree.share_directories()
        spec = self.work / "specs" / f"{package.name}.spec"
        spec.write_text(rpms.spec(package, self.catalogue, tree, rpms.version_of(package, self.debs)))
        packages = self._repository(mirror, self.catalogue.repository_of(package)) / "Packages"
        rpms.build(package, spec, tree, self.work, packages)
        shutil.rmtree(tree.root)

    def _finish_mirror(self, mirror):
        comps = self.work / "comps.xml"
        repository.write_comps(self.catalogue, comps)
        for name in self.catalogue.repositories:
            groups = comps if name == next(iter(self.catalogue.repositories)) else None
            repository.write_metadata(self._repository(mirror, name), groups)
            modules.write(self.catalogue, self.debs, name, self._repository(mirror, name))
        # Rocky's mirrors have each release by its full number too.
        (mirror / self.catalogue.release).symlink_to(self._major())
        for path in (self._key_file(mirror), mirror / "epel" / f"RPM-GPG-KEY-EPEL-{self._major()}"):
            path.write_text(self.key.public())
        progress("RPMs signed, metadata made")

    def _repository(self, mirror, name):
        return mirror / self.catalogue.repositories[name]

    def _key_file(self, mirror):
        return mirror / f"RPM-GPG-KEY-Rocky-{self._major()}"

    def _major(self):
        return self.catalogue.release.split(".")[0]
