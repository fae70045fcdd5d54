//! Which groups have output.

/// Slots that a poll must visit, each once, in the order in which they got something to say.
#[derive(Clone, Debug, Default)]
pub(crate) struct Dirty {
    slots: Vec<u32>,
    marked: Vec<bool>,
}

impl Dirty {
    /// One more slot exists.
    pub(crate) fn grow(&mut self) {
        self.marked.push(false);
    }

    pub(crate) fn mark(&mut self, slot: u32) {
        let marked = &mut self.marked[slot as usize];
        if !*marked {
            *marked = true;
            self.slots.push(slot);
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Moves the slots into `out`, which must be empty, and forgets them.
    pub(crate) fn take(&mut self, out: &mut Vec<u32>) {
        std::mem::swap(&mut self.slots, out);
        for slot in out {
            self.marked[*slot as usize] = false;
        }
    }
}
