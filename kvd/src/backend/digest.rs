//! The digest of a range: keys and values in key order, whoever stores them.

use kvcore::Digester;

use super::{Error, KeyRange, PageLimit, Patience, Revealed, Store};

/// How much is read before others get a turn.
const PAGE: PageLimit = PageLimit {
    records: 1000,
    bytes: 1 << 20,
};

/// Reads the range page by page.
pub(super) async fn of_range<S: Store>(
    store: &S,
    range: &KeyRange,
    patience: Patience,
) -> Result<Revealed<([u8; 16], u64)>, Error> {
    let mut digester = Digester::default();
    let (mut revealed, mut after) = (0, None::<Vec<u8>>);
    loop {
        patience.check()?;
        let read = store.scan(range, after.as_deref(), false, PAGE, patience);
        let page = read.await?;
        page.value
            .records
            .iter()
            .for_each(|record| digester.add(record));
        revealed = page.revealed.max(revealed);
        after = page.value.next;
        if after.is_none() {
            let digest = digester.finish();
            return Ok(Revealed {
                value: (digest.hash, digest.keys),
                revealed,
                store_revision: page.store_revision,
            });
        }
        tokio::task::yield_now().await;
    }
}
