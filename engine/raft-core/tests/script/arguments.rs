//! The words of a command line.

use std::collections::VecDeque;

/// What a command comes to: nothing, or one sentence that says why not.
pub(crate) type Outcome<T = ()> = Result<T, String>;

/// Numbers beyond this are refused: no script needs them, and sums of them stay small.
pub(crate) const NUMBER_MAX: u64 = u32::MAX as u64;

/// A command and what was said to it. Whoever takes all it knows calls [`Arguments::end`], so that
/// a word nobody asked for is never passed over.
#[derive(Clone, Debug, Default)]
pub(crate) struct Arguments {
    /// The name of the command.
    pub(crate) name: String,
    words: VecDeque<String>,
    options: Vec<(String, Vec<String>)>,
    /// The line after the name, as it was written.
    pub(crate) rest: String,
}

impl Arguments {
    /// Splits a line: words, `key=value` and `key=(value,value)`.
    pub(crate) fn parse(line: &str) -> Outcome<Self> {
        let line = line.trim();
        let (name, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        let mut parsed = Self { name: name.into(), rest: rest.trim().into(), ..Self::default() };
        // What is proposed may look like anything.
        if parsed.name == "propose" {
            return Ok(parsed);
        }
        let mut left = parsed.rest.clone();
        while !left.is_empty() {
            let open = left.find('(').unwrap_or(usize::MAX);
            let space = left.find(char::is_whitespace).unwrap_or(left.len());
            let end =
                if open < space { left.find(')').ok_or("a list has no end")? + 1 } else { space };
            let (word, behind) = left.split_at(end);
            parsed.take(word);
            left = behind.trim_start().into();
        }
        Ok(parsed)
    }

    fn take(&mut self, word: &str) {
        match word.split_once('=') {
            Some((key, value)) => {
                let values = value.split(|c: char| "(),".contains(c) || c.is_whitespace());
                let values = values.filter(|v| !v.is_empty()).map(Into::into).collect();
                self.options.push((key.into(), values));
            }
            None => self.words.push_back(word.into()),
        }
    }

    /// Adds the words of a following line.
    pub(crate) fn extend(&mut self, line: &str) {
        self.words.extend(line.split_whitespace().map(Into::into));
    }

    /// Whether there are words left.
    pub(crate) fn has_words(&self) -> bool {
        !self.words.is_empty()
    }

    /// The next word.
    pub(crate) fn word(&mut self, what: &str) -> Outcome<String> {
        self.words.pop_front().ok_or_else(|| format!("{what} is missing"))
    }

    /// Whether nothing follows the first word but options.
    pub(crate) fn has_no_steps(&self) -> bool {
        self.words.len() <= 1
    }

    /// All words that are left.
    pub(crate) fn words(&mut self) -> Vec<String> {
        self.words.drain(..).collect()
    }

    /// The next word, a number.
    pub(crate) fn number(&mut self, what: &str) -> Outcome<u64> {
        number(&self.word(what)?)
    }

    /// All words that are left, numbers.
    pub(crate) fn numbers(&mut self) -> Outcome<Vec<u64>> {
        self.words().iter().map(|w| number(w)).collect()
    }

    /// The values of an option, if it is there; said twice, all of them.
    pub(crate) fn option(&mut self, key: &str) -> Option<Vec<String>> {
        let (mut found, mut values) = (false, Vec::new());
        self.options.retain_mut(|(k, v)| {
            let is = k == key;
            if is {
                found = true;
                values.append(v);
            }
            !is
        });
        found.then_some(values)
    }

    /// The one value of an option, if it is there.
    pub(crate) fn value(&mut self, key: &str) -> Outcome<Option<String>> {
        match self.option(key).as_deref() {
            None => Ok(None),
            Some([value]) => Ok(Some(value.clone())),
            Some(_) => Err(format!("{key} takes one value")),
        }
    }

    /// An option that is a number, if it is there.
    pub(crate) fn count(&mut self, key: &str) -> Outcome<Option<u64>> {
        self.value(key)?.map(|v| number(&v)).transpose()
    }

    /// An option that is a list of numbers; empty if it is not there.
    pub(crate) fn list(&mut self, key: &str) -> Outcome<Vec<u64>> {
        self.option(key).unwrap_or_default().iter().map(|v| number(v)).collect()
    }

    /// An option that is `true` or `false`, if it is there.
    pub(crate) fn flag(&mut self, key: &str) -> Outcome<Option<bool>> {
        match self.value(key)?.as_deref() {
            None => Ok(None),
            Some("true") => Ok(Some(true)),
            Some("false") => Ok(Some(false)),
            Some(_) => Err(format!("{key} is true or false")),
        }
    }

    /// Refuses what is left over.
    pub(crate) fn end(&self) -> Outcome {
        match (self.words.front(), self.options.first()) {
            (Some(word), _) => Err(format!("{word:?} means nothing here")),
            (None, Some((key, _))) => Err(format!("there is no option {key:?} here")),
            (None, None) => Ok(()),
        }
    }
}

/// A number that is not too large.
pub(crate) fn number(word: &str) -> Outcome<u64> {
    let number = word.parse().map_err(|_| format!("{word:?} is not a number"))?;
    if number > NUMBER_MAX { Err(format!("{number} is too large")) } else { Ok(number) }
}
