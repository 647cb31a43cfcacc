//! The layer stack on a real overlayfs, in a mount namespace of the test's own thread.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use image_create::exec::layers::LayerStack;
use image_create::exec::mount::{Mount, mounted_below, private_namespace};

/// A stack in a temporary directory on a tmpfs, in a namespace that ends with the test's thread.
fn stack() -> (tempfile::TempDir, Mount, LayerStack) {
    private_namespace().expect("the root tier runs as root");
    let dir = tempfile::tempdir().unwrap();
    // An overlay cannot lie on an overlay, which a container's /tmp may be.
    let memory = Mount::tmpfs(dir.path(), "mode=0755").unwrap();
    let stack = LayerStack::new(&dir.path().join("layers"), &dir.path().join("tree")).unwrap();
    (dir, memory, stack)
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn each_layer_holds_what_its_work_changed() {
    let (dir, _memory, mut stack) = stack();
    let tree = dir.path().join("tree");
    fs::write(tree.join("a"), "1").unwrap();
    fs::write(tree.join("gone"), "x").unwrap();
    stack.close_layer("root.d").unwrap();
    fs::write(tree.join("b"), "2").unwrap();
    fs::remove_file(tree.join("gone")).unwrap();
    stack.close_layer("install.d").unwrap();
    fs::write(tree.join("a"), "3").unwrap();

    assert_eq!(names(&tree), ["a", "b"]);
    assert_eq!(fs::read_to_string(tree.join("a")).unwrap(), "3");
    let made_by: Vec<_> = stack.layers().iter().map(|l| l.made_by.as_str()).collect();
    assert_eq!(made_by, ["root.d", "install.d"]);
    assert_eq!(fs::read_to_string(stack.layers()[0].dir.join("a")).unwrap(), "1");
    // The second layer has the new file and overlayfs's mark for the removed one.
    assert_eq!(names(&stack.layers()[1].dir), ["b", "gone"]);
    stack.close().unwrap();
}

#[test]
fn what_hooks_mounted_in_the_tree_stays_mounted_when_a_layer_closes() {
    let (dir, _memory, mut stack) = stack();
    let tree = dir.path().join("tree");
    let cache = dir.path().join("cache");
    fs::create_dir(&cache).unwrap();
    fs::create_dir_all(tree.join("var/cache")).unwrap();
    fs::write(tree.join("file"), "below").unwrap();
    let _bind = Mount::bind(&cache, &tree.join("var/cache")).unwrap();
    fs::write(cache.join("covered"), "").unwrap();
    let _file = Mount::bind(&cache.join("covered"), &tree.join("file")).unwrap();
    stack.close_layer("one").unwrap();
    fs::write(cache.join("package"), "").unwrap();
    assert!(tree.join("var/cache/package").exists());
    assert_eq!(fs::read_to_string(tree.join("file")).unwrap(), "");
    let real = tree.canonicalize().unwrap();
    let below: Vec<PathBuf> = mounted_below(&tree).unwrap().into_iter().filter(|p| *p != real).collect();
    assert_eq!(below.len(), 2, "{below:?}");
}

#[test]
fn a_busy_tree_goes_on_in_the_same_layer() {
    let (dir, _memory, mut stack) = stack();
    let tree = dir.path().join("tree");
    let held = fs::File::create(tree.join("held")).unwrap();
    stack.close_layer("one").unwrap();
    assert!(stack.layers().is_empty());
    assert!(tree.join("held").exists());
    drop(held);
    stack.close_layer("two").unwrap();
    assert_eq!(stack.layers().len(), 1);
}

#[test]
fn the_mode_of_the_root_directory_survives_layers() {
    let (dir, _memory, mut stack) = stack();
    let tree = dir.path().join("tree");
    fs::set_permissions(&tree, fs::Permissions::from_mode(0o711)).unwrap();
    stack.close_layer("one").unwrap();
    stack.close_layer("two").unwrap();
    assert_eq!(fs::metadata(&tree).unwrap().permissions().mode() & 0o7777, 0o711);
}

#[test]
fn a_layer_for_attributes_copies_no_content_and_keeps_hard_links() {
    let (dir, _memory, mut stack) = stack();
    let tree = dir.path().join("tree");
    fs::write(tree.join("a"), vec![7; 1 << 20]).unwrap();
    fs::hard_link(tree.join("a"), tree.join("b")).unwrap();
    stack.open_for_attributes("cleanup.d").unwrap();
    for name in ["a", "b"] {
        xattr::set(tree.join(name), "security.selinux", b"system_u:object_r:some_t:s0\0").unwrap();
    }
    let [a, b] = ["a", "b"].map(|name| fs::metadata(tree.join(name)).unwrap());
    assert_eq!((a.nlink(), a.ino()), (2, b.ino()));
    assert_eq!(fs::read(tree.join("b")).unwrap(), vec![7; 1 << 20]);
    let open = dir.path().join("layers/2/files/a");
    assert_eq!(fs::metadata(&open).unwrap().blocks(), 0, "the content was copied");
    assert_eq!(xattr::get(stack.layers()[0].dir.join("a"), "security.selinux").unwrap(), None);
    stack.close().unwrap();
}
