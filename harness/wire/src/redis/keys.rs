//! Where the keys of a command stand, found while its arguments pass by.

/// Where the keys stand, by the table of commands. Places count from the name, which is 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// It has none.
    Keyless,
    /// It has subcommands, each with a row of its own.
    Container,
    /// First, last (negative: from the end), step.
    Range(u32, i32, u32),
    /// Their number stands at this place, and they follow it, with this step.
    Counted(u32, u32),
    /// The first is where the result is stored; then a number and as many keys.
    StoreCounted,
    /// The first half of what follows STREAMS.
    Streams,
    /// The first, and what follows STORE.
    Sort,
    /// The first, and what follows STORE or STOREDIST from this place on.
    Radius(u32),
    /// The third, or, if it is empty, all that follows KEYS.
    Migrate,
}

/// What is to be done with an argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// Nothing: it streams by.
    Skip,
    /// It is a key.
    Key,
    /// It is looked at, by [`Finder::word`].
    Word,
}

/// Which of the keys so far are none after all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Undo {
    Nothing,
    /// A later STORE holds, and not the one before it.
    Last,
    /// The empty third argument of MIGRATE.
    All,
}

/// What an option's word says of the arguments after it.
#[derive(Debug, Clone, Copy)]
enum Then {
    Skip(u32),
    StoreKey,
    Streams,
    KeysToEnd,
}

type Options = &'static [(&'static str, Then)];

const SORT: Options = &[
    ("LIMIT", Then::Skip(2)),
    ("GET", Then::Skip(1)),
    ("BY", Then::Skip(1)),
    ("STORE", Then::StoreKey),
];
const RADIUS: Options = &[("STORE", Then::StoreKey), ("STOREDIST", Then::StoreKey)];
const STREAMS: Options = &[
    ("BLOCK", Then::Skip(1)),
    ("COUNT", Then::Skip(1)),
    ("GROUP", Then::Skip(2)),
    ("STREAMS", Then::Streams),
];
const MIGRATE: Options = &[
    ("AUTH", Then::Skip(1)),
    ("AUTH2", Then::Skip(2)),
    ("KEYS", Then::KeysToEnd),
];

#[derive(Debug, Clone, Copy)]
enum Search {
    /// The range is all there is.
    Over,
    /// The argument at this place tells how many keys follow, with this step.
    Number(u32, u32),
    /// From this place on, options are looked at.
    Options(u32, Options),
}

/// Follows one command's arguments and tells which are keys.
#[derive(Debug, Clone, Copy)]
pub(super) struct Finder {
    argument_count: u32,
    next: u32,
    end: u32,
    step: u32,
    search: Search,
    has_store: bool,
    is_third_empty: bool,
}

impl Default for Finder {
    fn default() -> Self {
        Self {
            argument_count: 0,
            next: 0,
            end: 0,
            step: 1,
            search: Search::Over,
            has_store: false,
            is_third_empty: false,
        }
    }
}

impl Finder {
    pub(super) fn new(place: Place, argument_count: u32) -> Self {
        let mut finder = Self {
            argument_count,
            ..Self::default()
        };
        match place {
            Place::Keyless | Place::Container => {}
            Place::Range(first, last, step) => finder.range(first, last, step),
            Place::Counted(at, step) => finder.search = Search::Number(at, step),
            Place::StoreCounted => {
                finder.range(1, 1, 1);
                finder.search = Search::Number(2, 1);
            }
            Place::Streams => finder.search = Search::Options(1, STREAMS),
            Place::Sort => {
                finder.range(1, 1, 1);
                finder.search = Search::Options(2, SORT);
            }
            Place::Radius(from) => {
                finder.range(1, 1, 1);
                finder.search = Search::Options(from, RADIUS);
            }
            Place::Migrate => {
                finder.range(3, 3, 1);
                if argument_count > 6 {
                    finder.search = Search::Options(6, MIGRATE);
                }
            }
        }
        finder
    }

    fn range(&mut self, first: u32, last: i32, step: u32) {
        let end = if last < 0 {
            i64::from(self.argument_count) + i64::from(last) + 1
        } else {
            i64::from(last) + 1
        };
        let end = u32::try_from(end).unwrap_or(0).min(self.argument_count);
        (self.next, self.end, self.step) = (first, end, step);
    }

    /// What the argument at this place is for.
    pub(super) fn role(&self, at: u32) -> Role {
        if at == self.next && at < self.end {
            return Role::Key;
        }
        match self.search {
            Search::Number(number, _) if at == number => Role::Word,
            Search::Options(from, _) if at == from => Role::Word,
            _ => Role::Skip,
        }
    }

    /// Keys that are known to come, at this or a later argument.
    pub(super) fn keys_left(&self) -> u32 {
        match self.end.saturating_sub(self.next) {
            0 => 0,
            left => left.div_ceil(self.step),
        }
    }

    /// Whether nothing is left to be found: at most keys whose number is known.
    pub(super) fn is_search_over(&self) -> bool {
        match self.search {
            Search::Over => true,
            Search::Number(at, _) | Search::Options(at, _) => at >= self.argument_count,
        }
    }

    /// A key has passed.
    pub(super) fn key(&mut self, at: u32, length: u64) {
        self.is_third_empty |= at == 3 && length == 0;
        self.next = at.saturating_add(self.step);
    }

    /// An argument to be looked at has passed; empty if it was too long to be of use.
    pub(super) fn word(&mut self, at: u32, word: &[u8]) -> Undo {
        match self.search {
            Search::Over => Undo::Nothing,
            Search::Number(_, step) => {
                self.search = Search::Over;
                self.count(at, word, step);
                Undo::Nothing
            }
            Search::Options(_, options) => self.option(at, word, options),
        }
    }

    fn count(&mut self, at: u32, word: &[u8], step: u32) {
        let number = str::from_utf8(word).ok().and_then(|text| text.parse().ok());
        let room = (self.argument_count - at - 1) / step;
        if let Some(number) = number.filter(|number: &u32| *number <= room) {
            (self.next, self.end, self.step) = (at + 1, at + 1 + number * step, step);
        }
    }

    fn option(&mut self, at: u32, word: &[u8], options: Options) -> Undo {
        let then = options
            .iter()
            .find(|(name, _)| name.as_bytes().eq_ignore_ascii_case(word))
            .map_or(Then::Skip(0), |(_, then)| *then);
        let rest = self.argument_count - at - 1;
        self.search = Search::Options(at.saturating_add(1), options);
        match then {
            Then::Skip(count) => {
                self.search = Search::Options(at.saturating_add(1 + count), options);
            }
            Then::StoreKey if rest > 0 => {
                (self.next, self.end, self.step) = (at + 1, at + 2, 1);
                self.search = Search::Options(at + 2, options);
                if std::mem::replace(&mut self.has_store, true) {
                    return Undo::Last;
                }
            }
            Then::Streams => {
                self.search = Search::Over;
                (self.next, self.end, self.step) = (at + 1, at + 1 + rest / 2, 1);
            }
            Then::KeysToEnd if self.is_third_empty => {
                self.search = Search::Over;
                (self.next, self.end, self.step) = (at + 1, self.argument_count, 1);
                return Undo::All;
            }
            Then::StoreKey | Then::KeysToEnd => {}
        }
        Undo::Nothing
    }
}
