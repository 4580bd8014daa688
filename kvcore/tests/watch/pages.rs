//! The store as the watches of a story read it.

use std::cell::RefCell;

use kvcore::watch::{Budget, Page, Source};
use kvcore::{Engine, KeyRange, PageLimit, Record, Revision};

/// The store as the watches of the story see it: expired records leave by the door.
pub(crate) struct Pages<'a> {
    engine: &'a Engine,
    removed: RefCell<Vec<(Revision, Record)>>,
}

impl<'a> Pages<'a> {
    pub(crate) fn of(engine: &'a Engine) -> Self {
        Self {
            engine,
            removed: RefCell::default(),
        }
    }

    /// The expired records that were taken away for the pages, and when.
    pub(crate) fn removed(self) -> Vec<(Revision, Record)> {
        self.removed.into_inner()
    }
}

impl Source for Pages<'_> {
    fn newest(&self) -> Revision {
        self.engine.store_revision()
    }

    fn page(&self, range: &KeyRange, after: Option<&[u8]>, budget: Budget) -> Result<Page, String> {
        let limit = PageLimit {
            records: budget.events,
            bytes: budget.bytes,
        };
        let look = self
            .engine
            .look_page(range, after, false, limit)
            .expect("within the limits");
        let mut revealed = look.revealed;
        for due in look.due {
            let revision = remove(self.engine, &due).ok_or("no removal is taken now")?;
            revealed = revealed.max(revision);
            self.removed.borrow_mut().push((revision, due));
        }
        Ok(Page {
            records: look.value.records,
            next: look.value.next,
            revealed,
        })
    }
}

/// Takes one expired record away; the revision of that. None: refused.
pub(crate) fn remove(engine: &Engine, due: &Record) -> Option<Revision> {
    let prepared = engine.prepare_removal(std::slice::from_ref(due)).pop()?;
    let before = engine.store_revision();
    let revision = engine
        .commit_removal(engine.try_admit(prepared).ok()?)
        .ok()?;
    (revision > before || engine.store_revision() > before).then_some(revision)
}
