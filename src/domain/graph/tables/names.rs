//! Names by number: types, points and sources come up in millions of rows and are few.

use foldhash::fast::FixedState;
use hashbrown::HashMap;

/// A table of names, numbered from 0 in the order in which they first came up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    names: Vec<Box<str>>,
    numbers: HashMap<Box<str>, u16, FixedState>,
}

impl Names {
    /// The number of a name, given to it now if it has none.
    ///
    /// Past 65,535 names, all further ones share the last number; the settings' limits on sources
    /// and points keep it from coming to that.
    pub fn number(&mut self, name: &str) -> u16 {
        if let Some(number) = self.numbers.get(name) {
            return *number;
        }
        let number = u16::try_from(self.names.len()).unwrap_or(u16::MAX);
        if number < u16::MAX {
            self.names.push(name.into());
            self.numbers.insert(name.into(), number);
        }
        number
    }

    /// The number of a name that came up before.
    pub fn find(&self, name: &str) -> Option<u16> {
        self.numbers.get(name).copied()
    }

    /// The name of a number.
    pub fn name(&self, number: u16) -> &str {
        self.names.get(number as usize).map_or("", |name| name)
    }

    /// How many names there are.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether no name came up yet.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// The names in the order of their numbers.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(AsRef::as_ref)
    }
}
