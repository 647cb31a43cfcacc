//! Closures of real programs, and of small ones that gcc makes.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::*;
use crate::assemble::initramfs::view::RootDir;

fn host() -> RootDir {
    RootDir::new(Path::new("/")).unwrap()
}

fn files(found: &Found) -> BTreeSet<PathBuf> {
    found.items.iter().filter(|i| matches!(i.node, Node::File { .. })).map(|i| i.path.clone()).collect()
}

/// The files that ldd names, without links.
fn ldd(program: &Path) -> BTreeSet<PathBuf> {
    let output = Command::new("ldd").arg(program).output().unwrap();
    assert!(output.status.success(), "ldd {}", program.display());
    let text = String::from_utf8(output.stdout).unwrap();
    let paths = text.split_whitespace().filter(|word| word.starts_with('/'));
    paths.map(|path| fs::canonicalize(path).unwrap()).chain([fs::canonicalize(program).unwrap()]).collect()
}

#[test]
fn closures_are_what_ldd_says() {
    let view = host();
    let mut compared = 0;
    for program in [
        "/usr/bin/ls",
        "/bin/bash",
        "/usr/bin/gcc",
        "/usr/bin/git",
        "/usr/bin/curl",
        "/usr/bin/gdb",
        "/usr/bin/apt-get",
    ] {
        if !Path::new(program).exists() {
            continue;
        }
        let mut closure = Closure::new(&view);
        closure.add_program(program);
        let mut found = files(&closure.finish().unwrap());
        let said = ldd(Path::new(program));
        found.retain(|path| said.contains(path) || !path.to_string_lossy().contains("libgcc_s.so"));
        assert_eq!(found, said, "{program}");
        compared += 1;
    }
    assert!(compared >= 2);
}

#[test]
fn links_and_directories_on_the_way_are_told_and_parents_come_first() {
    let view = host();
    let mut closure = Closure::new(&view);
    closure.asked_by("--program ls").add_program("ls");
    let found = closure.finish().unwrap();
    for (at, item) in found.items.iter().enumerate() {
        let above = item.path.parent().unwrap();
        let has = found.items[..at].iter().any(|i| i.path == above && i.node == Node::Dir);
        assert!(above == Path::new("/") || has, "{} has no directory", item.path.display());
    }
    let libc = found.items.iter().find(|i| i.path.ends_with("libc.so.6")).unwrap();
    assert_eq!(libc.needed_by.to_string(), ", needed by /usr/bin/ls, needed by --program ls");
}

/// Makes libraries and programs in `root`; each command line is given to gcc, with the root as working directory.
fn gcc(root: &Path, lines: &[&[&str]]) {
    fs::write(root.join("empty.c"), "int made_by_gcc;\n").unwrap();
    fs::write(root.join("main.c"), "int main(void) { return 0; }\n").unwrap();
    for line in lines {
        let output = Command::new("gcc").args(*line).args(["-Wl,--no-as-needed"]).current_dir(root).output().unwrap();
        assert!(output.status.success(), "{line:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

fn library(out: &str, rest: &[&str]) -> Vec<String> {
    let soname = format!("-Wl,-soname,{}", Path::new(out).file_name().unwrap().to_str().unwrap());
    let fixed = ["-shared", "-nostdlib", "-Wl,--no-as-needed", "-o", out, &soname, "empty.c"];
    fixed.iter().copied().chain(rest.iter().copied()).map(str::to_owned).collect()
}

fn run_gcc(root: &Path, lines: &[Vec<String>]) {
    for line in lines {
        gcc(root, &[&line.iter().map(String::as_str).collect::<Vec<_>>()]);
    }
}

/// A program at `out` that needs the given files, without a libc.
fn program(out: &str, rest: &[&str]) -> Vec<String> {
    let fixed =
        ["-nostdlib", "-Wl,--no-as-needed", "-Wl,-e,main", "-Wl,--dynamic-linker=/lib64/ld.so", "-o", out, "main.c"];
    let rest = rest.iter().copied().chain(["-Wl,--allow-shlib-undefined", "-Wl,--unresolved-symbols=ignore-all"]);
    fixed.iter().copied().chain(rest).map(str::to_owned).collect()
}

fn small_tree() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for name in [
        "usr/bin",
        "usr/lib64",
        "opt/app/bin",
        "opt/app/lib",
        "opt/conf",
        "etc/ld.so.conf.d",
        "usr/lib/x86_64-linux-gnu",
    ] {
        fs::create_dir_all(dir.path().join(name)).unwrap();
    }
    symlink("usr/bin", dir.path().join("bin")).unwrap();
    symlink("usr/lib64", dir.path().join("lib64")).unwrap();
    fs::write(dir.path().join("etc/ld.so.conf"), "include ld.so.conf.d/*.conf # more\n").unwrap();
    fs::write(dir.path().join("etc/ld.so.conf.d/app.conf"), "/opt/conf\n").unwrap();
    run_gcc(dir.path(), &[library("usr/lib64/ld.so", &[])]);
    dir
}

fn found_in(root: &Path, programs: &[&str]) -> Result<BTreeSet<PathBuf>, String> {
    let view = RootDir::new(root).unwrap();
    let mut closure = Closure::new(&view);
    programs.iter().for_each(|name| {
        closure.add_program(name);
    });
    closure.finish().map(|found| files(&found)).map_err(|misses| misses.to_string())
}

fn set(paths: &[&str]) -> BTreeSet<PathBuf> {
    paths.iter().map(PathBuf::from).collect()
}

#[test]
fn rpath_reaches_the_libraries_of_libraries_and_runpath_does_not() {
    let dir = small_tree();
    let root = dir.path();
    run_gcc(
        root,
        &[
            library("opt/app/lib/libdeep.so", &[]),
            library("opt/app/lib/libouter.so", &["opt/app/lib/libdeep.so"]),
            program("opt/app/bin/old", &["opt/app/lib/libouter.so", "-Wl,--disable-new-dtags,-rpath,$ORIGIN/../lib"]),
            program("opt/app/bin/new", &["opt/app/lib/libouter.so", "-Wl,--enable-new-dtags,-rpath,${ORIGIN}/../lib"]),
            program(
                "opt/app/bin/both",
                &["opt/app/lib/libdeep.so", "opt/app/lib/libouter.so", "-Wl,--enable-new-dtags,-rpath,$ORIGIN/../lib"],
            ),
        ],
    );
    let libs = ["/usr/lib64/ld.so", "/opt/app/lib/libdeep.so", "/opt/app/lib/libouter.so"];
    let with = |name: &'static str| set(&libs.into_iter().chain([name]).collect::<Vec<_>>());
    assert_eq!(found_in(root, &["/opt/app/bin/old"]).unwrap(), with("/opt/app/bin/old"));
    // Loaded already when libouter.so asks for it.
    assert_eq!(found_in(root, &["/opt/app/bin/both"]).unwrap(), with("/opt/app/bin/both"));
    let miss = found_in(root, &["/opt/app/bin/new"]).unwrap_err();
    let start = "missing library libdeep.so, needed by /opt/app/lib/libouter.so, needed by /opt/app/bin/new (looked in /opt/conf, ";
    assert!(miss.starts_with(start), "{miss}");
}

#[test]
fn all_misses_are_told_at_once_with_what_is_needed_to_find_them() {
    let dir = small_tree();
    let root = dir.path();
    run_gcc(
        root,
        &[
            library("libgone.so", &[]),
            program("usr/bin/one", &["./libgone.so"]),
            program("usr/bin/two", &["./libgone.so"]),
        ],
    );
    fs::remove_file(root.join("libgone.so")).unwrap();
    fs::write(root.join("usr/bin/script"), "#!/usr/bin/python3\n").unwrap();
    fs::set_permissions(root.join("usr/bin/script"), fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(root.join("usr/bin/plain"), "x").unwrap();
    let text = found_in(root, &["one", "two", "script", "tvo", "/usr/bin/plain"]).unwrap_err();
    assert!(text.starts_with("5 things are missing:"), "{text}");
    for part in [
        "library libgone.so, needed by /usr/bin/one",
        "library libgone.so, needed by /usr/bin/two",
        "/usr/bin/python3, needed by /usr/bin/script",
        "program tvo (did you mean 'two'?)",
        "/usr/bin/plain: it has no execute bit",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[test]
fn libraries_that_only_ld_so_conf_leads_to_need_a_cache() {
    let dir = small_tree();
    let root = dir.path();
    run_gcc(root, &[library("opt/conf/libc1.so", &[]), program("usr/bin/one", &["opt/conf/libc1.so"])]);
    // An absolute or relative path given to the linker is not what is written down: the soname is.
    let view = RootDir::new(root).unwrap();
    let mut closure = Closure::new(&view);
    closure.add_program("one");
    let found = closure.finish().unwrap();
    let cache = found.cache.unwrap();
    assert_eq!(cache.paths("libc1.so").collect::<Vec<_>>(), [Path::new("/opt/conf/libc1.so")]);
    let mut closure = Closure::of_image(&view);
    closure.add_program("one");
    assert!(closure.finish().is_err(), "there is no cache yet");
    let done = Command::new("ldconfig").args(["-X", "-r"]).arg(root).output();
    if done.is_ok_and(|output| output.status.success()) {
        let mut closure = Closure::of_image(&view);
        closure.add_program("one");
        closure.finish().unwrap();
    }
    fs::write(root.join("etc/ld.so.cache"), cache.write()).unwrap();
    let mut closure = Closure::of_image(&view);
    closure.add_program("one");
    closure.finish().unwrap();
}

#[test]
fn libraries_for_other_machines_are_passed_over() {
    let dir = small_tree();
    let root = dir.path();
    run_gcc(
        root,
        &[
            library("usr/lib/x86_64-linux-gnu/libx.so", &[]),
            program("usr/bin/one", &["usr/lib/x86_64-linux-gnu/libx.so"]),
        ],
    );
    let good = fs::read(root.join("usr/lib/x86_64-linux-gnu/libx.so")).unwrap();
    let mut other = good.clone();
    other[18] = 183; // EM_AARCH64
    fs::write(root.join("opt/conf/libx.so"), &other).unwrap();
    assert!(found_in(root, &["one"]).unwrap().contains(Path::new("/usr/lib/x86_64-linux-gnu/libx.so")));
    fs::remove_file(root.join("usr/lib/x86_64-linux-gnu/libx.so")).unwrap();
    let text = found_in(root, &["one"]).unwrap_err();
    assert!(text.contains("needed by /usr/bin/one: /opt/conf/libx.so is for another kind of machine"), "{text}");
    fs::write(root.join("opt/conf/libx.so"), &good[..100]).unwrap();
    let text = found_in(root, &["one"]).unwrap_err();
    assert!(text.contains("/opt/conf/libx.so is a damaged ELF file"), "{text}");
}

/// Both files say that they are for AArch64; nothing else in them matters here.
#[test]
fn trees_of_other_machines_are_searched_where_their_loaders_search() {
    let dir = small_tree();
    let root = dir.path();
    fs::create_dir_all(root.join("usr/lib/aarch64-linux-gnu")).unwrap();
    run_gcc(
        root,
        &[
            library("usr/lib/aarch64-linux-gnu/libfar.so.1", &[]),
            program("usr/bin/far", &["usr/lib/aarch64-linux-gnu/libfar.so.1"]),
        ],
    );
    for file in ["usr/lib64/ld.so", "usr/lib/aarch64-linux-gnu/libfar.so.1", "usr/bin/far"] {
        let mut bytes = fs::read(root.join(file)).unwrap();
        bytes[18] = 183;
        fs::write(root.join(file), bytes).unwrap();
    }
    let expected = set(&["/usr/bin/far", "/usr/lib64/ld.so", "/usr/lib/aarch64-linux-gnu/libfar.so.1"]);
    assert_eq!(found_in(root, &["far"]).unwrap(), expected);
}

#[test]
fn one_gap_below_many_programs_is_told_once() {
    let dir = small_tree();
    let root = dir.path();
    run_gcc(
        root,
        &[
            library("libgone.so", &[]),
            library("usr/lib64/libhalf.so", &["./libgone.so"]),
            program("usr/bin/one", &["usr/lib64/libhalf.so"]),
            program("usr/bin/two", &["usr/lib64/libhalf.so"]),
        ],
    );
    let text = found_in(root, &["one", "two"]).unwrap_err();
    assert!(
        text.starts_with(
            "missing library libgone.so, needed by /usr/lib64/libhalf.so, needed by /usr/bin/one and 1 more"
        ),
        "{text}"
    );
}

#[test]
fn notes_about_dlopen_are_obeyed_by_their_priority() {
    let dir = small_tree();
    let root = dir.path();
    let note = |priority: &str, name: &str| {
        let json = format!(r#"[{{"feature":"f","priority":"{priority}","soname":["{name}"]}}]"#);
        let quoted = json.replace('"', "\\\"");
        format!(
            ".pushsection .note.dlopen,\"a\",%note\n.balign 4\n.long 4\n.long 2f-1f\n.long 0x407c0c0a\n.asciz \"FDO\"\n1: .asciz \"{quoted}\"\n2: .balign 4\n.popsection\n"
        )
    };
    let make = |program_name: &str, entries: &[(&str, &str)]| {
        let text: String = entries.iter().map(|(priority, name)| note(priority, name)).collect();
        fs::write(root.join("note.s"), text).unwrap();
        run_gcc(root, &[program(program_name, &["note.s"])]);
    };
    run_gcc(root, &[library("usr/lib64/libthere.so", &[])]);
    make("usr/bin/good", &[("recommended", "libthere.so"), ("recommended", "libno.so"), ("suggested", "libld.so")]);
    assert!(found_in(root, &["good"]).unwrap().contains(Path::new("/usr/lib64/libthere.so")));
    make("usr/bin/suggesting", &[("suggested", "libthere.so")]);
    assert!(!found_in(root, &["suggesting"]).unwrap().contains(Path::new("/usr/lib64/libthere.so")));
    make("usr/bin/bad", &[("required", "libno.so")]);
    let text = found_in(root, &["bad"]).unwrap_err();
    assert!(text.contains("library libno.so, needed by /usr/bin/bad: opened at run time for f"), "{text}");
}

#[test]
fn musl_searches_in_its_own_way() {
    let dir = small_tree();
    let root = dir.path();
    fs::create_dir_all(root.join("lib")).unwrap();
    fs::create_dir_all(root.join("srv")).unwrap();
    let loader = |rest: &[&str], out: &str| {
        let mut line = program(out, rest);
        line.iter_mut()
            .filter(|w| w.contains("--dynamic-linker"))
            .for_each(|w| *w = "-Wl,--dynamic-linker=/lib/ld-musl-x86_64.so.1".into());
        line
    };
    run_gcc(
        root,
        &[
            library("lib/ld-musl-x86_64.so.1", &[]),
            library("libc.musl-x86_64.so.1", &[]),
            library("srv/libm1.so", &["./libc.musl-x86_64.so.1"]),
            loader(&["srv/libm1.so"], "usr/bin/one"),
        ],
    );
    let text = found_in(root, &["one"]).unwrap_err();
    assert!(text.contains("(looked in /lib, /usr/local/lib, /usr/lib)"), "{text}");
    fs::write(root.join("etc/ld-musl-x86_64.path"), "/lib\n/srv\n").unwrap();
    assert_eq!(found_in(root, &["one"]).unwrap(), set(&["/usr/bin/one", "/lib/ld-musl-x86_64.so.1", "/srv/libm1.so"]));
}

#[test]
fn threads_that_are_cancelled_need_the_unwinder() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    fs::write(root.join("t.c"), "#include <pthread.h>\nint main(void) { pthread_exit(0); }\n").unwrap();
    gcc(root, &[&["-o", "t", "t.c", "-pthread"]]);
    let bytes = fs::read(root.join("t")).unwrap();
    assert!(elf::parse(&bytes).unwrap().cancels_threads);
    assert!(!elf::parse(&fs::read("/bin/true").unwrap()).unwrap().cancels_threads);
}

#[test]
fn static_programs_are_complete() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/test-data/busybox-static");
    let Ok(view) = RootDir::new(&root) else { return };
    let mut closure = Closure::new(&view);
    closure.add_program("busybox");
    assert_eq!(files(&closure.finish().unwrap()), set(&["/bin/busybox"]));
}

#[test]
fn damaged_elf_files_are_told_and_nothing_panics() {
    let good = fs::read("/usr/bin/ls").unwrap();
    let mut state = 7_u64;
    let mut random = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    for _ in 0..300 {
        let mut bytes = good[..random(good.len())].to_vec();
        elf::parse(&bytes).ok();
        bytes.resize(good.len(), 0);
        bytes.copy_from_slice(&good);
        for _ in 0..8 {
            let at = random(1024);
            bytes[at] = random(256) as u8;
        }
        let at = random(good.len());
        bytes[at] ^= 0xff;
        elf::parse(&bytes).ok();
        dirs::of_loader(&bytes[..4096]);
        drop(Cache::parse(&bytes).write());
    }
    let mut cache = fs::read("/etc/ld.so.cache").unwrap_or_default();
    if !cache.is_empty() {
        assert!(Cache::parse(&cache).paths("libc.so.6").next().is_some());
        for _ in 0..100 {
            let at = random(cache.len());
            cache[at] = random(256) as u8;
            drop(Cache::parse(&cache).write());
        }
    }
}
