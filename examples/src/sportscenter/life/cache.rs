//! What caches tell each other.

use serde_json::{Value, json};

use super::{Scene, node_health};

pub(super) fn entity_invalidated(scene: &mut Scene<'_>) -> Value {
    json!({"event": "cache/entity-invalidated", "data": {
        "entity-type": scene.pick(&["athlete", "coach", "mentor", "session", "assessment"]),
        "entity-id": scene.uuid(),
        "invalidation-type": scene.pick(&["update", "delete"]),
        "cache-keys": [scene.pick(&["athlete:profile", "athlete:metrics", "session:live"])],
        "timestamp": scene.time(0),
        "version": 1,
    }})
}

pub(super) fn bulk_entities_invalidated(scene: &mut Scene<'_>) -> Value {
    json!({"event": "cache/bulk-entities-invalidated", "data": {
        "entity-type": scene.pick(&["athlete", "session", "assessment"]),
        "entity-ids": [scene.uuid(), scene.uuid()],
        "pattern": "athlete:*:123",
        "reason": scene.pick(&["bulk-update", "data-migration", "version-change"]),
        "priority": scene.pick(&["high", "normal", "low"]),
        "timestamp": scene.time(0),
    }})
}

pub(super) fn relationship_invalidated(scene: &mut Scene<'_>) -> Value {
    json!({"event": "cache/relationship-invalidated", "data": {
        "primary-entity": {
            "type": scene.pick(&["athlete", "coach"]),
            "id": scene.uuid(),
        },
        "related-entities": [{
            "type": scene.pick(&["session", "assessment"]),
            "id": scene.uuid(),
            "relationship": scene.pick(&["parent", "child", "peer"]),
        }],
        "cascade": true,
        "timestamp": scene.time(0),
    }})
}

pub(super) fn pattern_invalidated(scene: &mut Scene<'_>) -> Value {
    json!({"event": "cache/pattern-invalidated", "data": {
        "pattern": "athlete:metrics:*",
        "scope": scene.pick(&["global", "regional", "user"]),
        "reason": scene.pick(&["data-update", "configuration-change", "deployment"]),
        "affected-regions": ["us-east", "eu-west"],
        "timestamp": scene.time(0),
    }})
}

pub(super) fn tags_invalidated(scene: &mut Scene<'_>) -> Value {
    json!({"event": "cache/tags-invalidated", "data": {
        "tags": ["training-program:v2", "workout:strength", "user-preferences"],
        "scope": scene.pick(&["global", "regional", "user"]),
        "priority": scene.pick(&["high", "normal", "low"]),
        "timestamp": scene.time(0),
    }})
}

pub(super) fn time_window_invalidated(scene: &mut Scene<'_>) -> Value {
    json!({"event": "cache/time-window-invalidated", "data": {
        "start-time": scene.time(-60),
        "end-time": scene.time(90),
        "affected-types": [scene.pick(&["metrics", "sessions", "analytics"])],
        "reason": scene.pick(&["data-correction", "timezone-update"]),
        "timestamp": scene.time(0),
    }})
}

pub(super) fn schedule_invalidation(scene: &mut Scene<'_>) -> Value {
    json!({"event": "cache/schedule-invalidation", "data": {
        "schedule": "0 0 * * *",
        "patterns": [scene.pick(&["athlete:metrics:*", "leaderboard:*"])],
        "timezone": "UTC",
        "next-execution": scene.time(720),
        "timestamp": scene.time(0),
    }})
}

pub(super) fn realtime_metrics_sync(scene: &mut Scene<'_>) -> Value {
    json!({"event": "cache/realtime-metrics-sync", "data": {
        "metric-type": scene.pick(&["performance", "engagement", "system"]),
        "entities-affected": [scene.uuid(), scene.uuid()],
        "update-type": scene.pick(&["increment", "set", "compute"]),
        "value": {
            "current": scene.about(85.5),
            "previous": scene.about(82.3),
        },
        "timestamp": scene.time(0),
    }})
}

pub(super) fn live_session_sync(scene: &mut Scene<'_>) -> Value {
    json!({"event": "cache/live-session-sync", "data": {
        "session-id": scene.session(),
        "participant-ids": [scene.user(), scene.user()],
        "updates": [{
            "key": "session:progress",
            "value": scene.count(75),
            "ttl": 300,
        }],
        "timestamp": scene.time(0),
    }})
}

pub(super) fn version_vector_update(scene: &mut Scene<'_>) -> Value {
    json!({"event": "cache/version-vector-update", "data": {
        "node-id": scene.pick(&["node-eu-1", "node-eu-2", "node-us-1"]),
        "vector": {
            "node1": 5,
            "node2": 3,
            "node3": scene.count(7),
        },
        "entity-type": scene.pick(&["athlete", "session", "assessment"]),
        "timestamp": scene.time(0),
    }})
}

pub(super) fn conflict_detected(scene: &mut Scene<'_>) -> Value {
    json!({"event": "cache/conflict-detected", "data": {
        "entity-id": scene.uuid(),
        "cache-keys": [scene.pick(&["athlete:profile", "athlete:metrics", "session:live"])],
        "versions": [{
            "node": scene.pick(&["node-eu-1", "node-us-1"]),
            "version": 5,
            "timestamp": scene.time(0),
        }],
        "resolution-strategy": scene.pick(&["lww", "custom", "manual"]),
        "timestamp": scene.time(0),
    }})
}

pub(super) fn replication_status(scene: &mut Scene<'_>) -> Value {
    json!({"event": "cache/replication-status", "data": {
        "source-region": scene.pick(&["eu-west", "us-east"]),
        "target-regions": [scene.pick(&["ap-south", "us-west"])],
        "status": scene.pick(&["in-progress", "completed", "failed"]),
        "metrics": {
            "latency": scene.count(50),
            "items-processed": scene.count(1000),
            "errors": 0,
        },
        "timestamp": scene.time(0),
    }})
}

pub(super) fn memory_pressure(scene: &mut Scene<'_>) -> Value {
    json!({"event": "cache/memory-pressure", "data": {
        "node-id": scene.pick(&["node-eu-1", "node-eu-2", "node-us-1"]),
        "memory-usage": scene.about(85.5),
        "eviction-strategy": scene.pick(&["lru", "ttl", "custom"]),
        "priority-keys": [scene.pick(&["session:live", "athlete:profile"])],
        "protected-patterns": ["critical:*"],
        "timestamp": scene.time(0),
    }})
}

pub(super) fn warming_event(scene: &mut Scene<'_>) -> Value {
    json!({"event": "cache/warming-event", "data": {
        "patterns": [scene.pick(&["athlete:metrics:*", "leaderboard:*"])],
        "priority": scene.pick(&["high", "normal", "low"]),
        "strategy": scene.pick(&["preload", "lazy", "predictive"]),
        "progress": {
            "total": 1000,
            "processed": scene.part(1_000),
            "errors": 0,
        },
        "timestamp": scene.time(0),
    }})
}

pub(super) fn health_status(scene: &mut Scene<'_>) -> Value {
    node_health("cache/health-status", "unhealthy", scene)
}
