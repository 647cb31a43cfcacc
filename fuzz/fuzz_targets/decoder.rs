//! One compressed member; what is behind it is left.
#![no_main]

use std::io::Read;

use image_create::assemble::initramfs::compression::Compression;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some(compression) = Compression::detect(data) else { return };
    let mut rest = data;
    if let Ok(decoder) = compression.decoder(&mut rest) {
        drop(std::io::copy(&mut decoder.take(32 << 20), &mut std::io::sink()));
    }
    assert!(rest.len() <= data.len());
});
