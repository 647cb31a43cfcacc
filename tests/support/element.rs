//! Small elements, written by a test in a line or two.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// An element's folder.
pub struct Element {
    dir: PathBuf,
}

impl Element {
    /// The element `name` in `elements`; made if it is not there.
    pub fn new(elements: &Path, name: &str) -> Self {
        let dir = elements.join(name);
        fs::create_dir_all(&dir).unwrap();
        Self { dir }
    }

    /// Its folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Adds a file.
    pub fn file(self, name: &str, text: &str) -> Self {
        self.file_with_mode(name, text, 0o644)
    }

    /// Adds a file with permission bits.
    pub fn file_with_mode(self, name: &str, text: &str, mode: u32) -> Self {
        let path = self.dir.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        self
    }

    /// Adds a hook (`install.d/50-x`): `body` as a strict bash script.
    pub fn hook(self, name: &str, body: &str) -> Self {
        self.file_with_mode(name, &format!("#!/bin/bash\nset -eu\nset -o pipefail\n{body}\n"), 0o755)
    }

    /// Sets what it depends on.
    pub fn deps(self, names: &[&str]) -> Self {
        self.file("element-deps", &lines(names))
    }

    /// Sets what it provides.
    pub fn provides(self, names: &[&str]) -> Self {
        self.file("element-provides", &lines(names))
    }

    /// Has it export a variable in every phase.
    pub fn exports(self, name: &str, value: &str) -> Self {
        self.file(&format!("environment.d/10-{name}.bash"), &format!("export {name}={value}\n"))
    }
}

fn lines(names: &[&str]) -> String {
    names.iter().map(|name| format!("{name}\n")).collect()
}

/// Programs of this host that the fake system gets, with the libraries that they load.
const PROGRAMS: &str = "bash sh env cat ls mkdir rmdir touch rm cp mv ln chmod id sleep readlink stat find grep sed sort \
     mount ps kill true false date head tail tr wc mktemp basename dirname chown cut install cmp rsync tar awk";

/// The element `fake-os` in `elements`: an operating system that is a few programs of this host, made in a
/// second, in which hooks of every phase run. It installs no packages and boots nowhere.
pub fn fake_os_element(elements: &Path) -> Element {
    Element::new(elements, "fake-os")
        .provides(&["operating-system"])
        .exports("DISTRO_NAME", "debian")
        .exports("DIB_RELEASE", "bookworm")
        .hook("root.d/10-fake-os", &FAKE_OS.replace("@PROGRAMS@", PROGRAMS))
}

/// The element `no-packages` in `elements`: gives the fake system a package manager that finds everything
/// installed already. For tests of elements that ask for programs which the fake system has anyway.
pub fn no_packages_element(elements: &Path) -> Element {
    Element::new(elements, "no-packages").hook(
        "root.d/50-no-packages",
        "printf '#!/bin/bash\\nexit 0\\n' > $TARGET_ROOT/usr/bin/apt-get; chmod 755 $TARGET_ROOT/usr/bin/apt-get",
    )
}

const FAKE_OS: &str = r#"
cd "$TARGET_ROOT"
mkdir -p usr/bin usr/sbin usr/lib usr/lib64 etc proc sys dev run tmp root var/tmp var/lib/dpkg boot
chmod 1777 tmp var/tmp
for dir in bin sbin lib lib64; do ln -sfn usr/$dir $dir; done
echo "root:x:0:0:root:/root:/bin/bash" > etc/passwd
echo "root:x:0:" > etc/group
printf 'ID=debian\nVERSION_ID="12"\nPRETTY_NAME="Fake OS"\n' > etc/os-release
for program in @PROGRAMS@; do
    path=$(type -P $program) || continue
    cp -L "$path" usr/bin/$program
    for library in $(ldd "$path" | grep -o '/[^ ]*'); do
        [ -e ".$library" ] && continue
        mkdir -p ".$(dirname "$library")"
        cp -L "$library" ".$library"
    done
done
"#;
