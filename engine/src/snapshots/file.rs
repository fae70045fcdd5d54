//! The file of a snapshot: a header that says what it stands for, the pieces that the state machine
//! gave, and an end that says how many there are. Checksums cover every byte, and the number of a
//! piece is part of its checksum, so that none can be missing, doubled or out of place.
//!
//! ```text
//! header   magic 8, version 4, checksum 4, group 8, term 8, index 8, length of the configuration 8
//!          then the configuration; the checksum is of both, with its own field zero
//! piece    length 4 (below the end mark), checksum 4 (of the number 8 and the data), then the data
//! end      end mark 4, checksum 4 (of the two numbers), pieces 8, bytes of data 8
//! ```
//!
//! Numbers are little-endian, checksums CRC-32C.

use std::io::{self, Read, Write};

use raft_core::{ConfState, GroupId, Index, LogId, SnapshotMeta, Term};

const MAGIC: [u8; 8] = *b"FLARSNAP";
const VERSION: u32 = 1;
const HEADER_BYTES: usize = 48;
/// A configuration names nodes in lists of up to 255.
const CONF_BYTES_MAX: u64 = 16 << 10;
const END_MARK: u32 = u32::MAX;
/// The largest piece, in bytes.
pub(crate) const PIECE_BYTES_MAX: usize = 64 << 20;

/// Why a file is not a snapshot. Nothing of it may be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FileError {
    /// The system cannot read or write it.
    #[error("the system says: {0}")]
    Io(#[from] io::Error),
    /// It is no snapshot, or damaged.
    #[error("it is damaged: {0}")]
    Damaged(&'static str),
    /// A later version wrote it.
    #[error("it has version {0} and this program reads version {VERSION}")]
    Version(u32),
}

/// Writes a snapshot, piece after piece.
pub(crate) struct FileWriter<W> {
    out: W,
    pieces: u64,
    bytes: u64,
}

impl<W: Write> FileWriter<W> {
    pub(crate) fn new(mut out: W, group: GroupId, meta: &SnapshotMeta) -> io::Result<Self> {
        let conf = meta.conf.encode();
        let mut head = Vec::with_capacity(HEADER_BYTES + conf.len());
        head.extend_from_slice(&MAGIC);
        head.extend_from_slice(&VERSION.to_le_bytes());
        head.extend_from_slice(&[0; 4]);
        for word in [group.0, meta.last.term.0, meta.last.index.0, conf.len() as u64] {
            head.extend_from_slice(&word.to_le_bytes());
        }
        head.extend_from_slice(&conf);
        let crc = crc32c::crc32c(&head);
        head[12..16].copy_from_slice(&crc.to_le_bytes());
        out.write_all(&head)?;
        Ok(Self { out, pieces: 0, bytes: 0 })
    }

    /// Fails for a piece larger than [`PIECE_BYTES_MAX`] too: nobody could read it.
    pub(crate) fn piece(&mut self, data: &[u8]) -> io::Result<()> {
        if data.len() > PIECE_BYTES_MAX {
            let what = "the state machine gave a piece of more than 64 MiB";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
        }
        let crc = piece_crc(self.pieces, data);
        self.out.write_all(&(data.len() as u32).to_le_bytes())?;
        self.out.write_all(&crc.to_le_bytes())?;
        self.out.write_all(data)?;
        self.pieces += 1;
        self.bytes += data.len() as u64;
        Ok(())
    }

    /// Writes the end and gives back what was written to.
    pub(crate) fn finish(mut self) -> io::Result<W> {
        let numbers = end_numbers(self.pieces, self.bytes);
        self.out.write_all(&END_MARK.to_le_bytes())?;
        self.out.write_all(&crc32c::crc32c(&numbers).to_le_bytes())?;
        self.out.write_all(&numbers)?;
        Ok(self.out)
    }
}

/// Reads a snapshot, piece after piece.
pub(crate) struct FileReader<R> {
    input: R,
    group: GroupId,
    meta: SnapshotMeta,
    pieces: u64,
    bytes: u64,
    over: bool,
}

impl<R: Read> FileReader<R> {
    pub(crate) fn new(mut input: R) -> Result<Self, FileError> {
        let mut head = [0; HEADER_BYTES];
        read_exact(&mut input, &mut head)?;
        if head[..8] != MAGIC {
            return Err(FileError::Damaged("it does not begin like a snapshot"));
        }
        let version = word32(&head, 8);
        if version != VERSION {
            return Err(FileError::Version(version));
        }
        let crc = word32(&head, 12);
        head[12..16].fill(0);
        let [group, term, index, conf_bytes] = [16, 24, 32, 40].map(|at| word64(&head, at));
        if conf_bytes > CONF_BYTES_MAX {
            return Err(FileError::Damaged("its configuration is too long"));
        }
        let mut conf = vec![0; conf_bytes as usize];
        read_exact(&mut input, &mut conf)?;
        if crc32c::crc32c_append(crc32c::crc32c(&head), &conf) != crc {
            return Err(FileError::Damaged("the checksum of its header does not match"));
        }
        let conf = ConfState::decode(&conf)
            .ok_or(FileError::Damaged("its configuration contradicts itself"))?;
        let meta = SnapshotMeta { last: LogId::new(Term(term), Index(index)), conf };
        Ok(Self { input, group: GroupId(group), meta, pieces: 0, bytes: 0, over: false })
    }

    pub(crate) fn group(&self) -> GroupId {
        self.group
    }

    pub(crate) fn meta(&self) -> &SnapshotMeta {
        &self.meta
    }

    /// Reads the next piece into `data`. False at the end, which is then proved to be the end.
    pub(crate) fn next(&mut self, data: &mut Vec<u8>) -> Result<bool, FileError> {
        data.clear();
        if self.over {
            return Ok(false);
        }
        let mut head = [0; 8];
        read_exact(&mut self.input, &mut head)?;
        let (length, crc) = (word32(&head, 0), word32(&head, 4));
        if length == END_MARK {
            return self.end(crc);
        }
        if length as usize > PIECE_BYTES_MAX {
            return Err(FileError::Damaged("a piece is longer than any may be"));
        }
        // As much as there is, not as much as a damaged length promises.
        let got = (&mut self.input).take(u64::from(length)).read_to_end(data)?;
        if got != length as usize {
            return Err(FileError::Damaged("it is cut short"));
        }
        if piece_crc(self.pieces, data) != crc {
            return Err(FileError::Damaged("the checksum of a piece does not match"));
        }
        self.pieces += 1;
        self.bytes += u64::from(length);
        Ok(true)
    }

    fn end(&mut self, crc: u32) -> Result<bool, FileError> {
        let mut numbers = [0; 16];
        read_exact(&mut self.input, &mut numbers)?;
        let whole = numbers == end_numbers(self.pieces, self.bytes);
        if !whole || crc32c::crc32c(&numbers) != crc {
            return Err(FileError::Damaged("its end does not match its pieces"));
        }
        if self.input.read(&mut [0])? != 0 {
            return Err(FileError::Damaged("something follows its end"));
        }
        self.over = true;
        Ok(false)
    }
}

fn piece_crc(number: u64, data: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&number.to_le_bytes()), data)
}

fn end_numbers(pieces: u64, bytes: u64) -> [u8; 16] {
    let mut numbers = [0; 16];
    numbers[..8].copy_from_slice(&pieces.to_le_bytes());
    numbers[8..].copy_from_slice(&bytes.to_le_bytes());
    numbers
}

fn read_exact(input: &mut impl Read, bytes: &mut [u8]) -> Result<(), FileError> {
    input.read_exact(bytes).map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => FileError::Damaged("it is cut short"),
        _ => FileError::Io(error),
    })
}

fn word32(bytes: &[u8], at: usize) -> u32 {
    bytes[at..at + 4].iter().rev().fold(0, |word, byte| word << 8 | u32::from(*byte))
}

fn word64(bytes: &[u8], at: usize) -> u64 {
    bytes[at..at + 8].iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use raft_core::NodeId;

    fn meta() -> SnapshotMeta {
        let conf = ConfState::of_voters([1, 2, 3].map(NodeId));
        SnapshotMeta { last: LogId::new(Term(3), Index(77)), conf }
    }

    fn written(pieces: &[&[u8]]) -> Vec<u8> {
        let mut writer = FileWriter::new(Vec::new(), GroupId(5), &meta()).unwrap();
        pieces.iter().for_each(|piece| writer.piece(piece).unwrap());
        writer.finish().unwrap()
    }

    fn read(bytes: &[u8]) -> Result<(GroupId, SnapshotMeta, Vec<Vec<u8>>), FileError> {
        let mut reader = FileReader::new(bytes)?;
        let (mut pieces, mut piece) = (Vec::new(), Vec::new());
        while reader.next(&mut piece)? {
            pieces.push(piece.clone());
        }
        Ok((reader.group(), reader.meta().clone(), pieces))
    }

    #[test]
    fn what_was_written_is_read() {
        let bytes = written(&[b"one", b"", b"three"]);
        let pieces = [&b"one"[..], b"", b"three"].map(<[u8]>::to_vec).to_vec();
        assert_eq!(read(&bytes).unwrap(), (GroupId(5), meta(), pieces));
        assert_eq!(read(&written(&[])).unwrap().2, Vec::<Vec<u8>>::new());
    }

    #[test]
    fn no_changed_bit_goes_unnoticed() {
        let bytes = written(&[b"one", b"two"]);
        for bit in 0..bytes.len() * 8 {
            let mut changed = bytes.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(read(&changed).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn no_missing_or_added_byte_goes_unnoticed() {
        let bytes = written(&[b"one", b"two"]);
        for length in 0..bytes.len() {
            assert!(read(&bytes[..length]).is_err(), "{length} bytes");
        }
        let longer = [&bytes[..], b"x"].concat();
        assert!(matches!(read(&longer), Err(FileError::Damaged("something follows its end"))));
    }

    #[test]
    fn pieces_out_of_order_are_noticed() {
        let bytes = written(&[b"one", b"two"]);
        let head = bytes.len() - 24 - 2 * 11;
        let mut swapped = bytes.clone();
        swapped[head..head + 11].copy_from_slice(&bytes[head + 11..head + 22]);
        swapped[head + 11..head + 22].copy_from_slice(&bytes[head..head + 11]);
        assert!(matches!(read(&swapped), Err(FileError::Damaged(_))));
    }
}
