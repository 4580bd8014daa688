//! Having a server write its state down, and waiting until it has.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::BytesMut;
use kvproto::v1;
use prost::Message as _;

use crate::Result;
use crate::client::Connection;
use crate::driver::{frame, on_this_thread};
use crate::resp::{self, Reply};

/// How long that may take.
const WRITTEN_WITHIN: Duration = Duration::from_secs(600);
const POLL: Duration = Duration::from_millis(20);

/// Has kvd write a snapshot, and waits for it.
pub(crate) fn create(address: SocketAddr) -> Result<v1::CreateSnapshotResponse> {
    on_this_thread(WRITTEN_WITHIN, async {
        let connection = Connection::new(address).await?;
        let mut method = connection.method_of("kvd.v1.AdminService", "CreateSnapshot")?;
        let request = frame(&v1::CreateSnapshotRequest::default(), &mut BytesMut::new());
        let reply = method.call(request).await?;
        Ok(v1::CreateSnapshotResponse::decode(reply)?)
    })
}

/// Has Redis rewrite its append-only file, and waits for it. Returns the bytes that were
/// copied because parent and child shared them.
pub(super) fn rewrite(address: SocketAddr) -> Result<u64> {
    on_this_thread(WRITTEN_WITHIN, async {
        let connection = resp::Connection::new(address).await?;
        match connection.call(&[&[b"BGREWRITEAOF"]]).await?.first() {
            Some(Reply::Status(_)) => {}
            other => return Err(format!("BGREWRITEAOF was answered with {other:?}").into()),
        }
        loop {
            tokio::time::sleep(POLL).await;
            let reply = connection.call(&[&[b"INFO", b"persistence"]]).await?;
            let Some(Reply::Bulk(Some(text))) = reply.first() else {
                return Err(format!("INFO was answered with {reply:?}").into());
            };
            let text = String::from_utf8_lossy(text);
            if field(&text, "aof_rewrite_in_progress") == Some("0")
                && field(&text, "aof_rewrite_scheduled") == Some("0")
            {
                if field(&text, "aof_last_bgrewrite_status") != Some("ok") {
                    return Err("Redis could not rewrite its append-only file".into());
                }
                let copied = field(&text, "aof_last_cow_size").and_then(|bytes| bytes.parse().ok());
                return Ok(copied.ok_or("Redis does not tell what its child has copied")?);
            }
        }
    })
}

/// `NAME:VALUE` out of what Redis says about itself.
fn field<'a>(info: &'a str, name: &str) -> Option<&'a str> {
    info.lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_by_their_whole_name() {
        let info = "# Persistence\r\naof_last_cow_size_x:1\r\naof_last_cow_size:42\r\n";
        assert_eq!(field(info, "aof_last_cow_size"), Some("42"));
        assert_eq!(field(info, "cow_size"), None);
    }
}
