//! Images of real systems, built once for all tests and runs that want the same.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};
use sha2::{Digest, Sha256};
use walkdir::WalkDir;

use super::standin::Standin;
use super::{LONG, Sandbox, bootstrap, image_create, repository, trees};

/// An image that tests want: what is given to the program, and what it finds in its environment.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// A name for people.
    pub name: &'static str,
    /// Elements and options; `-o` and `-t qcow2` are added.
    pub args: Vec<&'static str>,
    /// Variables.
    pub env: Vec<(&'static str, &'static str)>,
    /// Where Rocky Linux's packages come from, for images of that family.
    pub standin: Option<Standin>,
}

/// `vm debian-minimal` with an element for the disk layout, and the unit that reports on the console how
/// the boot went (tests/elements/boot-probe).
pub fn debian(layout: &'static str) -> Wanted {
    Wanted { name: layout, args: vec!["vm", layout, "debian-minimal", "boot-probe"], env: Vec::new(), standin: None }
}

/// Where the migration bundle lies that was built with an image.
pub fn bundle_of(image: &Path) -> PathBuf {
    image.with_extension("migration.tar.gz")
}

impl Wanted {
    /// The image, built now if no earlier test or run has built it from the same program, elements and arguments.
    ///
    /// Images lie in target/test-images/ beside the log of their build; those of other programs are deleted.
    pub fn image(&self) -> PathBuf {
        let dir = repository().join("target/test-images");
        fs::create_dir_all(&dir).unwrap();
        let key = self.key();
        let image = dir.join(format!("{}-{key}.qcow2", self.name));
        // Test programs may run side by side: the second one waits for the first one's image.
        let lock = File::create(dir.join(format!("{}.lock", self.name))).unwrap();
        let _lock = Flock::lock(lock, FlockArg::LockExclusive).map_err(|(_, e)| e).unwrap();
        if !image.exists() {
            self.remove_old(&dir);
            self.build(&image);
        }
        image
    }

    fn build(&self, image: &Path) {
        let mut sandbox = Sandbox::new();
        let elements = repository().join("tests/elements");
        sandbox.env("ELEMENTS_PATH", &elements.to_string_lossy());
        for (name, value) in &self.env {
            sandbox.env(name, value);
        }
        if let Some(standin) = &self.standin {
            standin.give_to(&mut sandbox);
        }
        if self.env.iter().any(|(name, _)| *name == bootstrap::ASKED) {
            bootstrap::give_to(&mut sandbox, "debian", "bookworm");
        }
        if self.args.contains(&"simple-init") {
            trees::give_glean(&mut sandbox);
        }
        let mut args = vec!["-t", "qcow2", "-o", "image"];
        args.extend(&self.args);
        let outcome = sandbox.run_long(args);
        fs::write(image.with_extension("log"), &outcome.stderr).unwrap();
        outcome.succeeded();
        sandbox.assert_clean();
        let bundle = sandbox.path("out/image.d/migration.tar.gz");
        if bundle.exists() {
            fs::rename(bundle, bundle_of(image)).unwrap();
        }
        fs::rename(sandbox.path("out/image.qcow2"), image).unwrap();
    }

    fn remove_old(&self, dir: &Path) {
        let prefix = format!("{}-", self.name);
        for entry in fs::read_dir(dir).unwrap().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            // The names of layouts start with one another (block-device-gpt, block-device-gpt-…): the key has 16 digits.
            if name.strip_prefix(&prefix).is_some_and(|rest| rest.find('.') == Some(16)) {
                fs::remove_file(entry.path()).unwrap();
            }
        }
    }

    /// A digest of everything that the image depends on, except the distribution's packages.
    fn key(&self) -> String {
        let mut digest = Sha256::new();
        add(&mut digest, image_create());
        for folder in ["elements", "package-maps", "lib", "tests/elements"] {
            let files = WalkDir::new(repository().join(folder)).sort_by_file_name();
            for file in files.into_iter().flatten().filter(|f| f.file_type().is_file()) {
                add(&mut digest, file.path());
            }
        }
        if let Some(standin) = &self.standin {
            add(&mut digest, &standin.made_from());
        }
        digest.update(format!("{:?} {:?}", self.args, self.env));
        digest.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
    }
}

fn add(digest: &mut Sha256, file: &Path) {
    use std::os::unix::fs::PermissionsExt;
    let mut bytes = Vec::new();
    let mut open = File::open(file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    open.read_to_end(&mut bytes).unwrap();
    let mode = open.metadata().unwrap().permissions().mode();
    digest.update(format!("{} {mode:o} {}\n", file.display(), bytes.len()));
    digest.update(&bytes);
}
