//! What is counted.

use serde_json::{Value, json};

use super::{MEMBERS, Scene};

pub(super) fn performance_metric(scene: &mut Scene<'_>) -> Value {
    let (kind, usual, unit) = scene.pick(&[
        ("speed", 27.5, "km/h"),
        ("strength", 85.5, "kg"),
        ("endurance", 148.0, "bpm"),
        ("technique", 78.0, "%"),
        ("accuracy", 85.5, "%"),
    ]);
    json!({"event": "analytics/performance-metric", "data": {
        "athlete-id": scene.athlete(),
        "metric-type": kind,
        "value": scene.about(usual),
        "unit": unit,
        "context": {
            "session-id": scene.session(),
            "exercise-id": scene.uuid(),
            "equipment-id": scene.uuid(),
        },
        "timestamp": scene.time(0),
    }})
}

pub(super) fn trend_update(scene: &mut Scene<'_>) -> Value {
    let (direction, change) = scene.pick(&[("up", 5.2), ("down", -3.1), ("stable", 0.2)]);
    json!({"event": "analytics/trend-update", "data": {
        "athlete-id": scene.athlete(),
        "metric-type": scene.pick(&["speed", "endurance", "accuracy"]),
        "period": scene.pick(&["daily", "weekly", "monthly"]),
        "trend": {
            "current-value": scene.about(85.5),
            "change-percentage": change,
            "direction": direction,
            "confidence-score": scene.about(0.95),
        },
        "timestamp": scene.time(0),
    }})
}

pub(super) fn milestone_achieved(scene: &mut Scene<'_>) -> Value {
    // Less is better on the track.
    let (metric, value, best) = scene.pick(&[
        ("sprint-30m", 4.21, 4.28),
        ("bench-press", 90.0, 85.0),
        ("10k", 41.2, 41.9),
    ]);
    json!({"event": "analytics/milestone-achieved", "data": {
        "athlete-id": scene.athlete(),
        "milestone-type": scene.pick(&["personal-best", "goal-reached", "streak", "level-up"]),
        "details": {
            "metric": metric,
            "value": value,
            "previous-best": best,
        },
        "achievements": [scene.pick(&["first-sub-24", "streak-30", "level-5"])],
        "timestamp": scene.time(0),
    }})
}

pub(super) fn session_engagement(scene: &mut Scene<'_>) -> Value {
    json!({"event": "analytics/session-engagement", "data": {
        "session-id": scene.session(),
        "user-id": scene.user(),
        "metrics": {
            "duration": scene.count(3600),
            "interaction-count": scene.count(45),
            "focus-score": scene.about(0.85),
            "completion-rate": scene.about(0.95),
        },
        "breakdown": {
            "exercise-time": scene.count(2400),
            "rest-time": scene.count(600),
            "feedback-time": scene.count(600),
        },
        "timestamp": scene.time(0),
    }})
}

pub(super) fn platform_usage(scene: &mut Scene<'_>) -> Value {
    let (user, role) = scene.pick(&MEMBERS);
    json!({"event": "analytics/platform-usage", "data": {
        "user-id": user,
        "user-type": role,
        "activity-type": scene.pick(&["login", "feature-use", "content-access"]),
        "context": {
            "feature-id": scene.pick(&["video-review", "goal-board", "live-metrics"]),
            "content-type": scene.pick(&["video", "article", "assessment"]),
            "duration": scene.count(300),
        },
        "device-info": {
            "type": scene.pick(&["mobile", "web", "tablet"]),
            "os": scene.pick(&["Android 16", "iOS 19", "Windows 11"]),
            "app-version": scene.pick(&["4.2.0", "4.2.1", "4.3.0"]),
        },
        "timestamp": scene.time(0),
    }})
}

pub(super) fn content_engagement(scene: &mut Scene<'_>) -> Value {
    json!({"event": "analytics/content-engagement", "data": {
        "content-id": scene.uuid(),
        "user-id": scene.user(),
        "engagement-type": scene.pick(&["view", "complete", "share", "save"]),
        "metrics": {
            "view-duration": scene.count(240),
            "completion-percentage": scene.count(85),
            "interaction-count": scene.count(12),
        },
        "feedback": {
            "helpful": scene.pick(&[true, false]),
            "difficulty": scene.pick(&["easy", "medium", "hard"]),
        },
        "timestamp": scene.time(0),
    }})
}

pub(super) fn community_engagement(scene: &mut Scene<'_>) -> Value {
    json!({"event": "analytics/community-engagement", "data": {
        "user-id": scene.user(),
        "activity-type": scene.pick(&["post", "comment", "like", "share"]),
        "content": {
            "id": scene.uuid(),
            "type": scene.pick(&["discussion", "achievement", "milestone"]),
            "engagement-score": scene.about(75.5),
        },
        "reach": {
            "views": scene.count(150),
            "interactions": scene.count(25),
            "shares": scene.count(10),
        },
        "timestamp": scene.time(0),
    }})
}

pub(super) fn collaboration_metrics(scene: &mut Scene<'_>) -> Value {
    json!({"event": "analytics/collaboration-metrics", "data": {
        "session-id": scene.session(),
        "participants": [scene.user(), scene.user()],
        "type": scene.pick(&["team-training", "group-session", "mentor-meeting"]),
        "metrics": {
            "participant-count": 5,
            "interaction-density": scene.about(0.85),
            "collaboration-score": scene.about(90.0),
        },
        "feedback-summary": {
            "satisfaction-score": scene.about(4.5),
            "engagement-level": scene.pick(&["low", "medium", "high"]),
        },
        "timestamp": scene.time(0),
    }})
}

pub(super) fn subscription_metric(scene: &mut Scene<'_>) -> Value {
    json!({"event": "analytics/subscription-metric", "data": {
        "metric-type": scene.pick(&["new", "renewal", "churn", "upgrade"]),
        "plan-type": scene.pick(&["basic", "premium", "team", "enterprise"]),
        "user-segment": scene.pick(&["athlete", "coach", "organization"]),
        "value": scene.about(299.99),
        "context": {
            "previous-plan": scene.pick(&["basic", "premium", "team"]),
            "subscription-length": scene.count(12),
            "discount-applied": scene.about(0.1),
        },
        "timestamp": scene.time(0),
    }})
}

pub(super) fn feature_usage(scene: &mut Scene<'_>) -> Value {
    json!({"event": "analytics/feature-usage", "data": {
        "feature-id": scene.pick(&["video-review", "goal-board", "live-metrics"]),
        "user-segment": scene.pick(&["athlete", "coach", "mentor", "parent"]),
        "usage-metrics": {
            "access-count": scene.count(125),
            "average-duration": scene.count(300),
            "success-rate": scene.about(0.92),
        },
        "user-feedback": {
            "satisfaction": scene.about(4.5),
            "difficulty": scene.about(2.0),
            "usefulness": scene.about(4.8),
        },
        "timestamp": scene.time(0),
    }})
}

pub(super) fn system_performance(scene: &mut Scene<'_>) -> Value {
    json!({"event": "analytics/system-performance", "data": {
        "component": scene.pick(&["api", "websocket", "database", "cache"]),
        "metrics": {
            "response-time": scene.count(150),
            "error-rate": scene.about(0.001),
            "throughput": scene.count(1000),
            "concurrent-users": scene.count(500),
        },
        "resource-usage": {
            "cpu": scene.about(45.5),
            "memory": scene.about(75.2),
            "network-io": scene.about(500.0),
        },
        "timestamp": scene.time(0),
    }})
}

pub(super) fn error_event(scene: &mut Scene<'_>) -> Value {
    json!({"event": "analytics/error-event", "data": {
        "error-id": scene.uuid(),
        "type": scene.pick(&["api", "client", "system"]),
        "severity": scene.pick(&["low", "medium", "high", "critical"]),
        "context": {
            "user-id": scene.user(),
            "session-id": scene.session(),
            "request-id": scene.uuid(),
            "stack-trace": scene.pick(&["TimeoutError at upload.ts:218", "TypeError at player.tsx:57"]),
        },
        "impact": {
            "users-affected": scene.count(10),
            "services-affected": [scene.pick(&["video-streaming", "realtime-metrics", "chat"])],
            "duration": scene.count(300),
        },
        "timestamp": scene.time(0),
    }})
}
