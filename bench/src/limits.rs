//! What the machine itself can do: the figures that every other figure is held against.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::error::{BenchError, Tried};
use crate::load::histogram;

const BLOCK_BYTES: usize = 4096;
/// Each writer goes round in a region of this size that was filled before.
const REGION_BYTES: usize = 16 << 20;

/// Durable writes of 4 KiB at one depth.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct DiskRate {
    /// Writes under way at once.
    pub(crate) depth: usize,
    /// Durable writes per second.
    pub(crate) per_second: f64,
    /// Median time of one, in microseconds.
    pub(crate) p50_micros: f64,
    /// 99th percentile, in microseconds.
    pub(crate) p99_micros: f64,
}

/// Round trips of 64 bytes over loopback TCP between two threads.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Loopback {
    /// Round trips per second, one at a time.
    pub(crate) per_second: f64,
    /// Median time of one, in microseconds.
    pub(crate) p50_micros: f64,
}

/// Measures durable writes: O_DIRECT and O_DSYNC, 4 KiB, one thread per write under way.
pub(crate) fn disk(
    folder: &Path,
    depth: usize,
    measured: Duration,
) -> Result<DiskRate, BenchError> {
    let path = folder.join("bench-disk");
    fill(&path, depth * REGION_BYTES)?;
    let file = OpenOptions::new()
        .write(true)
        .custom_flags(libc::O_DIRECT | libc::O_DSYNC)
        .open(&path)
        .tried(format!("opening {} with O_DIRECT", path.display()))?;
    let file = Arc::new(file);
    let started = Instant::now();
    let until = started + measured;
    let writers: Vec<_> = (0..depth)
        .map(|writer| {
            let file = Arc::clone(&file);
            thread::spawn(move || write_until(&file, writer * REGION_BYTES, until))
        })
        .collect();
    let mut all = histogram()?;
    for writer in writers {
        let part =
            writer.join().map_err(|_| BenchError::Usage("a writer panicked".to_owned()))??;
        all.add(&part).map_err(|error| BenchError::Usage(error.to_string()))?;
    }
    let elapsed = started.elapsed().as_secs_f64();
    std::fs::remove_file(&path).tried(format!("removing {}", path.display()))?;
    Ok(DiskRate {
        depth,
        per_second: all.len() as f64 / elapsed,
        p50_micros: all.value_at_quantile(0.5) as f64 / 1e3,
        p99_micros: all.value_at_quantile(0.99) as f64 / 1e3,
    })
}

fn fill(path: &Path, bytes: usize) -> Result<(), BenchError> {
    let mut file = File::create(path).tried(format!("making {}", path.display()))?;
    let zeros = vec![0; 1 << 20];
    for _ in 0..bytes / zeros.len() {
        file.write_all(&zeros).tried("filling the test file")?;
    }
    file.sync_all().tried("filling the test file")
}

fn write_until(file: &File, region: usize, until: Instant) -> Result<Histogram<u64>, BenchError> {
    // O_DIRECT wants the memory aligned as well; a vector twice as long holds an aligned block.
    let memory = vec![0xa5u8; 2 * BLOCK_BYTES];
    let skip = memory.as_ptr().align_offset(BLOCK_BYTES);
    let block = memory
        .get(skip..skip + BLOCK_BYTES)
        .ok_or_else(|| BenchError::Usage("no aligned block".to_owned()))?;
    let mut latency = histogram()?;
    let mut at = 0;
    while Instant::now() < until {
        let started = Instant::now();
        file.write_all_at(block, (region + at) as u64).tried("writing durably")?;
        let nanos = started.elapsed().as_nanos() as u64;
        latency.saturating_record(nanos);
        at = (at + BLOCK_BYTES) % REGION_BYTES;
    }
    Ok(latency)
}

/// Measures round trips over loopback TCP.
pub(crate) fn loopback(measured: Duration) -> Result<Loopback, BenchError> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).tried("listening")?;
    let address = listener.local_addr().tried("listening")?;
    let echo = thread::spawn(move || -> std::io::Result<()> {
        let (mut stream, _) = listener.accept()?;
        stream.set_nodelay(true)?;
        let mut message = [0u8; 64];
        while stream.read_exact(&mut message).is_ok() {
            stream.write_all(&message)?;
        }
        Ok(())
    });
    let mut stream = TcpStream::connect(address).tried("connecting over loopback")?;
    stream.set_nodelay(true).tried("TCP_NODELAY")?;
    let mut latency = histogram()?;
    let mut message = [7u8; 64];
    let started = Instant::now();
    while started.elapsed() < measured {
        let sent = Instant::now();
        stream.write_all(&message).tried("sending over loopback")?;
        stream.read_exact(&mut message).tried("receiving over loopback")?;
        latency.saturating_record(sent.elapsed().as_nanos() as u64);
    }
    let elapsed = started.elapsed().as_secs_f64();
    drop(stream);
    echo.join()
        .map_err(|_| BenchError::Usage("the echo thread panicked".to_owned()))?
        .tried("echoing over loopback")?;
    Ok(Loopback {
        per_second: latency.len() as f64 / elapsed,
        p50_micros: latency.value_at_quantile(0.5) as f64 / 1e3,
    })
}

/// GiB per second of CRC-32C over blocks of 4 KiB on one processor.
pub(crate) fn checksum(measured: Duration) -> f64 {
    let block = vec![0x5au8; BLOCK_BYTES];
    let started = Instant::now();
    let mut blocks = 0u64;
    let mut crc = 0;
    while started.elapsed() < measured {
        for _ in 0..256 {
            crc = crc32c::crc32c_append(crc, std::hint::black_box(&block));
        }
        blocks += 256;
    }
    std::hint::black_box(crc);
    let bytes = blocks as f64 * BLOCK_BYTES as f64;
    bytes / started.elapsed().as_secs_f64() / f64::from(1 << 30)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_measured() {
        let short = Duration::from_millis(50);
        assert!(loopback(short).unwrap().per_second > 10.0);
        assert!(checksum(short) > 0.001);
        let folder = crate::process::Scratch::new(Path::new("."), "limits").unwrap();
        let rate = disk(folder.path(), 2, short).unwrap();
        assert!(rate.per_second > 1.0 && rate.p50_micros <= rate.p99_micros);
    }
}
