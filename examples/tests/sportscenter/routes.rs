//! Where events go, and how soon.

use super::*;

#[test]
fn events_go_where_they_concern_someone() {
    let own = &*format!("user.{USER}");
    let cases = [
        ("session:status", &["session"][..]),
        ("session:feedback", &["session"]),
        ("video:status", &["video"]),
        ("video:analysis", &["video"]),
        ("metric:recorded", &["metric"]),
        ("goal:update", &["goal"]),
        ("message:new", &[own, "user.8"]),
        ("message:updated", &[own, "user.8"]),
        ("message:deleted", &[own, "user.8"]),
        ("notification:new", &["notification"]),
        ("community:activity", &["community"]),
    ];
    for (event, expected) in cases {
        let admitted = admit(&sample(event));
        assert_eq!(channels(&admitted), expected, "{event}");
        assert!(!admitted.events.iter().any(Event::is_for_services_only));
    }
    let nobodys = [
        "analytics/collaboration-metrics",
        "analytics/subscription-metric",
        "analytics/feature-usage",
        "analytics/system-performance",
        "analytics/error-event",
        "ratelimit/connection-throttle",
        "ratelimit/ddos-protection",
        "ratelimit/circuit-breaker",
        "ratelimit/group-share",
        "ratelimit/metrics",
        "ratelimit/health",
    ];
    let mut seen = 0;
    for sample in samples() {
        let event = sample["event"].as_str().unwrap();
        let Some((family, _)) = event.split_once('/') else {
            continue;
        };
        seen += 1;
        let is_nobodys = family == "cache" || nobodys.contains(&event);
        let expected = match family {
            "analytics" | "ratelimit" if !is_nobodys => own,
            family => family,
        };
        let admitted = admit(&sample);
        assert_eq!(channels(&admitted), [expected], "{event}");
        assert_eq!(
            admitted.events[0].is_for_services_only(),
            is_nobodys,
            "{event}"
        );
        let services = admitted.events[0].services();
        let topics = services.map_or(&[][..], |services| services.topics);
        let counted = matches!(family, "analytics" | "cache" | "ratelimit");
        assert_eq!(topics.len(), usize::from(counted), "{event}");
    }
    assert_eq!(seen, 51);
}

#[test]
fn an_explicit_channel_is_one_of_the_events_own() {
    let own = format!("user.{USER}");
    for (event, channel, fits) in [
        ("session:status", "session", true),
        ("session:status", "video", false),
        ("session:status", "user.7", false),
        ("message:new", &own, true),
        ("message:new", "user.8", true),
        ("message:new", "user.7", false),
        ("message:new", "session", false),
        ("notification:new", "notification", true),
        ("notification:new", "user.9", true),
        ("notification:new", "community", false),
        ("cache/entity-invalidated", "cache", true),
        ("cache/entity-invalidated", "session", false),
        ("analytics/platform-usage", &own, true),
        ("analytics/platform-usage", "user.7", false),
        ("analytics/platform-usage", "analytics", false),
        ("session:status", "no channel", false),
    ] {
        let mut envelope = sample(event);
        envelope["channel"] = json!(channel);
        if fits {
            assert_eq!(channels(&admit(&envelope)), [channel], "{envelope}");
        } else {
            assert_eq!(refuse(&envelope), ["channel"], "{envelope}");
        }
    }
}

#[test]
fn a_message_to_oneself_goes_out_once() {
    let mut message = sample("message:new");
    message["data"]["to"]["id"] = json!(USER);
    assert_eq!(channels(&admit(&message)), [format!("user.{USER}")]);
}

#[test]
fn sessions_messages_and_notifications_are_urgent() {
    for sample in samples() {
        let event = sample["event"].as_str().unwrap();
        let urgent = ["session:", "message:", "notification:"];
        let expected = if urgent.iter().any(|family| event.starts_with(family)) {
            Priority::High
        } else {
            Priority::Medium
        };
        assert_eq!(admit(&sample).events[0].priority(), expected, "{event}");
        for chosen in ["high", "medium", "low"] {
            let mut envelope = sample.clone();
            envelope["priority"] = json!(chosen);
            let priority = admit(&envelope).events[0].priority();
            assert_eq!(priority.as_str(), chosen, "{event}");
        }
        let mut envelope = sample.clone();
        envelope["priority"] = json!("normal");
        assert_eq!(refuse(&envelope), ["priority"]);
    }
}
