//! A process that runs out of file descriptors.

use std::io::{ErrorKind, Read as _};
use std::net::TcpStream;
use std::process::Command;
use std::time::{Duration, Instant};

use super::support::{Process, channel, command, get, serve_arguments};
use kvproto::v1::kv_service_client::KvServiceClient;
use tempfile::TempDir;

/// User and system time of a process.
fn cpu(pid: u32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat
        .rsplit(')')
        .next()
        .unwrap()
        .split_whitespace()
        .collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    Duration::from_millis(ticks * 1000 / rustix::param::clock_ticks_per_second())
}

/// Whether the other side has closed it.
fn is_closed(stream: &mut TcpStream) -> bool {
    stream
        .set_read_timeout(Some(Duration::from_secs(5)))
        .unwrap();
    // A server says something first; what it had no descriptor for, it closes.
    match stream.read(&mut [0; 64]) {
        Ok(bytes) => bytes == 0,
        Err(error) => error.kind() == ErrorKind::ConnectionReset,
    }
}

#[tokio::test]
async fn without_descriptors_connections_are_closed_at_once_and_the_rest_goes_on() {
    let root = TempDir::new().unwrap();
    let kvd = command(&[]).get_program().to_owned();
    let mut limited = Command::new("sh");
    limited
        .args(["-c", "ulimit -n 64; exec \"$0\" \"$@\""])
        .arg(kvd);
    limited.args(serve_arguments(root.path()));
    let process = Process::spawn(&mut limited);
    let mut kv = KvServiceClient::new(channel(process.address()).await);
    kv.get(get("k")).await.unwrap();

    let begun = Instant::now();
    let before = cpu(process.pid());
    let mut opened: Vec<TcpStream> = (0..150)
        .map(|_| TcpStream::connect(process.address()).unwrap())
        .collect();
    let closed = opened
        .iter_mut()
        .rev()
        .take(80)
        .filter_map(|s| is_closed(s).then_some(()))
        .count();
    assert_eq!(closed, 80, "those that came last are not closed");
    // Those that have one go on, and nobody burns a core for those that have none.
    kv.get(get("k")).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let spent = cpu(process.pid()).saturating_sub(before);
    assert!(
        spent < begun.elapsed() / 2,
        "{spent:?} of {:?}",
        begun.elapsed()
    );

    drop(opened);
    let limit = Instant::now() + Duration::from_secs(5);
    loop {
        let fresh = tokio::net::TcpStream::connect(process.address()).await;
        drop(fresh);
        let endpoint = format!("http://{}", process.address());
        let endpoint = tonic::transport::Endpoint::from_shared(endpoint).unwrap();
        if let Ok(channel) = endpoint.connect().await
            && KvServiceClient::new(channel).get(get("k")).await.is_ok()
        {
            break;
        }
        assert!(Instant::now() < limit, "nobody is served any more");
    }
    drop(kv);
    let ended = process.stop();
    assert_eq!(ended.code, Some(0), "{ended:?}");
}
