//! TLS, by a server in front of RabbitMQ that ends it.

use fanfare::testing::broker::Recorder;
use fanfare::{Broker, BrokerErrorKind};
use fanfare_brokers::fan_out::rabbitmq::{Config, RabbitMq};
use fanfare_test_servers::RabbitMq as RabbitMqServer;

use crate::node::{Node, chain, config};
use crate::secured::{self, Secured};

#[tokio::test]
async fn amqps_is_encrypted_and_checks_the_certificate() {
    let server = config(&RabbitMqServer::shared().await.url(), "tls");
    let secured = Secured::before(&format!("{}:{}", server.host, server.port)).await;
    let url = format!("amqps://localhost:{}/?cluster=tls", secured.port);
    secured.client("tls::client", &url).await;
    assert_eq!(secured.handshakes(), 1, "the handshake was done");

    // This process does not know the certificate.
    let stranger = RabbitMq::from_url(&url).unwrap();
    let refused = stranger.start(Recorder::new().ingress()).await.unwrap_err();
    assert_eq!(refused.kind(), BrokerErrorKind::Unavailable);
    let sentence = chain(&refused);
    assert!(sentence.contains("certificate"), "{sentence}");
}

#[tokio::test]
#[ignore = "the client of the test above"]
async fn client() {
    let config = Config::from_url(&secured::url()).unwrap();
    let node = Node::start(config).await;
    node.publish(1).await.unwrap();
    node.until_taken(1).await;
    node.broker.shutdown().await;
}
