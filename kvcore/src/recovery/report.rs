//! What is said of damage: where it is, and what it takes away.

use std::fmt;

use crate::base::revision::{Gap, Revision};
use crate::format::frame::FrameHead;

/// What a check comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// Whole to the last frame.
    Clean,
    /// A torn tail that nobody was told is durable: the next start cuts it off.
    Torn,
    /// A last frame that is complete and wrong: the next start refuses it by default.
    Suspect,
    /// Damage at or below what was durable, or files that do not belong together.
    Corrupt,
}

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    Clean,
    TornTail,
    Suspect,
    Corrupt,
    /// Of another store.
    Foreign,
    /// Named, and not there.
    Missing,
    /// It says that it is another file.
    Duplicate,
}

impl Class {
    pub const fn verdict(self) -> Verdict {
        match self {
            Self::Clean => Verdict::Clean,
            Self::TornTail => Verdict::Torn,
            Self::Suspect => Verdict::Suspect,
            Self::Corrupt | Self::Foreign | Self::Missing | Self::Duplicate => Verdict::Corrupt,
        }
    }

    pub const fn name(self) -> &'static str {
        match self {
            Self::Clean => "clean",
            Self::TornTail => "torn tail",
            Self::Suspect => "suspect",
            Self::Corrupt => "corrupt",
            Self::Foreign => "foreign",
            Self::Missing => "missing",
            Self::Duplicate => "duplicate",
        }
    }
}

/// A key that damage concerns, by the change that is lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LostKey {
    pub revision: Revision,
    pub key: Vec<u8>,
}

/// A damaged place of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The first bad byte, as near as it can be told, and where the next sound one is.
    pub offset: u64,
    pub end: u64,
    pub what: String,
    /// First and last revision that cannot be read for it.
    pub lost: Option<Gap>,
    /// More may be lost than that: nothing says how far the log went.
    pub open: bool,
    /// Records of a snapshot that cannot be read for it.
    pub records: u64,
    pub keys: Vec<LostKey>,
    /// These are all: false where keys could not be read, or not be believed.
    pub all_keys: bool,
}

impl Place {
    pub fn new(offset: u64, end: u64, what: impl Into<String>) -> Self {
        Self {
            offset,
            end,
            what: what.into(),
            lost: None,
            open: false,
            records: 0,
            keys: Vec::new(),
            all_keys: true,
        }
    }

    /// Without naming keys.
    #[must_use]
    pub fn losing(mut self, first: Revision, last: Revision) -> Self {
        self.lost = Some(Gap { first, last });
        self.all_keys = false;
        self
    }

    #[must_use]
    pub fn losing_frame(self, head: &FrameHead) -> Self {
        let last = Revision(head.next_revision().0 - 1);
        self.losing(head.first_revision, last)
    }

    /// How many revisions are lost.
    pub fn revisions(&self) -> u64 {
        self.lost.map_or(0, |lost| lost.last.0 - lost.first.0 + 1)
    }
}

/// As people write it: text bare, other bytes as `\xNN`.
pub fn show_key(key: &[u8]) -> String {
    key.escape_ascii().to_string()
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "byte {}: {}", self.offset, self.what)?;
        match (&self.lost, self.open) {
            (None, false) if self.records == 0 => write!(f, "; nothing is lost")?,
            (None, false) => {}
            (None, true) => write!(f, "; how much is lost is not known")?,
            (Some(lost), open) => {
                if lost.first == lost.last {
                    write!(f, "; revision {} is lost", lost.first)?;
                } else {
                    write!(f, "; revisions {} to {} are lost", lost.first, lost.last)?;
                }
                if open {
                    write!(f, ", and whatever came after")?;
                }
            }
        }
        if self.records > 0 {
            write!(f, "; {} records are lost", self.records)?;
        }
        for key in &self.keys {
            write!(
                f,
                "\n    key {} of revision {}",
                show_key(&key.key),
                key.revision
            )?;
        }
        let loses = self.lost.is_some() || self.records > 0 || self.open;
        if loses && !self.all_keys {
            let known = if self.keys.is_empty() { "its" } else { "all" };
            write!(f, "\n    {known} keys cannot be told")?;
        }
        Ok(())
    }
}

/// One file's part of the report.
#[derive(Clone, Debug)]
pub struct FileReport {
    pub name: String,
    pub class: Class,
    pub first_revision: Revision,
    pub last_revision: Revision,
    /// Whole ones.
    pub units: u64,
    /// Bytes up to the end of the last good frame.
    pub bytes: u64,
    /// What is to be said of the file as a whole.
    pub note: String,
    pub places: Vec<Place>,
}

impl FileReport {
    pub fn new(name: impl Into<String>, class: Class, note: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            class,
            first_revision: Revision::NONE,
            last_revision: Revision::NONE,
            units: 0,
            bytes: 0,
            note: note.into(),
            places: Vec::new(),
        }
    }

    /// How many revisions are lost in it.
    pub fn lost(&self) -> u64 {
        self.places.iter().map(Place::revisions).sum()
    }
}

impl fmt::Display for FileReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}  ", self.name)?;
        if self.first_revision > Revision::NONE {
            let (first, last) = (self.first_revision, self.last_revision);
            write!(f, "revisions {first}..{last}  ")?;
            write!(f, "units {}  bytes {}  ", self.units, self.bytes)?;
        }
        write!(f, "{}", self.class.name().to_uppercase())?;
        if self.lost() > 0 {
            write!(f, "  {} revisions lost", self.lost())?;
        }
        if !self.note.is_empty() {
            write!(f, ": {}", self.note)?;
        }
        for place in &self.places {
            write!(f, "\n  {place}")?;
        }
        Ok(())
    }
}

/// What the directory holds, file by file.
#[derive(Clone, Debug)]
pub struct CheckReport {
    pub store_id: String,
    pub files: Vec<FileReport>,
    pub gaps: Vec<Gap>,
    /// The last run was closed in order.
    pub clean_shutdown: bool,
    pub strangers: Vec<String>,
    /// Files that the next start removes: the store needs them no more.
    pub leftovers: Vec<String>,
    /// What a start refuses the directory for.
    pub damage: Option<String>,
}

impl CheckReport {
    pub fn verdict(&self) -> Verdict {
        let verdicts = self.files.iter().map(|file| file.class.verdict());
        let worst = verdicts.max().unwrap_or(Verdict::Clean);
        if self.damage.is_some() {
            Verdict::Corrupt
        } else {
            worst
        }
    }
}

impl fmt::Display for CheckReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "store {}", self.store_id)?;
        for file in &self.files {
            writeln!(f, "{file}")?;
        }
        for gap in &self.gaps {
            writeln!(
                f,
                "revisions {}..{} name nothing (unclean start)",
                gap.first, gap.last
            )?;
        }
        for name in &self.strangers {
            writeln!(f, "{name}  not a file of the store; left alone")?;
        }
        for name in &self.leftovers {
            writeln!(f, "{name}  not needed any more; the next start removes it")?;
        }
        if let Some(damage) = &self.damage {
            writeln!(f, "{damage}")?;
        }
        let closed = if self.clean_shutdown {
            "closed in order"
        } else {
            "not closed in order"
        };
        write!(
            f,
            "{} ({closed})",
            format!("{:?}", self.verdict()).to_uppercase()
        )
    }
}
