use futures::stream;
use service_runtime::ServerSettings;

use crate::harness::{start, within};

const SERVED: [&str; 5] = [
    "grpc.health.v1.Health",
    "grpc.reflection.v1.ServerReflection",
    "grpc.reflection.v1alpha.ServerReflection",
    "weft.memory.v1.MemoryService",
    "weft.workflow.v1.WorkflowService",
];

/// The same test for both versions of the protocol, whose types are alike but not the same.
macro_rules! reflection_test {
    ($name:ident, $version:ident) => {
        #[tokio::test]
        async fn $name() {
            use tonic_reflection::pb::$version::{
                ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
                server_reflection_request::MessageRequest,
                server_reflection_response::MessageResponse,
            };
            let server = start(ServerSettings::default()).await;
            let mut client = ServerReflectionClient::new(server.channel());
            let ask = |request| ServerReflectionRequest {
                host: String::new(),
                message_request: Some(request),
            };
            let questions = stream::iter([
                ask(MessageRequest::ListServices(String::new())),
                ask(MessageRequest::FileContainingSymbol(SERVED[3].to_owned())),
                // So that tools can show the details of errors.
                ask(MessageRequest::FileContainingSymbol(
                    "google.rpc.ErrorInfo".to_owned(),
                )),
            ]);
            let answers = client.server_reflection_info(questions).await.unwrap();
            let mut answers = answers.into_inner();
            let mut next = async || {
                within(answers.message())
                    .await
                    .unwrap()
                    .unwrap()
                    .message_response
            };

            let Some(MessageResponse::ListServicesResponse(list)) = next().await else {
                panic!("no list of services");
            };
            let mut names: Vec<_> = list
                .service
                .into_iter()
                .map(|service| service.name)
                .collect();
            names.sort();
            assert_eq!(names, SERVED);
            for _ in 0..2 {
                let Some(MessageResponse::FileDescriptorResponse(file)) = next().await else {
                    panic!("no file descriptor");
                };
                assert!(!file.file_descriptor_proto.is_empty());
            }
        }
    };
}

reflection_test!(reflection_v1_tells_exactly_what_is_served, v1);
reflection_test!(reflection_v1alpha_tells_the_same_to_older_tools, v1alpha);
