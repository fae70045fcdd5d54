//! Spare buffers, so that idle sockets need none and busy ones do not allocate.

use bytes::BytesMut;

/// Larger buffers go back to the allocator.
const BUFFER_BYTES_MAX: usize = 1 << 20;
/// Spare output buffers hold at most this many bytes together.
const OUTPUT_BYTES_MAX: usize = 8 << 20;
/// Larger input buffers go back to the allocator.
const INPUT_BYTES_MAX: usize = 64 << 10;
/// At most this many spare buffers are kept of each kind.
const COUNT_MAX: usize = 256;

/// Empty buffers that no socket uses.
#[derive(Debug, Default)]
pub(super) struct Buffers {
    outputs: Vec<Vec<u8>>,
    output_bytes: usize,
    inputs: Vec<BytesMut>,
}

impl Buffers {
    /// An empty output buffer.
    pub(super) fn output(&mut self) -> Vec<u8> {
        let buffer = self.outputs.pop().unwrap_or_default();
        self.output_bytes -= buffer.capacity();
        buffer
    }

    /// Takes back an output buffer.
    pub(super) fn recycle_output(&mut self, mut buffer: Vec<u8>) {
        let bytes = buffer.capacity();
        let room = self.output_bytes + bytes <= OUTPUT_BYTES_MAX && self.outputs.len() < COUNT_MAX;
        if (1..=BUFFER_BYTES_MAX).contains(&bytes) && room {
            buffer.clear();
            self.output_bytes += bytes;
            self.outputs.push(buffer);
        }
    }

    /// An empty input buffer with room for `bytes`.
    pub(super) fn input(&mut self, bytes: usize) -> BytesMut {
        self.inputs.pop().unwrap_or_else(|| BytesMut::with_capacity(bytes))
    }

    /// Takes back an input buffer that held at most `peak` bytes at once. What its connection left
    /// unread is forgotten: the next one must never see it.
    pub(super) fn recycle_input(&mut self, mut buffer: BytesMut, peak: usize) {
        buffer.clear();
        if peak <= INPUT_BYTES_MAX && self.inputs.len() < COUNT_MAX {
            self.inputs.push(buffer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_come_back_empty_and_the_spare_ones_are_bounded() {
        let mut buffers = Buffers::default();
        assert_eq!(buffers.output().capacity(), 0);
        buffers.recycle_output(vec![1; 100]);
        let again = buffers.output();
        assert!(again.is_empty() && again.capacity() >= 100);
        buffers.recycle_output(Vec::with_capacity(BUFFER_BYTES_MAX + 1));
        assert!(buffers.outputs.is_empty());
        for _ in 0..100 {
            buffers.recycle_output(Vec::with_capacity(BUFFER_BYTES_MAX));
        }
        assert!(buffers.output_bytes <= OUTPUT_BYTES_MAX);
        buffers.recycle_input(BytesMut::from(&b"unread"[..]), 6);
        assert!(buffers.input(16).is_empty(), "one connection's bytes are no other's");
        buffers.recycle_input(BytesMut::new(), INPUT_BYTES_MAX + 1);
        assert!(buffers.inputs.is_empty());
    }
}
