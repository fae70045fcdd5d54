//! What a command prints.

use super::arguments::Outcome;

/// How much is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    /// Refusals, broken laws and faults.
    Silent,
    /// Messages, batches, applied entries and reads as well.
    Plain,
    /// Changes of state and events as well.
    #[default]
    Full,
}

impl Level {
    pub(crate) fn parse(word: &str) -> Outcome<Self> {
        match word.to_ascii_lowercase().as_str() {
            "debug" | "info" => Ok(Self::Full),
            "warn" | "error" => Ok(Self::Plain),
            "none" => Ok(Self::Silent),
            _ => Err(format!("{word:?} is no level: debug, info, warn, error or none")),
        }
    }
}

/// The lines of one command.
#[derive(Debug, Default)]
pub(crate) struct Output {
    text: String,
    indented: bool,
    pub(crate) level: Level,
}

impl Output {
    /// Prints a line unless less than this is wanted.
    pub(crate) fn line(&mut self, level: Level, line: &str) {
        if level <= self.level {
            self.text += if self.indented { "  " } else { "" };
            self.text += line;
            self.text.push('\n');
        }
    }

    /// Begins a group under a heading, or ends one.
    pub(crate) fn group(&mut self, heading: Option<&str>) {
        self.indented = false;
        if let Some(heading) = heading {
            self.line(Level::Plain, heading);
            self.indented = true;
        }
    }

    /// Everything printed since the last time.
    pub(crate) fn take(&mut self) -> String {
        self.indented = false;
        std::mem::take(&mut self.text)
    }
}
