//! What a flush costs more where it is compressed: once, for all subscribers of a wire form.
//!
//! The codec has run; what is under the clock is the framing, plain and with permessage-deflate at
//! several levels. How many bytes come out is printed first.

#[path = "support/events.rs"]
mod events;

use bytes::BytesMut;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use fanfare::Framing;
use fanfare::config::Compression;
use fanfare_transports::websocket::WebSocketFraming;
use fanfare_transports::websocket::deflate::DeflateFraming;

/// As in the servers.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const EVENTS: [usize; 3] = [1, 4, 64];
const LEVELS: [u8; 4] = [1, 3, 6, 9];

/// A message of the Centrifuge dialect with so many events of 300 bytes.
fn message(count: usize) -> Vec<u8> {
    let line = |at| {
        let payload = events::payload(300, at);
        format!(r#"{{"push":{{"channel":"thread.456","pub":{{"data":{payload},"offset":{at}}}}}}}"#)
    };
    (0..count).map(line).collect::<Vec<_>>().join("\n").into()
}

fn deflate(level: u8) -> DeflateFraming {
    DeflateFraming::new(&Compression {
        threshold: 0,
        level,
        ..Compression::default()
    })
}

fn framed(framing: &impl Framing, message: &[u8]) -> usize {
    let mut out = BytesMut::new();
    framing.frame(message, &mut out);
    out.len()
}

fn compression(criterion: &mut Criterion) {
    for count in EVENTS {
        let message = message(count);
        let plain = framed(&WebSocketFraming, &message);
        for level in LEVELS {
            let compressed = framed(&deflate(level), &message);
            println!("{count} events, level {level}: {compressed} of {plain} bytes");
        }
        let mut group = criterion.benchmark_group(format!("compression/{count}"));
        group.throughput(Throughput::Bytes(message.len() as u64));
        group.bench_function("plain", |bencher| {
            bencher.iter(|| framed(&WebSocketFraming, &message));
        });
        for level in LEVELS {
            let framing = deflate(level);
            group.bench_function(BenchmarkId::new("deflate", level), |bencher| {
                bencher.iter(|| framed(&framing, &message));
            });
        }
        group.finish();
    }
}

criterion_group!(benches, compression);
criterion_main!(benches);
