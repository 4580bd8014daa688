//! Health and reflection, as the tools of gRPC ask for them.

use std::time::Duration;

use super::support::Running;
use tonic::Code;
use tonic::transport::Channel;

#[tokio::test]
async fn health_and_reflection() {
    use tonic_health::pb::health_check_response::ServingStatus;
    use tonic_health::pb::health_client::HealthClient;
    let running = Running::start(&[]).await;
    let mut health = HealthClient::new(running.channel().await);
    let expected = [
        ("", ServingStatus::Serving),
        ("kvd.v1.KvService", ServingStatus::Serving),
        ("kvd.v1.KvService/write", ServingStatus::Serving),
        ("kvd.v1.WatchService", ServingStatus::Serving),
    ];
    for (service, status) in expected {
        let check = tonic_health::pb::HealthCheckRequest {
            service: service.to_owned(),
        };
        let mut reply = health.check(check.clone()).await.unwrap().into_inner();
        for _ in 0..100 {
            if reply.status() == status {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
            reply = health.check(check.clone()).await.unwrap().into_inner();
        }
        assert_eq!(reply.status(), status, "{service:?}");
    }
    let check = tonic_health::pb::HealthCheckRequest {
        service: "nobody".to_owned(),
    };
    assert_eq!(
        health.check(check).await.unwrap_err().code(),
        Code::NotFound
    );
    // A watcher sees the end coming and does not hold it up.
    let check = tonic_health::pb::HealthCheckRequest {
        service: String::new(),
    };
    let mut watch = health.watch(check).await.unwrap().into_inner();
    assert_eq!(
        watch.message().await.unwrap().unwrap().status(),
        ServingStatus::Serving
    );
    let (v1_names, v1alpha_names) = reflected(running.channel().await).await;
    assert_eq!(v1_names, v1alpha_names);
    for name in [
        "kvd.v1.KvService",
        "kvd.v1.AdminService",
        "grpc.health.v1.Health",
    ] {
        assert!(v1_names.contains(&name.to_owned()), "{v1_names:?}");
    }
    let begun = std::time::Instant::now();
    running.daemon.stop().await.unwrap();
    assert!(
        begun.elapsed() < Duration::from_secs(10),
        "{:?}",
        begun.elapsed()
    );
    assert_eq!(
        watch.message().await.unwrap().unwrap().status(),
        ServingStatus::NotServing
    );
}

/// The services that both versions of reflection list.
async fn reflected(channel: Channel) -> (Vec<String>, Vec<String>) {
    macro_rules! list {
        ($version:ident) => {{
            use tonic_reflection::pb::$version::{
                ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
                server_reflection_request::MessageRequest,
                server_reflection_response::MessageResponse,
            };
            let request = ServerReflectionRequest {
                host: String::new(),
                message_request: Some(MessageRequest::ListServices(String::new())),
            };
            let mut client = ServerReflectionClient::new(channel.clone());
            let replies = client
                .server_reflection_info(tokio_stream::once(request))
                .await;
            let reply = replies
                .unwrap()
                .into_inner()
                .message()
                .await
                .unwrap()
                .unwrap();
            let Some(MessageResponse::ListServicesResponse(list)) = reply.message_response else {
                panic!("{reply:?}");
            };
            let mut names: Vec<_> = list
                .service
                .into_iter()
                .map(|service| service.name)
                .filter(|name| !name.contains("reflection"))
                .collect();
            names.sort();
            names
        }};
    }
    (list!(v1), list!(v1alpha))
}
