//! gzip on all processors: the input is cut into pieces, and each becomes a gzip member of its own.
//!
//! Members one after another are one gzip file (RFC 1952, 2.2). The result depends on the input only.

use std::io::{self, Read, Write};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use flate2::Compression;
use flate2::write::GzEncoder;

/// The length of a piece: large enough to lose nothing that matters to the compression.
const PIECE: usize = 1 << 20;

type Work = (Vec<u8>, SyncSender<io::Result<Vec<u8>>>);

/// Compresses everything from `input` to `output` at `level` (1 to 9).
///
/// # Errors
/// When reading or writing fails.
pub fn compress(input: &mut dyn Read, output: &mut (dyn Write + Send), level: u32) -> io::Result<()> {
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    let (send_work, work) = sync_channel::<Work>(workers);
    let (send_result, results) = sync_channel::<Receiver<io::Result<Vec<u8>>>>(workers * 2);
    let work = Mutex::new(work);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| while let Some(()) = compress_one(&work, level) {});
        }
        let writer = scope.spawn(move || {
            for result in results {
                let member = result.recv().map_err(|_| io::Error::other("a compressing thread died"))??;
                output.write_all(&member)?;
            }
            output.flush()
        });
        let read = feed(input, &send_work, &send_result);
        // Closing the channels ends the workers and the writer.
        drop(send_work);
        drop(send_result);
        let written = writer.join().unwrap_or_else(|_| Err(io::Error::other("the writing thread died")));
        // When the writer fails, feeding stops too, for a reason that says nothing.
        written.and(read)
    })
}

/// Takes one piece of work; `None` when there is no more.
fn compress_one(work: &Mutex<Receiver<Work>>, level: u32) -> Option<()> {
    let next = work.lock().unwrap_or_else(|e| e.into_inner()).recv();
    let (piece, reply) = next.ok()?;
    let mut encoder = GzEncoder::new(Vec::with_capacity(piece.len() / 2), Compression::new(level));
    let result = encoder.write_all(&piece).and_then(|()| encoder.finish());
    // Nobody listens any more when writing has failed.
    drop(reply.send(result));
    Some(())
}

/// Cuts the input and hands out the pieces; stops early when nobody takes them any more.
fn feed(
    input: &mut dyn Read,
    work: &SyncSender<Work>,
    results: &SyncSender<Receiver<io::Result<Vec<u8>>>>,
) -> io::Result<()> {
    let mut first = true;
    loop {
        let mut piece = Vec::with_capacity(PIECE);
        (&mut *input).take(PIECE as u64).read_to_end(&mut piece)?;
        // Even an empty input makes one member: nothing at all is no gzip file.
        if piece.is_empty() && !first {
            return Ok(());
        }
        first = false;
        let (reply, result) = sync_channel(1);
        if results.send(result).is_err() || work.send((piece, reply)).is_err() {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round_trip(data: &[u8]) -> Vec<u8> {
        let mut packed = Vec::new();
        compress(&mut &*data, &mut packed, 9).unwrap();
        let mut back = Vec::new();
        flate2::read::MultiGzDecoder::new(&packed[..]).read_to_end(&mut back).unwrap();
        assert!(back == data);
        packed
    }

    #[test]
    fn what_is_compressed_comes_back_and_is_the_same_each_time() {
        let data: Vec<u8> = (0..900_000u32).flat_map(|i| (i / 7).to_le_bytes()).collect();
        assert!(round_trip(&data) == round_trip(&data));
        round_trip(b"");
        round_trip(&data[..PIECE]);
    }

    #[test]
    fn a_full_disk_ends_it_with_the_writers_error() {
        struct Full;
        impl Write for Full {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::Error::from_raw_os_error(nix::libc::ENOSPC))
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let error = compress(&mut io::repeat(7).take(50 << 20), &mut Full, 1).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(nix::libc::ENOSPC));
    }
}
