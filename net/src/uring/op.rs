//! Which operation of which socket a completion belongs to.

/// An operation on a socket. At most one of each kind is in flight per socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Op {
    /// Accept connections until told otherwise.
    Accept = 0,
    Connect = 1,
    Receive = 2,
    Send = 3,
    /// The pause of a listener that cannot accept.
    Wait = 4,
    /// Nothing: its completion is the occasion to report an end.
    Notice = 5,
}

impl Op {
    pub(super) const ALL: [Self; 6] =
        [Self::Accept, Self::Connect, Self::Receive, Self::Send, Self::Wait, Self::Notice];
}

/// A set of operations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct OpSet(u8);

impl OpSet {
    pub(super) const fn contains(self, op: Op) -> bool {
        self.0 & (1 << op as u8) != 0
    }

    pub(super) const fn insert(&mut self, op: Op) {
        self.0 |= 1 << op as u8;
    }

    pub(super) const fn remove(&mut self, op: Op) {
        self.0 &= !(1 << op as u8);
    }

    pub(super) const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

/// The marks on an operation and on its completion: tag(8), op(8), generation(16), slot(32).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct UserData {
    /// Whose completion it is among those who share the ring.
    pub(super) tag: u8,
    /// The operation, or the one to be cancelled.
    pub(super) op: Op,
    /// Whether this is the request to cancel `op` rather than `op` itself.
    pub(super) cancel: bool,
    /// The low bits of the socket's generation.
    pub(super) generation: u16,
    /// The socket's place in the slab.
    pub(super) slot: u32,
}

const CANCEL: u8 = 0x80;

impl UserData {
    pub(super) const fn pack(self) -> u64 {
        let op = self.op as u8 | if self.cancel { CANCEL } else { 0 };
        (self.tag as u64) << 56
            | (op as u64) << 48
            | (self.generation as u64) << 32
            | self.slot as u64
    }

    pub(super) fn unpack(bits: u64) -> Option<Self> {
        let op = (bits >> 48) as u8;
        Some(Self {
            tag: (bits >> 56) as u8,
            op: *Op::ALL.get(usize::from(op & !CANCEL))?,
            cancel: op & CANCEL != 0,
            generation: (bits >> 32) as u16,
            slot: bits as u32,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_survives_the_ring() {
        for op in Op::ALL {
            for cancel in [false, true] {
                let data =
                    UserData { tag: 0xAB, op, cancel, generation: 0xFEDC, slot: 0x8765_4321 };
                assert_eq!(UserData::unpack(data.pack()), Some(data));
                assert_eq!(data.pack() >> 56, 0xAB);
            }
        }
        assert_eq!(UserData::unpack(u64::MAX), None);
    }
}
