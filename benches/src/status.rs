//! What a daemon says about itself.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use kvproto::v1;
use prost::Message as _;

use crate::Result;
use crate::client::{Connection, Method};
use crate::driver::{frame, on_this_thread};

const ANSWERED_WITHIN: Duration = Duration::from_secs(20);

async fn method(address: SocketAddr) -> Result<Method> {
    let connection = Connection::new(address).await?;
    connection.method_of("kvd.v1.AdminService", "GetStatus")
}

async fn ask(method: &mut Method) -> Result<v1::GetStatusResponse> {
    let request = frame(&v1::GetStatusRequest {}, &mut BytesMut::new());
    Ok(v1::GetStatusResponse::decode(method.call(request).await?)?)
}

/// Asks once.
pub(crate) fn of(address: SocketAddr) -> Result<v1::GetStatusResponse> {
    on_this_thread(ANSWERED_WITHIN, async {
        ask(&mut method(address).await?).await
    })
}

/// Asks every `pause` until `end`, and tells `each` what was answered and when it was
/// asked.
pub(crate) fn poll(
    address: SocketAddr,
    pause: Duration,
    end: Instant,
    mut each: impl FnMut(Instant, &v1::GetStatusResponse),
) -> Result<()> {
    let left = end.saturating_duration_since(Instant::now());
    on_this_thread(left + ANSWERED_WITHIN, async {
        let mut method = method(address).await?;
        let mut at = Instant::now();
        while at < end {
            tokio::time::sleep_until(at.into()).await;
            let asked = Instant::now();
            each(asked, &ask(&mut method).await?);
            at += pause;
        }
        Ok(())
    })
}
