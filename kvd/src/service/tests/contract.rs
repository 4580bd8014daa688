//! That what is served is what the contract names.

use prost::Message as _;
use tonic::Code;
use tonic::transport::Endpoint;

use super::support::{rig, soon};
use crate::backend::fake::Fake;

#[tokio::test]
async fn every_method_of_the_contract_is_served_and_no_other() {
    let store = Fake::instant();
    let rig = rig(&store).await;
    let endpoint = Endpoint::from_shared(format!("http://{}", rig.address)).unwrap();
    let channel = endpoint.connect().await.unwrap();
    let call = async |method: &str| {
        let mut grpc = tonic::client::Grpc::new(channel.clone());
        grpc.ready().await.unwrap();
        let path = format!("/kvd.v1.KvService/{method}").parse().unwrap();
        let codec = tonic_prost::ProstCodec::<(), ()>::default();
        let called = grpc.unary(tonic::Request::new(()), path, codec);
        soon(called).await.err().map(|status| status.code())
    };
    let files = prost_types::FileDescriptorSet::decode(kvproto::FILE_DESCRIPTOR_SET).unwrap();
    let services = files.file.iter().flat_map(|file| &file.service);
    let kv = services.filter(|service| service.name() == "KvService");
    let methods: Vec<&str> = kv
        .flat_map(|service| &service.method)
        .map(prost_types::MethodDescriptorProto::name)
        .collect();
    assert_eq!(methods.len(), 13, "{methods:?}");
    for method in methods {
        assert_ne!(call(method).await, Some(Code::Unimplemented), "{method}");
    }
    assert_eq!(call("Nothing").await, Some(Code::Unimplemented));
    assert_eq!(call("").await, Some(Code::Unimplemented));
}
