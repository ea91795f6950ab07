//! What the platform says of itself, to everyone: one thing after the other.

use serde_json::{Value, json};

use super::{TRADERS, amount, guide};
use crate::demo::Scene;

const FEATURES: &[(&str, &str, &str)] = &[
    (
        "nft_staking_v2",
        "NFT Staking 2.0",
        "Stake your NFTs to earn additional rewards",
    ),
    (
        "price_alerts",
        "Price Alerts",
        "Be told when a price passes your mark",
    ),
    (
        "copy_trading",
        "Copy Trading",
        "Follow the trades of those who lead",
    ),
];

/// What was said so far.
#[derive(Debug, Default)]
pub(super) struct Notices {
    count: u64,
    alerts: u64,
}

impl Notices {
    /// A feature, a maintenance from its announcement to its end, an incident from its beginning to its
    /// end, and so on.
    pub(super) fn turn(&mut self, scene: &mut Scene) {
        let (round, part) = (self.count / 6, self.count % 6);
        self.count += 1;
        let maintenance = format!("maint_{:03}", round + 1);
        let (event, data) = match part {
            0 => ("feature_announcement", feature(round, scene)),
            1 => ("maintenance_scheduled", scheduled(&maintenance, scene)),
            2 => (
                "service_degradation",
                degradation(round, "investigating", scene),
            ),
            3 => ("service_degradation", degradation(round, "resolved", scene)),
            4 => ("maintenance_started", json!({"maintenanceId": maintenance})),
            _ => (
                "maintenance_completed",
                json!({"maintenanceId": maintenance}),
            ),
        };
        for user in 1..=TRADERS.len() as u64 {
            guide(event, user, data.clone(), scene);
        }
    }

    /// Someone tried to sign in as a user.
    pub(super) fn alert(&mut self, user: u64, scene: &mut Scene) {
        self.alerts += 1;
        let attempts = scene.number(2..9);
        let data = json!({
            "alertId": format!("sec_alert_{:03}", self.alerts), "alertType": "suspicious_activity",
            "severity": "medium", "title": "Security Alert: Unusual Login Activity",
            "description": "We detected login attempts from a new location on your account",
            "detectedAt": scene.at(-300),
            "affectedAccount": {
                "userId": user, "email": format!("user{user}@example.com"), "lastKnownLocation": "New York, US",
                "suspiciousLocation": "London, UK"
            },
            "suspiciousActivity": {
                "activityType": "login_attempt", "ipAddress": "192.0.2.100", "userAgent": "Mozilla/5.0",
                "location": {"country": "United Kingdom", "city": "London", "coordinates": [51.5074, -0.1278]},
                "attemptCount": attempts, "successful": false, "blocked": true
            },
            "recommendedActions": [{
                "action": "change_password", "priority": "high", "description": "Change your password immediately",
                "url": "/security/change-password"
            }],
            "automaticActions": ["Temporarily locked account"],
            "contactInfo": {
                "securityTeam": "security@example.com", "emergencyPhone": "+1-800-SECURITY",
                "reportUrl": "https://example.com/security/report"
            },
            "additionalInfo": {"wasAccountCompromised": false, "dataAtRisk": "none", "estimatedRisk": "low"}
        });
        guide("security_alert", user, data, scene);
    }
}

fn feature(round: u64, scene: &Scene) -> Value {
    let (id, name, description) = FEATURES[round as usize % FEATURES.len()];
    json!({
        "featureId": id, "title": format!("New Feature: {name}"),
        "description": description, "releaseVersion": format!("v2.{}.0", round + 5),
        "releaseDate": scene.at(0), "featureType": "major", "targetAudience": "all_users",
        "features": [{
            "name": name, "description": description, "benefits": ["Higher rewards", "Flexible terms"]
        }],
        "eligibility": {
            "requiredNftLevel": 1, "minimumStakingPeriod": "7 days", "supportedNftTypes": ["tiered", "competition"]
        },
        "callToAction": {"text": "Try it", "url": format!("/features/{id}"), "buttonStyle": "primary"},
        "documentation": {
            "userGuide": format!("https://docs.example.com/{id}"), "faq": format!("https://help.example.com/{id}-faq"),
            "videoTutorial": format!("https://video.example.com/{id}")
        },
        "promotionalOffer": {
            "title": "Launch Bonus: 2x Rewards", "description": "Double rewards for the first 30 days",
            "validUntil": scene.at(2_592_000), "terms": "Applies to new positions only"
        }
    })
}

fn scheduled(id: &str, scene: &Scene) -> Value {
    json!({
        "maintenanceId": id, "title": "Scheduled System Maintenance",
        "description": "Routine system maintenance to improve performance",
        "scheduledStartTime": scene.at(86_400), "scheduledEndTime": scene.at(100_800),
        "estimatedDuration": "4 hours", "timezone": "UTC",
        "affectedServices": ["Trading API", "NFT Claiming"], "unaffectedServices": ["Portfolio Viewing"],
        "maintenanceType": "scheduled", "severity": "medium", "advanceNoticeHours": 24,
        "expectedImpact": {
            "trading": "Temporarily unavailable", "nftClaiming": "Temporarily unavailable",
            "portfolioViewing": "Read-only mode", "notifications": "Delayed delivery"
        },
        "preparationSteps": ["Complete any pending NFT claims before maintenance"],
        "contactInfo": {
            "supportEmail": "support@example.com", "statusPage": "https://status.example.com",
            "announcementUrl": "https://example.com/maintenance"
        }
    })
}

fn degradation(round: u64, status: &str, scene: &mut Scene) -> Value {
    let id = format!("inc_{:03}", round + 1);
    let is_over = status == "resolved";
    let availability = if is_over {
        100.0
    } else {
        amount(90..99, scene)
    };
    let (description, message) = if is_over {
        (
            "All services respond as usual again",
            "The connection pool was enlarged",
        )
    } else {
        (
            "Some services respond more slowly than usual",
            "Connection pool exhausted",
        )
    };
    json!({
        "incidentId": id, "title": "Service Performance Issues", "description": description,
        "startedAt": scene.at(-900), "status": status, "severity": "minor",
        "affectedServices": [{
            "serviceName": "NFT API", "status": if is_over { "operational" } else { "degraded" },
            "impact": if is_over { "None any more" } else { "Slower response times" }, "availability": availability
        }],
        "rootCause": {
            "identified": is_over, "suspectedCause": "High traffic volume",
            "investigation": if is_over { "Closed" } else { "The cause is being looked for" }
        },
        "currentImpact": {
            "usersAffected": if is_over { 0 } else { 1_250 }, "percentageAffected": if is_over { 0.0 } else { 8.5 },
            "avgResponseTimeIncrease": if is_over { "0%" } else { "150%" },
            "errorRateIncrease": if is_over { "0%" } else { "2.3%" }
        },
        "mitigationSteps": ["Scaled up server capacity"], "estimatedResolution": scene.at(if is_over { 0 } else { 3_600 }),
        "workarounds": ["Retry failed requests after 30 seconds"],
        "updates": [{"timestamp": scene.at(0), "status": status, "message": message}],
        "statusPage": format!("https://status.example.com/incidents/{id}")
    })
}
