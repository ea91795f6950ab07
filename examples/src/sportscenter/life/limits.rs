//! What limits do.

use serde_json::{Value, json};

use super::{Scene, node_health};

pub(super) fn connection_limit(scene: &mut Scene<'_>) -> Value {
    let remaining = scene.part(3);
    json!({"event": "ratelimit/connection-limit", "data": {
        "user-id": scene.user(),
        "connection-count": 3 - remaining,
        "max-connections": 3,
        "remaining": remaining,
        "reset-time": scene.time(1),
        "policy": {
            "type": "sliding-window",
            "window-size": 3600,
        },
    }})
}

pub(super) fn connection_throttle(scene: &mut Scene<'_>) -> Value {
    json!({"event": "ratelimit/connection-throttle", "data": {
        "node-id": scene.pick(&["node-eu-1", "node-eu-2", "node-us-1"]),
        "current-load": scene.about(85.5),
        "max-load": scene.about(95.0),
        "throttle-policy": scene.pick(&["reject", "queue", "degrade"]),
        "duration": scene.count(300),
        "affected-user-types": ["free", "basic"],
    }})
}

pub(super) fn message_quota(scene: &mut Scene<'_>) -> Value {
    json!({"event": "ratelimit/message-quota", "data": {
        "user-id": scene.user(),
        "quota": {
            "messages-sent": scene.part(60),
            "messages-limit": 60,
            "reset-time": scene.time(1),
        },
        "type": "user",
        "window": "minute",
    }})
}

pub(super) fn burst_control(scene: &mut Scene<'_>) -> Value {
    json!({"event": "ratelimit/burst-control", "data": {
        "user-id": scene.user(),
        "burst": {
            "current-rate": scene.count(50),
            "max-rate": scene.count(100),
            "window-ms": 1000,
        },
        "action": scene.pick(&["delay", "drop", "throttle"]),
        "backoff": {
            "initial": scene.count(100),
            "max": 5000,
            "multiplier": scene.about(1.5),
        },
    }})
}

pub(super) fn bandwidth_limit(scene: &mut Scene<'_>) -> Value {
    json!({"event": "ratelimit/bandwidth-limit", "data": {
        "user-id": scene.user(),
        "bandwidth": {
            "current": scene.part(5_242_880),
            "limit": 5_242_880,
            "window": "hour",
        },
        "type": scene.pick(&["upload", "download", "total"]),
        "action": scene.pick(&["throttle", "block"]),
    }})
}

pub(super) fn concurrent_ops(scene: &mut Scene<'_>) -> Value {
    json!({"event": "ratelimit/concurrent-ops", "data": {
        "user-id": scene.user(),
        "operation-type": scene.pick(&["video-stream", "file-transfer", "bulk-operation"]),
        "current": scene.part(5),
        "max": 5,
        "queue-position": 0,
        "estimated-wait": scene.count(30),
    }})
}

pub(super) fn adaptive_limit(scene: &mut Scene<'_>) -> Value {
    json!({"event": "ratelimit/adaptive-limit", "data": {
        "user-id": scene.user(),
        "metrics": {
            "error-rate": scene.about(0.05),
            "latency": scene.count(250),
            "success-rate": scene.about(0.95),
        },
        "adjustments": [{
            "metric": "requests-per-second",
            "old-value": scene.count(100),
            "new-value": scene.count(80),
            "reason": scene.pick(&["error-rate-exceeded", "latency-exceeded"]),
        }],
        "duration": scene.count(300),
    }})
}

pub(super) fn fair_usage(scene: &mut Scene<'_>) -> Value {
    json!({"event": "ratelimit/fair-usage", "data": {
        "user-id": scene.user(),
        "usage-pattern": {
            "peak-times": ["09:00-17:00"],
            "high-usage-days": ["Monday", "Wednesday"],
        },
        "adjustments": {
            "peak-limit": scene.count(50),
            "off-peak-limit": scene.count(100),
            "burst-allowance": scene.about(1.5),
        },
    }})
}

pub(super) fn ddos_protection(scene: &mut Scene<'_>) -> Value {
    json!({"event": "ratelimit/ddos-protection", "data": {
        "trigger": {
            "type": scene.pick(&["connection-flood", "message-flood", "pattern-abuse"]),
            "threshold": 1000,
            "window": 60,
        },
        "action": scene.pick(&["block", "challenge", "monitor"]),
        "scope": scene.pick(&["ip", "subnet", "global"]),
        "duration": scene.count(3600),
    }})
}

pub(super) fn circuit_breaker(scene: &mut Scene<'_>) -> Value {
    json!({"event": "ratelimit/circuit-breaker", "data": {
        "service": scene.pick(&["realtime-metrics", "video-streaming", "chat"]),
        "state": scene.pick(&["open", "half-open", "closed"]),
        "metrics": {
            "error-rate": scene.about(0.25),
            "latency": scene.count(500),
            "timeout-rate": scene.about(0.1),
        },
        "recovery": {
            "attempts": 3,
            "backoff": scene.count(1000),
            "reset-time": scene.time(1),
        },
    }})
}

pub(super) fn tier_limits(scene: &mut Scene<'_>) -> Value {
    json!({"event": "ratelimit/tier-limits", "data": {
        "user-id": scene.user(),
        "tier": scene.pick(&["free", "premium", "enterprise"]),
        "limits": {
            "connections": 3,
            "messages-per-minute": 60,
            "bandwidth": scene.count(1048576),
            "features": ["chat", "metrics"],
        },
        "upgrade-path": {
            "next-tier": "premium",
            "benefits": ["increased-limits", "priority-support"],
        },
    }})
}

pub(super) fn group_share(scene: &mut Scene<'_>) -> Value {
    let used = scene.part(1_000);
    json!({"event": "ratelimit/group-share", "data": {
        "group-id": scene.uuid(),
        "members": [scene.user(), scene.user()],
        "shared-quota": {
            "total": 1000,
            "used": used,
            "remaining": 1_000 - used,
        },
        "allocation": {
            "type": scene.pick(&["equal", "weighted", "dynamic"]),
            "weights": {
                "user1": scene.about(0.4),
                "user2": scene.about(0.6),
            },
        },
    }})
}

pub(super) fn limit_warning(scene: &mut Scene<'_>) -> Value {
    json!({"event": "ratelimit/limit-warning", "data": {
        "user-id": scene.user(),
        "type": scene.pick(&["connection", "message", "bandwidth"]),
        "usage-percent": 80 + scene.part(20),
        "forecast": {
            "time-to-limit": scene.count(300),
            "suggested-reduction": scene.count(20),
        },
        "mitigation-options": ["reduce-frequency", "upgrade-plan"],
    }})
}

pub(super) fn violation(scene: &mut Scene<'_>) -> Value {
    json!({"event": "ratelimit/violation", "data": {
        "user-id": scene.user(),
        "violation": {
            "type": scene.pick(&["exceeded-limit", "abuse-detected"]),
            "details": "Too many connection attempts",
            "timestamp": scene.time(0),
        },
        "consequences": {
            "action": scene.pick(&["temporary-block", "rate-reduce"]),
            "duration": scene.count(300),
            "appeal-process": "support-ticket",
        },
    }})
}

pub(super) fn metrics(scene: &mut Scene<'_>) -> Value {
    json!({"event": "ratelimit/metrics", "data": {
        "timestamp": scene.time(0),
        "global": {
            "total-connections": scene.count(1000),
            "message-rate": scene.count(5000),
            "bandwidth-usage": scene.count(10485760),
        },
        "per-user": {
            "p95-usage": scene.count(85),
            "p99-usage": scene.count(95),
        },
        "violations": {
            "count": scene.count(50),
            "top-offenders": [scene.user(), scene.user()],
        },
    }})
}

pub(super) fn health(scene: &mut Scene<'_>) -> Value {
    node_health("ratelimit/health", "critical", scene)
}
