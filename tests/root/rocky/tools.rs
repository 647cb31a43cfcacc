//! Hosts without dnf: a root with it is made, or given.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::fcntl::{Flock, FlockArg};
use walkdir::WalkDir;

use super::{build, packages, run, sandbox, unpack};
use crate::support::{Outcome, Sandbox, Standin, image_create, repository, skip_without};

/// Builds rocky-minimal on this host without some of its programs: in a mount namespace in which they are hidden.
fn build_without(sandbox: &Sandbox, hidden: &[&str], name: &str) -> Outcome {
    let mut script = String::new();
    for program in hidden {
        // Of a link, the file is hidden.
        script += &format!("file=$(readlink -f \"$(command -v {program})\"); mount --bind /dev/null \"$file\"; ");
    }
    script += "exec \"$@\"";
    let program = image_create().to_string_lossy();
    let unshare = ["--mount", "--propagation", "private", "sh", "-euc", &script, "sh", &program];
    let args = unshare.iter().copied().chain(["-n", "-t", "tar", "-o", name, "rocky-minimal"]);
    sandbox.spawn_as(Path::new("/usr/bin/unshare"), args).wait(crate::support::LONG)
}

/// A cache for the tools roots, kept for later runs of the tests: making one takes most of a minute.
fn kept_cache(sandbox: &mut Sandbox) -> PathBuf {
    let dir = repository().join("target/test-tools");
    fs::create_dir_all(dir.join("yum-tools")).unwrap();
    sandbox.env("DIB_IMAGE_CACHE", &dir.to_string_lossy());
    dir
}

/// The tools root that a host without dnf makes; made by a build now if no earlier one did.
fn tools_root(standin: &Standin) -> PathBuf {
    let mut sandbox = sandbox(standin);
    let dir = kept_cache(&mut sandbox);
    let lock = fs::File::create(dir.join("lock")).unwrap();
    let _lock = Flock::lock(lock, FlockArg::LockExclusive).map_err(|(_, e)| e).unwrap();
    build_without(&sandbox, &["dnf"], "x").succeeded();
    let roots: Vec<PathBuf> = fs::read_dir(dir.join("yum-tools")).unwrap().map(|e| e.unwrap().path()).collect();
    let newest = roots.into_iter().filter(|p| p.is_dir()).max_by_key(|p| p.metadata().unwrap().modified().unwrap());
    newest.expect("the build made a root")
}

/// Everything in a folder.
fn names(dir: &Path) -> Vec<PathBuf> {
    WalkDir::new(dir).sort_by_file_name().into_iter().map(|entry| entry.unwrap().into_path()).collect()
}

#[test]
fn a_host_without_dnf_makes_a_root_with_it_once() {
    let Some(standin) = Standin::get() else { return };
    if skip_without(&["mmdebstrap"]) {
        return;
    }
    let root = tools_root(&standin);
    assert!(root.join("usr/bin/dnf").exists());
    let before = names(&root);
    let mut sandbox = sandbox(&standin);
    // Local folders, a key of the host and the package's key all have to be seen from within.
    build(&sandbox, "rocky-minimal", "with").succeeded();
    kept_cache(&mut sandbox);
    build_without(&sandbox, &["dnf"], "without").succeeded().does_not_say("This host has no dnf");
    assert_eq!(packages(&unpack(&sandbox, "with")), packages(&unpack(&sandbox, "without")));
    sandbox.env("DIB_ROCKY_GPG_KEY", "");
    build_without(&sandbox, &["dnf"], "x").failed(1).says("RPM-GPG-KEY-Rocky-9 holds");
    sandbox.assert_clean();
    assert_eq!(names(&root), before, "builds leave the root as it is");
}

#[test]
fn a_host_that_cannot_even_make_one_is_told() {
    let Some(standin) = Standin::get() else { return };
    let sandbox = sandbox(&standin);
    build_without(&sandbox, &["dnf", "mmdebstrap", "debootstrap"], "x")
        .failed(3)
        .says("dnf or dnf5 or mmdebstrap or debootstrap or $DIB_YUM_MINIMAL_TOOLS is not installed")
        .says("dnf");
    sandbox.assert_clean();
}

#[test]
fn a_root_or_a_container_image_can_be_given() {
    let Some(standin) = Standin::get() else { return };
    if skip_without(&["mmdebstrap"]) {
        return;
    }
    let root = tools_root(&standin);
    let mut sandbox = sandbox(&standin);
    sandbox.env("DIB_YUM_MINIMAL_TOOLS", &root.to_string_lossy());
    let hidden = ["dnf", "mmdebstrap", "debootstrap"];
    build_without(&sandbox, &hidden, "dir").succeeded();

    // As `podman save` has it.
    let image = sandbox.path("image");
    fs::create_dir(&image).unwrap();
    run(Command::new("tar").args(["--one-file-system", "-cf"]).arg(image.join("1.tar")).arg("-C").arg(&root).arg("."));
    fs::write(image.join("manifest.json"), r#"[{"Config":"c.json","RepoTags":["x:y"],"Layers":["1.tar"]}]"#).unwrap();
    let archive = sandbox.path("image.tar");
    run(Command::new("tar").arg("-cf").arg(&archive).arg("-C").arg(&image).arg("."));
    fs::remove_dir_all(image).unwrap();
    sandbox.env("DIB_YUM_MINIMAL_TOOLS", &archive.to_string_lossy());
    build_without(&sandbox, &hidden, "archive").succeeded();
    assert_eq!(packages(&unpack(&sandbox, "dir")), packages(&unpack(&sandbox, "archive")));

    sandbox.env("DIB_YUM_MINIMAL_TOOLS", "/no/such/image.tar");
    build(&sandbox, "rocky-minimal", "x").failed(1).says("DIB_YUM_MINIMAL_TOOLS: /no/such/image.tar cannot be read");
    sandbox.assert_clean();
}

/// Packs files (path, content) as a layer.
fn layer(dir: &Path, name: &str, files: &[(&str, &str)]) -> PathBuf {
    let content = dir.join(format!("{name}.content"));
    for (path, text) in files {
        let path = content.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let archive = dir.join(name);
    fs::create_dir_all(archive.parent().unwrap()).unwrap();
    run(Command::new("tar").arg("-czf").arg(&archive).arg("-C").arg(&content).arg("."));
    archive
}

#[test]
fn layers_of_container_images_are_laid_on_each_other() {
    let dir = tempfile::tempdir().unwrap();
    let digest = |c: char| c.to_string().repeat(64);
    let image = dir.path().join("image");
    let blob = |c: char| format!("blobs/sha256/{}", digest(c));
    layer(&image, &blob('a'), &[("etc/kept", "1"), ("etc/gone", "1"), ("opt/old/x", "1"), ("opt/changed", "1")]);
    let upper = [("etc/.wh.gone", ""), ("opt/old/.wh..wh..opq", ""), ("opt/old/y", "2"), ("opt/changed", "2")];
    layer(&image, &blob('b'), &upper);
    // As skopeo writes an oci-archive; one with an index in its index, too.
    let reference = |c: char| format!(r#"{{"mediaType":"x","digest":"sha256:{}","size":1}}"#, digest(c));
    fs::write(image.join("index.json"), format!(r#"{{"schemaVersion":2,"manifests":[{}]}}"#, reference('c'))).unwrap();
    fs::write(image.join(blob('c')), format!(r#"{{"schemaVersion":2,"manifests":[{}]}}"#, reference('d'))).unwrap();
    let layers =
        format!("{{\n \"config\": {},\n \"layers\": [\n{},\n{}]\n}}", reference('e'), reference('a'), reference('b'));
    fs::write(image.join(blob('d')), layers).unwrap();
    let archive = dir.path().join("image.tar");
    let parts = ["index.json", "blobs"];
    run(Command::new("tar").arg("-cf").arg(&archive).arg("-C").arg(&image).args(parts));

    let script = repository().join("elements/yum-minimal/yum-bootstrap/tools-archive");
    let tree = dir.path().join("tree");
    run(Command::new(script).arg(&archive).arg(&tree));
    let read = |file: &str| fs::read_to_string(tree.join(file)).ok();
    assert_eq!(read("etc/kept").as_deref(), Some("1"));
    assert_eq!(read("opt/changed").as_deref(), Some("2"));
    assert_eq!(read("opt/old/y").as_deref(), Some("2"));
    for gone in ["etc/gone", "etc/.wh.gone", "opt/old/x", "opt/old/.wh..wh..opq"] {
        assert_eq!(read(gone), None, "{gone}");
    }
    let left = |name: &str| dir.path().join(name).exists();
    assert!(!left("tree.image.part"));
}
