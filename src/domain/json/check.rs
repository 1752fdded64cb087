//! Is it JSON (RFC 8259), how deep, and how many keys: one pass without recursion.

/// What a JSON text is, on the outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Root {
    /// `{…}`
    Object,
    /// `[…]`
    Array,
    /// Anything else.
    Scalar,
}

/// What [`check`] counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Measure {
    /// The outermost value.
    pub root: Root,
    /// Where it starts.
    pub start: usize,
    /// Objects and arrays inside each other at the deepest place; 0 for a scalar.
    pub depth: usize,
    /// Keys of all objects together.
    pub keys: usize,
}

/// Where a text stops being JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected {expected} at byte {at}")]
pub struct Syntax {
    /// Bytes from the start.
    pub at: usize,
    /// What would have been right there.
    pub expected: &'static str,
}

/// Reads one JSON value with nothing but white space around it.
///
/// Depth does not cost stack: the open brackets are a bit each, so a megabyte of `[` takes 128 KiB.
///
/// # Errors
/// The first place at which the text is not JSON.
pub fn check(text: &str) -> Result<Measure, Syntax> {
    let mut scan = Scan { bytes: text.as_bytes(), at: 0, open: Open::default(), keys: 0 };
    let start = scan.space();
    let root = match scan.peek() {
        Some(b'{') => Root::Object,
        Some(b'[') => Root::Array,
        _ => Root::Scalar,
    };
    scan.document()?;
    Ok(Measure { root, start, depth: scan.open.deepest, keys: scan.keys })
}

/// The open brackets: a set bit is an object, a clear one an array.
#[derive(Default)]
struct Open {
    bits: Vec<u64>,
    len: usize,
    deepest: usize,
}

impl Open {
    fn push(&mut self, object: bool) {
        let (word, bit) = (self.len / 64, self.len % 64);
        if word == self.bits.len() {
            self.bits.push(0);
        }
        let mask = 1u64 << bit;
        if object {
            self.bits[word] |= mask;
        } else {
            self.bits[word] &= !mask;
        }
        self.len += 1;
        self.deepest = self.deepest.max(self.len);
    }

    fn pop(&mut self) {
        self.len = self.len.saturating_sub(1);
    }

    fn innermost_is_object(&self) -> Option<bool> {
        let last = self.len.checked_sub(1)?;
        Some(self.bits[last / 64] & (1 << (last % 64)) != 0)
    }
}

struct Scan<'a> {
    bytes: &'a [u8],
    at: usize,
    open: Open,
    keys: usize,
}

impl Scan<'_> {
    #[inline]
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    #[inline]
    fn space(&mut self) -> usize {
        self.at = crate::domain::json::skip_space(self.bytes, self.at);
        self.at
    }

    fn wrong<T>(&self, expected: &'static str) -> Result<T, Syntax> {
        Err(Syntax { at: self.at, expected })
    }

    fn document(&mut self) -> Result<(), Syntax> {
        self.value()?;
        while let Some(is_object) = self.open.innermost_is_object() {
            self.space();
            match (self.peek(), is_object) {
                (Some(b','), true) => {
                    self.at += 1;
                    self.space();
                    self.key()?;
                    self.value()?;
                }
                (Some(b','), false) => {
                    self.at += 1;
                    self.value()?;
                }
                (Some(b'}'), true) | (Some(b']'), false) => {
                    self.at += 1;
                    self.open.pop();
                }
                (_, true) => return self.wrong("`,` or `}`"),
                (_, false) => return self.wrong("`,` or `]`"),
            }
        }
        self.space();
        if self.at == self.bytes.len() { Ok(()) } else { self.wrong("the end of the text") }
    }

    /// A scalar whole, or a container up to and with its first scalar; [`Scan::document`] goes on.
    fn value(&mut self) -> Result<(), Syntax> {
        loop {
            self.space();
            match self.peek() {
                Some(b'"') => return self.string(),
                Some(b'{') => {
                    self.at += 1;
                    self.open.push(true);
                    self.space();
                    if self.peek() == Some(b'}') {
                        self.at += 1;
                        self.open.pop();
                        return Ok(());
                    }
                    self.key()?;
                }
                Some(b'[') => {
                    self.at += 1;
                    self.open.push(false);
                    self.space();
                    if self.peek() == Some(b']') {
                        self.at += 1;
                        self.open.pop();
                        return Ok(());
                    }
                }
                Some(b'-' | b'0'..=b'9') => return self.number(),
                Some(b't') => return self.word("true"),
                Some(b'f') => return self.word("false"),
                Some(b'n') => return self.word("null"),
                _ => return self.wrong("a value"),
            }
        }
    }

    fn key(&mut self) -> Result<(), Syntax> {
        if self.peek() != Some(b'"') {
            return self.wrong("a key in double quotes");
        }
        self.string()?;
        self.keys += 1;
        self.space();
        if self.peek() != Some(b':') {
            return self.wrong("`:`");
        }
        self.at += 1;
        Ok(())
    }

    fn string(&mut self) -> Result<(), Syntax> {
        self.at += 1;
        loop {
            while let Some(word) = self.bytes.get(self.at..).and_then(<[u8]>::first_chunk)
                && is_plain(u64::from_le_bytes(*word))
            {
                self.at += 8;
            }
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(());
                }
                Some(b'\\') => self.escape()?,
                Some(0..0x20) => return self.wrong("no control character in a string"),
                Some(_) => self.at += 1,
                None => return self.wrong("the end of a string"),
            }
        }
    }

    fn escape(&mut self) -> Result<(), Syntax> {
        self.at += 1;
        match self.peek() {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 1,
            Some(b'u') => {
                let digits = self.bytes.get(self.at + 1..self.at + 5).unwrap_or_default();
                if digits.len() != 4 || !digits.iter().all(u8::is_ascii_hexdigit) {
                    return self.wrong("four hex digits after `\\u`");
                }
                self.at += 5;
            }
            _ => return self.wrong("an escape of JSON"),
        }
        Ok(())
    }

    fn number(&mut self) -> Result<(), Syntax> {
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        match self.peek() {
            Some(b'0') => self.at += 1,
            _ => self.digits()?,
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(())
    }

    fn digits(&mut self) -> Result<(), Syntax> {
        if !matches!(self.peek(), Some(b'0'..=b'9')) {
            return self.wrong("a digit");
        }
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
        Ok(())
    }

    fn word(&mut self, word: &'static str) -> Result<(), Syntax> {
        if self.bytes[self.at..].starts_with(word.as_bytes()) {
            self.at += word.len();
            Ok(())
        } else {
            self.wrong(word)
        }
    }
}

/// Whether none of eight bytes ends a string, begins an escape or is a control character: in each
/// byte's subtraction, only a byte that is smaller than what is taken off it borrows its high bit.
#[inline]
fn is_plain(word: u64) -> bool {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    const HIGH: u64 = u64::from_ne_bytes([0x80; 8]);
    let has_below = |word: u64, bound: u64| word.wrapping_sub(ONES * bound) & !word & HIGH != 0;
    let has = |byte: u8| has_below(word ^ (ONES * u64::from(byte)), 1);
    !has_below(word, 0x20) && !has(b'"') && !has(b'\\')
}
