//! TLS, by a server in front of RabbitMQ that ends it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use fanfare::testing::broker::Recorder;
use fanfare::{Broker, BrokerErrorKind};
use fanfare_brokers::fan_out::rabbitmq::{Config, RabbitMq};
use fanfare_test_servers::RabbitMq as RabbitMqServer;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

use crate::node::{Node, chain, config};

const URL: &str = "FANFARE_TEST_AMQPS";

/// The roots of trust of a system are set for a process, so the client is a process of its own.
#[tokio::test]
async fn amqps_is_encrypted_and_checks_the_certificate() {
    let server = config(&RabbitMqServer::shared().await.url(), "tls");
    let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let roots = folder.path().join("roots.pem");
    std::fs::write(&roots, certified.cert.pem()).unwrap();
    let key = PrivateKeyDer::Pkcs8(certified.signing_key.serialize_der().into());
    let tls = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![certified.cert.der().clone()], key)
        .unwrap();
    let (address, secured) = serve(TlsAcceptor::from(Arc::new(tls)), &server).await;

    let url = format!("amqps://localhost:{}/?cluster=tls", address.port());
    let client = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "tls::client", "--ignored"])
        .env("SSL_CERT_FILE", &roots)
        .env(URL, &url)
        .output();
    let client = client.await.unwrap();
    let said = String::from_utf8_lossy(&client.stdout);
    assert!(
        client.status.success() && said.contains("1 passed"),
        "{said}"
    );
    assert_eq!(secured.load(Ordering::Acquire), 1, "the handshake was done");

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
    let config = Config::from_url(&std::env::var(URL).unwrap()).unwrap();
    let node = Node::start(config).await;
    node.publish(1).await.unwrap();
    node.until_taken(1).await;
    node.broker.shutdown().await;
}

async fn serve(acceptor: TlsAcceptor, server: &Config) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = (server.host.clone(), server.port);
    let secured = Arc::new(AtomicUsize::new(0));
    let counter = secured.clone();
    tokio::spawn(async move {
        loop {
            let (client, _) = listener.accept().await.unwrap();
            let handshake = tokio::time::timeout(Duration::from_secs(5), acceptor.accept(client));
            let Ok(Ok(mut client)) = handshake.await else {
                continue;
            };
            counter.fetch_add(1, Ordering::AcqRel);
            let mut server = TcpStream::connect(&server).await.unwrap();
            tokio::spawn(async move {
                let _ = copy_bidirectional(&mut client, &mut server).await;
            });
        }
    });
    (address, secured)
}
