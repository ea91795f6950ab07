//! Events as brokers hand them over: bytes that somebody else may have written.

#![no_main]

use bytes::Bytes;
use fanfare::Event;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(event) = Event::decode(Bytes::copy_from_slice(bytes)) else {
        return;
    };
    assert!(event.payload().iter().all(|byte| *byte >= b' '), "no payload breaks a framing");
    let again = Event::decode(event.encode()).expect("what was read can be written and read");
    assert_eq!(again.channel(), event.channel());
    assert_eq!(again.name(), event.name());
    assert_eq!(again.payload(), event.payload());
    assert_eq!(again.stamp(), event.stamp());
    assert_eq!(again.publisher(), event.publisher());
    assert_eq!(again.conflation_key(), event.conflation_key());
    assert_eq!(
        (again.priority(), again.guarantee()),
        (event.priority(), event.guarantee())
    );
});
