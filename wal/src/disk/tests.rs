//! What a killed process leaves behind, and folders that were not there.

use io_uring::{IoUring, opcode, types};
use tempfile::TempDir;

use super::*;

fn folder() -> TempDir {
    let exe = std::env::current_exe().unwrap();
    TempDir::new_in(exe.parent().unwrap()).unwrap()
}

const PIECE: usize = 512 << 10;
const PIECES: usize = 8;
const FILE: &str = "WAL_SETTLE_FILE";

/// A control group in which this disk is slow: what is begun there takes half a second.
struct Slow(PathBuf);

impl Slow {
    fn new(file: &Path) -> Option<Self> {
        let group = Path::new("/sys/fs/cgroup/blkio").join(format!("wal-{}", std::process::id()));
        fs::create_dir(&group).ok()?;
        let slow = Self(group);
        let device = std::os::unix::fs::MetadataExt::dev(&fs::metadata(file).ok()?);
        let rate = format!("{}:{} {}", libc::major(device), libc::minor(device), 8 << 20);
        fs::write(slow.0.join("blkio.throttle.write_bps_device"), rate).ok()?;
        Some(slow)
    }
}

impl Drop for Slow {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.0);
    }
}

/// Begins a few writes and dies.
fn child(path: &Path) {
    if let Some(group) = std::env::var_os("WAL_SETTLE_GROUP") {
        fs::write(Path::new(&group).join("cgroup.procs"), std::process::id().to_string()).unwrap();
    }
    let file = open_direct(path).unwrap();
    let (mut bytes, mut ring) = (Blocks::zeroed(PIECE), IoUring::new(PIECES as u32).unwrap());
    bytes.bytes_mut().fill(std::process::id() as u8 | 1);
    for piece in 0..PIECES {
        let (fd, at) = (types::Fd(file.as_raw_fd()), (piece * PIECE) as u64);
        let write = opcode::Write::new(fd, bytes.bytes().as_ptr(), PIECE as u32).offset(at);
        // SAFETY: the process ends without freeing the bytes.
        unsafe { ring.submission().push(&write.build()) }.unwrap();
    }
    ring.submit().unwrap();
    // SAFETY: a signal to this process; no memory is touched.
    unsafe { libc::kill(libc::getpid(), libc::SIGKILL) };
}

/// The death of a process does not stop the writes it has begun.
#[test]
fn writes_of_a_killed_process_end_before_anything_is_read() {
    if let Some(path) = std::env::var_os(FILE) {
        child(Path::new(&path));
    }
    let dir = folder();
    let path = path_of(dir.path(), SegmentId(1));
    fs::write(&path, vec![0; PIECE * PIECES]).unwrap();
    File::open(&path).unwrap().sync_all().unwrap();
    let slow = Slow::new(&path);
    if slow.is_none() {
        println!("the disk cannot be slowed down here: the test sees less");
    }
    for round in 0..3 {
        let name = "disk::tests::writes_of_a_killed_process_end_before_anything_is_read";
        let mut process = std::process::Command::new(std::env::current_exe().unwrap());
        process.args(["--exact", name]).env(FILE, &path).stdout(std::process::Stdio::null());
        if let Some(Slow(group)) = &slow {
            process.env("WAL_SETTLE_GROUP", group);
        }
        assert!(!process.status().unwrap().success());
        let mut folder = Folder::new(dir.path(), Access::Direct);
        assert_eq!(folder.segments().unwrap(), [(SegmentId(1), (PIECE * PIECES) as u64)]);
        let (mut found, mut later) = (Blocks::zeroed(PIECE * PIECES), Blocks::zeroed(0));
        folder.read(SegmentId(1), 0, found.bytes_mut()).unwrap();
        for _ in 0..2 {
            thread::sleep(Duration::from_millis(400));
            later = Blocks::zeroed(PIECE * PIECES);
            folder.read(SegmentId(1), 0, later.bytes_mut()).unwrap();
        }
        let same = found.bytes() == later.bytes();
        assert!(same || !folder.is_settled(), "round {round}: a write was under way");
    }
}

#[test]
fn a_folder_is_made_with_all_above_it() {
    let dir = folder();
    let deep = dir.path().join("data/core-000/wal");
    drop(lock(&deep).unwrap());
    drop(lock(&deep).unwrap());
    assert!(deep.join("LOCK").exists());
}
