//! Snapshots of a running kvd.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::BytesMut;
use kvproto::v1;
use prost::Message as _;

use crate::Result;
use crate::client::Connection;
use crate::driver::{frame, on_this_thread};

/// How long writing one may take.
const WRITTEN_WITHIN: Duration = Duration::from_secs(600);

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
