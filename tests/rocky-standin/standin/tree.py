"""The file tree of one RPM: Debian's files unpacked, /usr merged, and what the catalogue changes."""

import glob
import os
import re
import shutil
from pathlib import Path

from standin import grub
from standin.catalogue import fill
from standin.report import BuildError, run

# Directories of / that are links into /usr on a merged system.
MERGED = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")


class Tree:
    """A package's files below `root`."""

    def __init__(self, root, package, catalogue):
        self.root = root
        self.package = package
        self.catalogue = catalogue
        root.mkdir(parents=True)

    def at(self, path):
        """Where an absolute path of the installed system is in the tree."""
        return self.root / path.lstrip("/")

    def unpack(self, archives):
        """Unpacks Debian's packages with their owners and modes."""
        for archive in archives:
            run(["dpkg-deb", "-x", archive, self.root], f"unpacking {archive.name}")
        for name in MERGED:
            merge_into_usr(self.root, name)
        self.remove(self.catalogue.dropped_paths)

    def change(self, files, variables):
        """Does what the catalogue says, and adds the hand-written files. The order is part of the format."""
        package = self.package
        for path, image in package.grub_images.items():
            self._parent(path)
            grub.make_image(self.at(path), image, self.at("/usr/lib/grub"))
        for old, new in package.moves.items():
            self._need(old)
            self._parent(new)
            os.rename(self.at(old), self.at(new))
        for old, new in package.copies.items():
            self._need(old)
            self._parent(new)
            shutil.copy(self.at(old), self.at(new))
        self.remove(package.remove)
        for new, pattern in package.concatenate.items():
            self._concatenate(new, pattern)
        for path, edits in package.edits.items():
            self._edit(path, edits)
        self._add_files(files, variables)
        for path in package.utf16:
            self.at(path).write_text(self.at(path).read_text(), encoding="utf-16-le")
        for link, target in package.links.items():
            self._link(link, target)
        for pattern, alias in package.aliases.items():
            self._alias(pattern, alias)
        for path in package.directories:
            self.at(path).mkdir(parents=True, exist_ok=True)

    def share_directories(self):
        """Makes the directories that several packages have agree with those of the package filesystem."""
        if not self.package.owns_reserved:
            self.remove(self.catalogue.reserved_directories)
        for path, mode in self.catalogue.directory_modes.items():
            if self.at(path).is_dir():
                self.at(path).chmod(mode)

    def remove(self, patterns):
        """Removes what the patterns name, as far as it is there."""
        for pattern in patterns:
            for path in self._find(pattern):
                if path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path)
                else:
                    path.unlink()

    def _find(self, pattern):
        return sorted(Path(path) for path in glob.glob(glob.escape(str(self.root)) + pattern))

    def _need(self, path):
        if not os.path.lexists(self.at(path)):
            raise BuildError(f"package {self.package.name}: there is no {path} in Debian's files")

    def _parent(self, path):
        self.at(path).parent.mkdir(parents=True, exist_ok=True)

    def _concatenate(self, new, pattern):
        parts = self._find(pattern)
        if not parts:
            raise BuildError(f"package {self.package.name}: there is no {pattern} in Debian's files")
        self._parent(new)
        self.at(new).write_bytes(b"".join(part.read_bytes() for part in parts))

    def _edit(self, path, edits):
        self._need(path)
        text = self.at(path).read_text()
        for pattern, replacement in edits:
            # A function, so that a backslash in the replacement is just that.
            text, count = re.subn(pattern, lambda _, new=replacement: new, text)
            if count == 0:
                raise BuildError(f"package {self.package.name}: editing {path}: nothing fits {pattern!r}")
        self.at(path).write_text(text)

    def _add_files(self, files, variables):
        for source in sorted(path for path in files.rglob("*") if path.is_file()):
            target = self.root / source.relative_to(files)
            target.parent.mkdir(parents=True, exist_ok=True)
            # Debian's file of this name may be a link to somewhere.
            target.unlink(missing_ok=True)
            target.write_text(fill(source.read_text(), variables))
            target.chmod(0o755 if os.access(source, os.X_OK) else 0o644)

    def _link(self, link, target):
        path = self.at(link)
        self._parent(link)
        if os.path.lexists(path):
            path.unlink()
        path.symlink_to(target)

    def _alias(self, pattern, alias):
        before = os.path.basename(pattern).split("*")[0]
        for path in self._find(pattern):
            rest = path.name[len(before):]
            (path.parent / alias.replace("*", rest)).symlink_to(path.name)


def merge_into_usr(root, name):
    """Moves the tree's /NAME into its /usr/NAME; a link /NAME is dropped, for the package filesystem has it."""
    source = root / name
    if source.is_symlink():
        source.unlink()
    elif source.is_dir():
        retarget_links(root, name)
        _move_tree(source, root / "usr" / name)


def retarget_links(root, name):
    """Rewrites relative links below /NAME that lead out of it, for they will lie one level deeper."""
    for directory, subdirectories, files in os.walk(root / name):
        for path in (Path(directory) / entry for entry in subdirectories + files):
            if path.is_symlink():
                _retarget(root, name, path)


def _retarget(root, name, path):
    target = os.readlink(path)
    if target.startswith("/"):
        return
    here = "/" + str(path.parent.relative_to(root))
    absolute = os.path.normpath(os.path.join(here, target))
    if absolute == f"/{name}" or absolute.startswith(f"/{name}/"):
        return
    if absolute.split("/")[1] in MERGED:
        absolute = "/usr" + absolute
    path.unlink()
    path.symlink_to(os.path.relpath(absolute, "/usr" + here))


def _move_tree(source, target):
    target.mkdir(parents=True, exist_ok=True)
    for entry in os.scandir(source):
        new = target / entry.name
        if entry.is_dir(follow_symlinks=False) and new.is_dir():
            _move_tree(Path(entry.path), new)
        elif os.path.lexists(new):
            # Debian's packages for a system that is not merged link one place to the other.
            os.unlink(entry.path)
        else:
            os.rename(entry.path, new)
    source.rmdir()
