//! Reads: what the model holds, as the replies that must come.

use kvproto::v1::{self, batch_get_result::Result as Found, operation_result::Result as Reply};

use super::answers::{Rec, Refusal};
use super::defects::of_key;
use super::judge::{Checked, Refused, equal};
use super::ops::{Bytes, Look, Op, PageOf, Range};
use super::replies::full;
use super::requests;
use super::run::Pair;

impl Pair {
    pub(super) fn looked(&mut self, look: &Look, found: Result<Reply, Refused>) -> Checked {
        let limits = self.model.limits;
        let mut defects: Vec<Refusal> = Vec::new();
        let wanted = match look {
            Look::Get(key) => {
                defects.extend(of_key(key, &limits));
                let record = self.model.find(key).as_ref().map(full);
                Reply::Get(v1::GetResponse {
                    header: None,
                    found: record.is_some(),
                    record,
                })
            }
            Look::Batch(keys) => {
                defects.extend(keys.iter().filter_map(|key| of_key(key, &limits)));
                if keys.is_empty() || keys.len() > limits.operations {
                    defects.push(Refusal::new("TooManyOperations"));
                }
                let results = keys.iter().map(|key| v1::BatchGetResult {
                    result: Some(match self.model.find(key) {
                        Some(rec) => Found::Record(full(&rec)),
                        None => Found::Missing(v1::Missing {}),
                    }),
                });
                Reply::BatchGet(v1::BatchGetResponse {
                    header: None,
                    results: results.collect(),
                })
            }
            Look::Count { range, .. } => Reply::Count(v1::CountResponse {
                header: None,
                count: signed(self.live(range).len()),
            }),
            look => unreachable!("{look:?} is no call of a pipeline"),
        };
        match found {
            Err(refused) if defects.iter().any(|defect| refused.is(defect)) => Ok(()),
            Ok(found) if defects.is_empty() => equal("answer", &wanted, &found),
            found => Err(format!("expected {defects:?}, found {found:?}")),
        }
    }

    fn live(&self, range: &Range) -> Vec<Rec> {
        let live = self.model.live().filter(|rec| range.contains(&rec.key));
        live.cloned().collect()
    }

    /// Scans and digests.
    pub(super) async fn look_apart(&mut self, op: &Op) -> Checked {
        let checked = match op {
            Op::Look(Look::Hash(range)) => self.hash(range).await,
            Op::Look(Look::Scan(of)) => self.scan(of, 0).await,
            Op::Look(Look::Page(of, _)) => self.scan(of, of.records).await,
            op => unreachable!("{op:?} is a call"),
        };
        checked.map_err(|what| format!("{op:?}\n{what}"))
    }

    async fn hash(&mut self, range: &Range) -> Checked {
        let request = v1::HashRequest {
            range: Some(requests::range(range)),
            options: None,
        };
        let reply = self.host.admin.hash(request).await.expect("a digest");
        let reply = reply.into_inner();
        self.headed(&reply.header.expect("a header"))?;
        let live = self.live(range);
        let content: Vec<(Bytes, Bytes)> = live.into_iter().map(|r| (r.key, r.value)).collect();
        equal("keys of a digest", &signed(content.len()), &reply.count)?;
        let hash = reply.hash.to_vec();
        let other = self.digests.iter().find(|(_, other)| **other == content);
        if let Some((digest, _)) = other {
            equal("digest of equal contents", digest, &hash)?;
        }
        let same = self.digests.entry(hash).or_insert(content.clone());
        equal("contents of equal digests", &content, same)
    }

    /// Page by page; with a limit first up to that, and then on from the token.
    async fn scan(&mut self, of: &PageOf, limit: usize) -> Checked {
        let mut request = v1::ScanRequest {
            range: Some(requests::range(&of.range)),
            limit: signed(limit),
            reverse: of.reverse,
            page_size: i32::try_from(of.records).expect("small"),
            ..v1::ScanRequest::default()
        };
        let mut all: Vec<v1::Record> = Vec::new();
        loop {
            let pages = self.host.kv.scan(request.clone()).await.expect("a stream");
            let mut pages = pages.into_inner();
            let mut token = bytes::Bytes::new();
            while let Some(page) = pages.message().await.expect("a page") {
                self.headed(&page.header.expect("a header"))?;
                if page.records.len() > of.records {
                    return Err(format!("{} records in a page", page.records.len()));
                }
                all.extend(page.records);
                token = page.token;
            }
            if request.limit > 0 && all.len() > limit {
                return Err(format!("{} records, the limit is {limit}", all.len()));
            }
            if token.is_empty() {
                break;
            }
            equal("a token without a limit", &limit, &all.len())?;
            (request.limit, request.token) = (0, token);
        }
        let mut wanted: Vec<v1::Record> = self.live(&of.range).iter().map(full).collect();
        if of.reverse {
            wanted.reverse();
        }
        equal("scan", &wanted, &all)
    }
}

fn signed(count: usize) -> i64 {
    i64::try_from(count).expect("few")
}
