//! What the documents' tables allow, and what lies just beyond.

use fanfare_examples::aiw3::Aiw3;
use fanfare_examples::platform::Platform;
use serde_json::{Value, json};

use super::{Envelope, fixture, problems};

/// An event, a member by its JSON pointer, values that pass, values that do not.
type Border = (&'static str, Envelope, &'static str, Vec<Value>, Vec<Value>);

#[test]
fn constraints_hold_at_their_borders() {
    use Envelope::{Architecture, Guide};
    let text = |length: usize| json!("ü".repeat(length));
    let cases: Vec<Border> = vec![
        (
            "nft_unlocked",
            Guide,
            "/userId",
            vec![json!(1), json!(u64::MAX)],
            vec![json!(0), json!(-1), json!(1.5), json!("12345")],
        ),
        (
            "nft_unlocked",
            Guide,
            "/messageId",
            vec![json!("m"), text(128)],
            vec![json!(""), text(129)],
        ),
        (
            "nft_unlocked",
            Guide,
            "/timestamp",
            vec![json!("2024-01-15T17:30:00+07:00")],
            vec![
                json!("2024-01-15"),
                json!("2024-01-15T10:30:00"),
                json!("2024-13-15T10:30:00Z"),
            ],
        ),
        (
            "nft_unlocked",
            Guide,
            "/priority",
            vec![json!("low"), json!("medium")],
            vec![json!("urgent"), json!("HIGH")],
        ),
        (
            "nft_unlocked",
            Guide,
            "/category",
            vec![json!("nft")],
            vec![json!("badge"), json!("")],
        ),
        (
            "nft_unlocked",
            Guide,
            "/data/nftId",
            vec![json!("n"), text(128)],
            vec![json!(""), text(129)],
        ),
        (
            "nft_unlocked",
            Guide,
            "/data/nftLevel",
            vec![json!(1), json!(10)],
            vec![json!(0), json!(11), json!(1.5), json!(-1)],
        ),
        (
            "nft_unlocked",
            Guide,
            "/data/nftName",
            vec![text(1), text(100)],
            vec![json!(""), text(101)],
        ),
        (
            "nft_unlocked",
            Guide,
            "/data/nftDescription",
            vec![text(1), text(500)],
            vec![json!(""), text(501)],
        ),
        (
            "nft_unlocked",
            Guide,
            "/data/imageUrl",
            vec![json!("http://a.example"), json!("ipfs://bafybei/1.png")],
            vec![
                json!(""),
                json!("crypto-chicken.png"),
                json!("/a.png"),
                json!("http://"),
            ],
        ),
        (
            "nft_unlocked",
            Guide,
            "/data/tokenId",
            vec![json!("0"), json!("123456789012345678901234567890")],
            vec![
                json!(""),
                json!("12a"),
                json!("-1"),
                json!("1.5"),
                json!("1\n"),
            ],
        ),
        (
            "nft_unlocked",
            Guide,
            "/data/mintAddress",
            vec![
                json!("1"),
                json!("9WzDXwBbmkg8ZTbNMqUxvQRAyrZzDsGYdLVL9zYtAWWM"),
            ],
            vec![
                json!(""),
                json!("0"),
                json!("O"),
                json!("I"),
                json!("l"),
                json!("a b"),
            ],
        ),
        (
            "nft_unlocked",
            Guide,
            "/data/transactionHash",
            vec![json!("z")],
            vec![json!(""), json!("10"), json!("é")],
        ),
        (
            "nft_unlocked",
            Guide,
            "/data/claimedAt",
            vec![json!("2024-01-15T10:30:00Z")],
            vec![json!("now")],
        ),
        (
            "nft_unlocked",
            Guide,
            "/data/estimatedValue",
            vec![json!(0), json!(0.01), json!(99.99), json!(1e12)],
            vec![json!(-0.01), json!(0.001), json!(5000.123)],
        ),
        (
            "badge_earned",
            Guide,
            "/data/badgeId",
            vec![json!("b"), text(128)],
            vec![json!(""), text(129)],
        ),
        (
            "badge_earned",
            Guide,
            "/data/badgeName",
            vec![text(1), text(100)],
            vec![json!(""), text(101)],
        ),
        (
            "badge_earned",
            Guide,
            "/data/badgeDescription",
            vec![text(1), text(500)],
            vec![json!(""), text(501)],
        ),
        (
            "badge_earned",
            Guide,
            "/data/iconUrl",
            vec![json!("https://a.example/b?c#d")],
            vec![json!(""), json!("icon")],
        ),
        (
            "badge_earned",
            Guide,
            "/data/category",
            vec![json!("anything"), json!("")],
            vec![],
        ),
        (
            "badge_earned",
            Guide,
            "/data/rarity",
            vec![
                json!("common"),
                json!("uncommon"),
                json!("rare"),
                json!("epic"),
                json!("legendary"),
            ],
            vec![json!("mythic"), json!("Common"), json!("")],
        ),
        (
            "badge_earned",
            Guide,
            "/data/contributionValue",
            vec![json!(0), json!(100), json!(99.99)],
            vec![json!(-0.01), json!(100.01), json!(5.001)],
        ),
        (
            "badge_earned",
            Guide,
            "/data/contributionWeight",
            vec![json!(0.1), json!(10), json!(1.2345)],
            vec![json!(0.09), json!(10.01), json!(0)],
        ),
        (
            "badge_progress_update",
            Guide,
            "/data/rarity",
            vec![json!("epic")],
            vec![json!("mythic")],
        ),
        (
            "transaction_failed",
            Guide,
            "/data/errorCode",
            vec![json!("NETWORK_CONGESTION")],
            vec![json!("OUT_OF_LUCK"), json!("network_congestion")],
        ),
        (
            "nft_benefits_activated",
            Guide,
            "/data/benefitsExpiryDate",
            vec![json!(null), json!("2024-01-15T10:30:00Z")],
            vec![json!("never")],
        ),
        (
            "nft_unlocked",
            Architecture,
            "/userId",
            vec![json!("1"), json!("anna")],
            vec![json!(""), json!("a.b"), json!("a b"), json!(12345)],
        ),
        (
            "nft_unlocked",
            Architecture,
            "/eventId",
            vec![json!("e"), text(128)],
            vec![json!(""), text(129)],
        ),
        (
            "nft_unlocked",
            Architecture,
            "/data/nftId",
            vec![text(128)],
            vec![json!(""), text(129)],
        ),
        (
            "badge_earned",
            Architecture,
            "/data/badgeId",
            vec![text(128)],
            vec![json!(""), text(129)],
        ),
        (
            "nft_unlock_failed",
            Architecture,
            "/data/nftDefinitionId",
            vec![json!("tier-2"), json!(0)],
            vec![json!(-1), json!("")],
        ),
    ];
    let catalog = Aiw3::catalog();
    for (event, envelope, pointer, good, bad) in cases {
        let fixture = fixture(event, envelope);
        let path = pointer[1..].replace('/', ".");
        let with = |value: &Value| {
            let mut changed = fixture.clone();
            *changed.pointer_mut(pointer).unwrap() = value.clone();
            problems(&catalog, &changed)
        };
        for value in good {
            assert_eq!(with(&value), [""; 0], "{event} {path}: {value}");
        }
        for value in bad {
            assert_eq!(with(&value), [&*path], "{event} {path}: {value}");
        }
    }
}
