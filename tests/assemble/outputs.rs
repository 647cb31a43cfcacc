//! Outputs: formats, names, checksums, and that nothing is ever half there.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use image_create::assemble::outputs::{self, Sources};
use image_create::error::{EXIT_HOST, exit_code, render};
use image_create::exec::mount::Mount;
use image_create::plan::output::{Checksum, Compression, OutputOptions, plan_outputs};
use image_create::report::Reporter;
use serde_json::Value;

use crate::support::*;

fn options() -> OutputOptions {
    OutputOptions {
        docker_target: Some("example/fake-os:1".into()),
        oci_architecture: "amd64".into(),
        epoch: Some(EPOCH),
        ..Default::default()
    }
}

fn words(types: &str) -> Vec<String> {
    types.split(',').map(str::to_owned).collect()
}

/// Writes `types` from the sample tree and a raw disk of it; returns the names in the destination.
fn write(dir: &Path, types: &str, options: &OutputOptions) -> Vec<String> {
    let (tree, out, work) = (dir.join("tree"), dir.join("out"), dir.join("work"));
    if !tree.exists() {
        make_tree(&tree);
    }
    fs::create_dir_all(&out).unwrap();
    let sample = Sample::full(512, "ext4", 60).repeatable();
    let raw = sample.with(dir, options.epoch, |assembly, raw| {
        assembly.assemble(&tree, &grub(), &Reporter::quiet()).unwrap();
        raw.to_owned()
    });
    let plan = plan_outputs(&out.join("image"), &words(types), options).unwrap();
    outputs::check(&plan, options).unwrap();
    let sources = Sources { tree: &tree, raw: Some(&raw), work: &work };
    outputs::write(&plan, options, sources, &Reporter::quiet()).unwrap();
    assert_eq!(names(&work), [] as [String; 0]);
    names(&out)
}

#[test]
fn c7_all_formats_from_one_build_at_the_same_time() {
    privately(|dir| {
        let manifest = dir.join("aci.json");
        fs::write(&manifest, "{}").unwrap();
        let options = OutputOptions { aci_manifest: Some(manifest), ..options() };
        let names = write(dir, "tar,tgz,squashfs,raw,qcow2,docker,aci,vmdk,vdi,vhd,vhdx", &options);
        let extensions = ["aci", "oci.tar", "qcow2", "raw", "squash", "tar", "tgz", "vdi", "vhd", "vhdx", "vmdk"];
        assert_eq!(names, extensions.map(|e| format!("image.{e}")));
        let raw = dir.join("out/image.raw");
        for (format, extension) in
            [("qcow2", "qcow2"), ("vmdk", "vmdk"), ("vdi", "vdi"), ("vhdx", "vhdx"), ("vpc", "vhd")]
        {
            let file = dir.join(format!("out/image.{extension}"));
            run("qemu-img", &["compare", "-f", format, "-F", "raw", text(&file), text(&raw)]);
            if format != "vpc" {
                run("qemu-img", &["check", text(&file)]);
            }
            let info = json(&run("qemu-img", &["info", "--output=json", "-f", format, text(&file)]));
            assert_eq!(info["virtual-size"], raw.metadata().unwrap().len(), "{format}");
            if format == "qcow2" {
                assert_eq!(info["format-specific"]["data"]["compression-type"], "zstd");
            }
        }
        let raw = raw.metadata().unwrap();
        assert!(raw.blocks() * 512 < raw.len() / 2, "the raw image is sparse");
    });
}

#[test]
fn qcow2_can_be_written_for_older_hypervisors_or_uncompressed() {
    privately(|dir| {
        let file = dir.join("out/image.qcow2");
        let write = |types: &str, options: OutputOptions| {
            write(dir, types, &OutputOptions { overwrite: true, ..options });
            let info = json(&run("qemu-img", &["info", "--output=json", text(&file)]));
            info["format-specific"]["data"].clone()
        };
        let zlib = write("qcow2", OutputOptions { compression: Compression::Zlib, ..options() });
        assert_eq!(zlib["compression-type"], "zlib");
        let small = file.metadata().unwrap().len();
        write("qcow2", OutputOptions { compression: Compression::None, ..options() });
        assert!(file.metadata().unwrap().len() > small);
        // An option of qcow2 only does not disturb the other format.
        let old = OutputOptions { qemu_img_options: Some("compat=0.10".into()), ..options() };
        assert_eq!(write("qcow2,vmdk", old)["compat"], "0.10");
    });
}

#[test]
fn an_archive_holds_the_whole_tree_and_the_empty_directories() {
    privately(|dir| {
        write(dir, "tar,tgz,aci,squashfs", &options());
        let out = dir.join("out");
        let tree = clamped(describe(&dir.join("tree"), &[]));
        for (archive, inner) in [("image.tar", ""), ("image.tgz", ""), ("image.aci", "rootfs")] {
            let place = dir.join(format!("from-{archive}"));
            fs::create_dir(&place).unwrap();
            let how = ["-x", "-p", "--numeric-owner", "--xattrs", "--xattrs-include=*", "--acls", "-C"];
            run("tar", &[&how[..], &[text(&place), "-f", text(&out.join(archive))]].concat());
            assert_eq!(describe(&place.join(inner), &[]), tree, "{archive}");
        }
        let listing = run("tar", &["-t", "-f", text(&out.join("image.tar"))]);
        let members: Vec<&str> = listing.lines().collect();
        for name in ["./", "./proc/", "./sys/", "./dev/", "./.hidden/file"] {
            assert!(members.contains(&name), "{name}");
        }
        let place = dir.join("from-squash");
        let squash = out.join("image.squash");
        run("unsquashfs", &["-quiet", "-no-progress", "-dest", text(&place), text(&squash)]);
        assert_eq!(describe(&place, &[]).len(), tree.len());
        // squashfs has no ACLs.
        let others = |tree: Vec<Described>| -> Vec<Described> {
            tree.into_iter().filter(|d| !d.line.starts_with("etc/owned")).collect()
        };
        assert_eq!(others(mounted(&squash, "squashfs", 512)), others(tree));
    });
}

#[test]
fn the_same_tree_gives_the_same_archives() {
    let digests = |pause: bool| {
        privately(|dir| {
            make_tree(&dir.join("tree"));
            if pause {
                std::thread::sleep(std::time::Duration::from_millis(1100));
            }
            let names = write(dir, "tar,tgz,docker,aci,squashfs,qcow2,vmdk", &options());
            let sum = |n: &String| run("sha256sum", &[text(&dir.join("out").join(n))])[..64].to_owned();
            // vmdk has a content id that qemu-img chooses.
            names.iter().filter(|n| !n.ends_with("vmdk")).map(|n| (n.clone(), sum(n))).collect::<Vec<_>>()
        })
    };
    assert_eq!(digests(false), digests(true));
}

#[test]
fn an_own_gzip_program_is_used() {
    privately(|dir| {
        let script = dir.join("mygzip");
        let body = format!("#!/bin/sh\necho \"$@\" > {}/args\nexec gzip \"$@\"\n", dir.display());
        fs::write(&script, body).unwrap();
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
        write(dir, "tgz", &OutputOptions { gzip: Some(script.clone()), ..options() });
        assert_eq!(fs::read_to_string(dir.join("args")).unwrap(), "-9\n");
        run("gzip", &["-t", text(&dir.join("out/image.tgz"))]);
    });
}

#[test]
fn a_container_image_is_an_oci_layout_that_adds_up() {
    privately(|dir| {
        write(dir, "docker", &options());
        let place = dir.join("oci");
        fs::create_dir(&place).unwrap();
        run("tar", &["-x", "-C", text(&place), "-f", text(&dir.join("out/image.oci.tar"))]);
        let read = |name: &str| json(&fs::read_to_string(place.join(name)).unwrap());
        let check = |descriptor: &Value| {
            let digest = descriptor["digest"].as_str().unwrap();
            let file = place.join("blobs").join(digest.replace(':', "/"));
            assert_eq!(descriptor["size"], file.metadata().unwrap().len());
            assert_eq!(format!("sha256:{}", &run("sha256sum", &[text(&file)])[..64]), digest);
            file
        };
        assert_eq!(read("oci-layout")["imageLayoutVersion"], "1.0.0");
        let entry = &read("index.json")["manifests"][0];
        assert_eq!(entry["annotations"]["org.opencontainers.image.ref.name"], "example/fake-os:1");
        let manifest = json(&fs::read_to_string(check(entry)).unwrap());
        let config = json(&fs::read_to_string(check(&manifest["config"])).unwrap());
        assert_eq!((&config["os"], &config["architecture"]), (&"linux".into(), &"amd64".into()));
        assert_eq!(config["created"], "2023-11-14T22:13:20Z");
        let layer = check(&manifest["layers"][0]);
        let plain = dir.join("layer.tar");
        run("sh", &["-c", &format!("gzip -dc < {} > {}", layer.display(), plain.display())]);
        let sum = format!("sha256:{}", &run("sha256sum", &[text(&plain)])[..64]);
        assert_eq!(config["rootfs"]["diff_ids"][0], sum);
        assert!(run("tar", &["-t", "-f", text(&plain)]).contains("./etc/hostname"));
        assert_eq!(read("manifest.json")[0]["RepoTags"][0], "example/fake-os:1");
    });
}

#[test]
fn c8_c9_old_images_are_kept_and_checksums_written() {
    privately(|dir| {
        let options = OutputOptions { checksums: vec![Checksum::Sha256], ..options() };
        write(dir, "raw,tar,qcow2", &options);
        let names = write(dir, "raw,tar,qcow2", &options);
        let dated = names.iter().filter(|n| n.starts_with("image-")).count();
        assert_eq!(dated, 4, "raw and qcow2 with a checksum each, and no tar: {names:?}");
        assert!(names.iter().all(|n| !n.ends_with(".md5")));
        run("sha256sum", &["--check", "--quiet", text(&dir.join("out/image.raw.sha256"))]);
        run("sha256sum", &["--check", "--quiet", text(&dir.join("out/image.qcow2.sha256"))]);
    });
}

#[test]
fn a_raw_image_is_copied_sparsely_to_another_filesystem() {
    privately(|dir| {
        fs::create_dir(dir.join("out")).unwrap();
        let space = Mount::tmpfs(&dir.join("out"), "").unwrap();
        assert_eq!(write(dir, "raw", &options()), ["image.raw"]);
        let raw = dir.join("out/image.raw").metadata().unwrap();
        assert!(raw.blocks() * 512 < raw.len() / 2);
        run("cmp", &[text(&dir.join("out/image.raw")), text(&dir.join("image0.raw"))]);
        space.close().unwrap();
    });
}

#[test]
fn a_failed_output_leaves_none_of_them() {
    privately(|dir| {
        make_tree(&dir.join("tree"));
        // Data that gzip and xz cannot shrink.
        let noise: Vec<u8> =
            (0..200_000u64).flat_map(|i| i.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes()).collect();
        fs::write(dir.join("tree/etc/noise"), noise).unwrap();
        for name in ["out", "work"] {
            fs::create_dir(dir.join(name)).unwrap();
        }
        let space = Mount::tmpfs(&dir.join("out"), "size=1m").unwrap();
        for types in ["tgz,tar", "docker,tar", "squashfs,aci"] {
            let plan = plan_outputs(&dir.join("out/image"), &words(types), &options()).unwrap();
            let sources = Sources { tree: &dir.join("tree"), raw: None, work: &dir.join("work") };
            let error = outputs::write(&plan, &options(), sources, &Reporter::quiet()).unwrap_err();
            assert_eq!(exit_code(&error), EXIT_HOST, "{types}: {}", render(&error));
            assert!(render(&error).contains("out is full"), "{types}: {}", render(&error));
            assert_eq!(names(&dir.join("out")), [] as [String; 0]);
        }
        space.close().unwrap();
    });
}
