//! What fields are checked for.

use super::*;

/// The EDN events' placeholders, as they stand in the document, are what is checked.
#[test]
fn placeholders_are_checked() {
    let catalog = SportsCenter::catalog();
    let mut counts = [0; 4];
    for sample in samples() {
        let event = sample["event"].as_str().unwrap().to_owned();
        let is_edn = event.contains('/');
        for path in places(&sample) {
            if is_any(&event, &path) {
                continue;
            }
            let Some(text) = sample.pointer(&pointer(&path)).unwrap().as_str() else {
                continue;
            };
            let (at_kind, wrong): (usize, &[&str]) = if !is_edn {
                continue;
            } else if text.len() == 36 && text.starts_with("0192f6d") {
                (
                    0,
                    &[
                        "",
                        "uuid",
                        "0192f6d17c1e7b3a9f553f1d2c4b5a61",
                        "0192f6d1-7c1e-7b3a-9f55-3f1d2c4b5a6g",
                    ],
                )
            } else if text == "2026-11-21T09:30:00Z" {
                (
                    1,
                    &[
                        "",
                        "ISO-8601",
                        "2026-11-21",
                        "2026-11-21T09:30:00",
                        "2026-02-30T09:30:00Z",
                    ],
                )
            } else if text.len() == 5 && text.as_bytes()[2] == b':' {
                (2, &["", "HH:mm", "24:00", "9:30"])
            } else {
                // Choices; what the document shows as a mere sample takes any text.
                (3, &["no such choice"])
            };
            for wrong in wrong {
                let mut changed = sample.clone();
                *at(&mut changed, &path) = json!(wrong);
                match read(&catalog, &changed) {
                    Ok(_) => assert_eq!(at_kind, 3, "{event}: {changed}"),
                    Err(paths) => {
                        assert_eq!(paths, [&*path], "{event}: {changed}");
                        counts[at_kind] += 1;
                    }
                }
            }
        }
    }
    // As many as the document has, but for the UUID that stands where any value may stand, each with
    // the wrong values of its kind.
    assert_eq!(counts, [50 * 4, 40 * 5, 2 * 4, 62]);
}

#[test]
fn every_choice_of_the_document_is_taken() {
    let cases: &[(&str, &str, &[&str])] = &[
        (
            "session:status",
            "data.type",
            &["started", "ended", "paused", "resumed"],
        ),
        (
            "session:feedback",
            "data.type",
            &["technique", "performance", "general"],
        ),
        ("session:feedback", "data.from.role", &["coach", "mentor"]),
        (
            "video:status",
            "data.status",
            &["uploading", "processing", "analyzed", "failed"],
        ),
        (
            "video:analysis",
            "data.status",
            &["uploading", "processing", "analyzed", "failed"],
        ),
        (
            "metric:recorded",
            "data.source",
            &["manual", "device", "ai"],
        ),
        ("goal:update", "data.type", &["achieved", "progress"]),
        ("message:new", "data.type", &["text", "image", "video"]),
        ("message:updated", "data.type", &["text", "image", "video"]),
        ("message:deleted", "data.type", &["text", "image", "video"]),
        (
            "notification:new",
            "data.type",
            &["alert", "info", "success"],
        ),
        (
            "community:activity",
            "data.type",
            &["post", "comment", "reaction"],
        ),
        (
            "mentor-session/status-changed",
            "data.status",
            &["in-progress", "completed", "cancelled"],
        ),
        (
            "mentor-session/feedback-submitted",
            "data.feedback-type",
            &["athlete", "mentor"],
        ),
        (
            "mentor-assessment/status-changed",
            "data.status",
            &["draft", "published", "archived"],
        ),
        (
            "mentor-assessment/plan-updated",
            "data.plan.action-items[0].priority",
            &["high", "medium", "low"],
        ),
        (
            "mentor/session-booked",
            "data.session.type",
            &["review", "guidance", "assessment"],
        ),
        (
            "analytics/performance-metric",
            "data.metric-type",
            &["speed", "strength", "endurance", "technique", "accuracy"],
        ),
        (
            "analytics/trend-update",
            "data.period",
            &["daily", "weekly", "monthly"],
        ),
        (
            "analytics/trend-update",
            "data.trend.direction",
            &["up", "down", "stable"],
        ),
        (
            "analytics/milestone-achieved",
            "data.milestone-type",
            &["personal-best", "goal-reached", "streak", "level-up"],
        ),
        (
            "analytics/platform-usage",
            "data.user-type",
            &["athlete", "coach", "mentor", "parent"],
        ),
        (
            "analytics/platform-usage",
            "data.activity-type",
            &["login", "feature-use", "content-access"],
        ),
        (
            "analytics/platform-usage",
            "data.context.content-type",
            &["video", "article", "assessment"],
        ),
        (
            "analytics/platform-usage",
            "data.device-info.type",
            &["mobile", "web", "tablet"],
        ),
        (
            "analytics/content-engagement",
            "data.engagement-type",
            &["view", "complete", "share", "save"],
        ),
        (
            "analytics/community-engagement",
            "data.activity-type",
            &["post", "comment", "like", "share"],
        ),
        (
            "analytics/community-engagement",
            "data.content.type",
            &["discussion", "achievement", "milestone"],
        ),
        (
            "analytics/collaboration-metrics",
            "data.type",
            &["team-training", "group-session", "mentor-meeting"],
        ),
        (
            "analytics/subscription-metric",
            "data.metric-type",
            &["new", "renewal", "churn", "upgrade"],
        ),
        (
            "analytics/subscription-metric",
            "data.plan-type",
            &["basic", "premium", "team", "enterprise"],
        ),
        (
            "analytics/subscription-metric",
            "data.user-segment",
            &["athlete", "coach", "organization"],
        ),
        (
            "analytics/feature-usage",
            "data.user-segment",
            &["athlete", "coach", "mentor", "parent"],
        ),
        (
            "analytics/system-performance",
            "data.component",
            &["api", "websocket", "database", "cache"],
        ),
        (
            "analytics/error-event",
            "data.type",
            &["api", "client", "system"],
        ),
        (
            "analytics/error-event",
            "data.severity",
            &["low", "medium", "high", "critical"],
        ),
        (
            "cache/entity-invalidated",
            "data.entity-type",
            &["athlete", "coach", "mentor", "session", "assessment"],
        ),
        (
            "cache/entity-invalidated",
            "data.invalidation-type",
            &["update", "delete"],
        ),
        (
            "cache/bulk-entities-invalidated",
            "data.reason",
            &["bulk-update", "data-migration", "version-change"],
        ),
        (
            "cache/bulk-entities-invalidated",
            "data.priority",
            &["high", "normal", "low"],
        ),
        (
            "cache/relationship-invalidated",
            "data.related-entities[0].relationship",
            &["parent", "child", "peer"],
        ),
        (
            "cache/pattern-invalidated",
            "data.scope",
            &["global", "regional", "user"],
        ),
        (
            "cache/pattern-invalidated",
            "data.reason",
            &["data-update", "configuration-change", "deployment"],
        ),
        (
            "cache/tags-invalidated",
            "data.scope",
            &["global", "regional", "user"],
        ),
        (
            "cache/tags-invalidated",
            "data.priority",
            &["high", "normal", "low"],
        ),
        (
            "cache/time-window-invalidated",
            "data.reason",
            &["data-correction", "timezone-update"],
        ),
        (
            "cache/realtime-metrics-sync",
            "data.metric-type",
            &["performance", "engagement", "system"],
        ),
        (
            "cache/realtime-metrics-sync",
            "data.update-type",
            &["increment", "set", "compute"],
        ),
        (
            "cache/conflict-detected",
            "data.resolution-strategy",
            &["lww", "custom", "manual"],
        ),
        (
            "cache/replication-status",
            "data.status",
            &["in-progress", "completed", "failed"],
        ),
        (
            "cache/memory-pressure",
            "data.eviction-strategy",
            &["lru", "ttl", "custom"],
        ),
        (
            "cache/warming-event",
            "data.priority",
            &["high", "normal", "low"],
        ),
        (
            "cache/warming-event",
            "data.strategy",
            &["preload", "lazy", "predictive"],
        ),
        (
            "cache/health-status",
            "data.status",
            &["healthy", "degraded", "unhealthy"],
        ),
        (
            "cache/health-status",
            "data.rate-limit-store.type",
            &["redis", "memory"],
        ),
        (
            "ratelimit/connection-throttle",
            "data.throttle-policy",
            &["reject", "queue", "degrade"],
        ),
        (
            "ratelimit/message-quota",
            "data.type",
            &["user", "session", "ip"],
        ),
        (
            "ratelimit/message-quota",
            "data.window",
            &["minute", "hour", "day"],
        ),
        (
            "ratelimit/burst-control",
            "data.action",
            &["delay", "drop", "throttle"],
        ),
        (
            "ratelimit/bandwidth-limit",
            "data.type",
            &["upload", "download", "total"],
        ),
        (
            "ratelimit/bandwidth-limit",
            "data.action",
            &["throttle", "block"],
        ),
        (
            "ratelimit/concurrent-ops",
            "data.operation-type",
            &["video-stream", "file-transfer", "bulk-operation"],
        ),
        (
            "ratelimit/ddos-protection",
            "data.trigger.type",
            &["connection-flood", "message-flood", "pattern-abuse"],
        ),
        (
            "ratelimit/ddos-protection",
            "data.action",
            &["block", "challenge", "monitor"],
        ),
        (
            "ratelimit/ddos-protection",
            "data.scope",
            &["ip", "subnet", "global"],
        ),
        (
            "ratelimit/circuit-breaker",
            "data.service",
            &["realtime-metrics", "video-streaming", "chat"],
        ),
        (
            "ratelimit/circuit-breaker",
            "data.state",
            &["open", "half-open", "closed"],
        ),
        (
            "ratelimit/tier-limits",
            "data.tier",
            &["free", "premium", "enterprise"],
        ),
        (
            "ratelimit/group-share",
            "data.allocation.type",
            &["equal", "weighted", "dynamic"],
        ),
        (
            "ratelimit/limit-warning",
            "data.type",
            &["connection", "message", "bandwidth"],
        ),
        (
            "ratelimit/violation",
            "data.violation.type",
            &["exceeded-limit", "abuse-detected"],
        ),
        (
            "ratelimit/violation",
            "data.consequences.action",
            &["temporary-block", "rate-reduce"],
        ),
        (
            "ratelimit/health",
            "data.status",
            &["healthy", "degraded", "critical"],
        ),
        (
            "ratelimit/health",
            "data.rate-limit-store.type",
            &["redis", "memory"],
        ),
    ];
    for (event, path, choices) in cases {
        let sample = sample(event);
        for choice in *choices {
            let mut changed = sample.clone();
            *at(&mut changed, path) = json!(choice);
            admit(&changed);
            *at(&mut changed, path) = json!(choice.to_uppercase());
            assert_eq!(refuse(&changed), [*path], "{changed}");
        }
    }
}

#[test]
fn plain_strings_of_typescript_are_not_checked() {
    for (event, path) in [
        ("session:status", "data.timestamp"),
        ("session:status", "data.metadata.coachId"),
        ("metric:recorded", "data.athleteId"),
        ("metric:recorded", "data.type"),
        ("goal:update", "data.goalId"),
        ("message:new", "data.timestamp"),
        ("message:new", "data.from.role"),
        ("notification:new", "data.id"),
        ("community:activity", "data.user.id"),
    ] {
        let mut changed = sample(event);
        *at(&mut changed, path) = json!("any text, with. dots");
        admit(&changed);
    }
}

#[test]
fn maps_have_free_keys() {
    let mut share = sample("ratelimit/group-share");
    share["data"]["allocation"]["weights"] = json!({"anyone": 1, "any one else": 0.25});
    admit(&share);
    share["data"]["allocation"]["weights"] = json!({});
    admit(&share);
    let mut vector = sample("cache/version-vector-update");
    vector["data"]["vector"] = json!({"eu.1": 1, "": 0});
    admit(&vector);
    vector["data"]["vector"] = json!({"eu": -1});
    assert_eq!(refuse(&vector), ["data.vector.eu"]);
}

#[test]
fn users_whose_ids_fit_no_channel_are_refused() {
    for party in ["from", "to"] {
        for id in ["", "a.b", "a b", "*"] {
            let mut message = sample("message:new");
            message["data"][party]["id"] = json!(id);
            assert_eq!(refuse(&message), [format!("data.{party}.id")], "{id}");
        }
    }
}

#[test]
fn optional_fields_are_left_out_not_null() {
    for (event, path) in OPTIONAL {
        let mut envelope = sample(event);
        *at(&mut envelope, path) = Value::Null;
        assert_eq!(refuse(&envelope), [*path]);
    }
    let bare = json!({"event": "video:status", "data": {"videoId": "v", "status": "uploading"}});
    admit(&bare);
    let any = Map::from_iter([("payload".to_owned(), Value::Null)]);
    let mut notification = sample("notification:new");
    notification["data"]["action"]["payload"] = any["payload"].clone();
    admit(&notification);
}
