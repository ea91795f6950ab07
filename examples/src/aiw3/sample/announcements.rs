//! Competitions that begin and end, and what the platform says of itself.

use serde_json::{Value, json};

use super::{COMPETITION, COMPETITION_NAME, Scene};

/// The event's name and its data.
pub(super) fn event(scene: &mut Scene<'_>) -> (&'static str, Value) {
    match scene.number(0..9) {
        0 => ("competition_started", competition_started(scene)),
        1 => (
            "competition_ended",
            json!({"competitionId": COMPETITION, "competitionName": COMPETITION_NAME}),
        ),
        2 => ("competition_nft_awarded", nft_awarded(scene)),
        3 => ("maintenance_scheduled", maintenance_scheduled(scene)),
        4 => ("maintenance_started", json!({"maintenanceId": "maint_001"})),
        5 => (
            "maintenance_completed",
            json!({"maintenanceId": "maint_001"}),
        ),
        6 => ("feature_announcement", feature_announcement(scene)),
        7 => ("security_alert", security_alert(scene)),
        _ => ("service_degradation", service_degradation(scene)),
    }
}

fn competition_started(scene: &mut Scene<'_>) -> Value {
    json!({
        "competitionId": COMPETITION, "competitionName": COMPETITION_NAME,
        "description": "Quarterly trading volume competition with NFT rewards",
        "startDate": scene.at(0), "endDate": scene.at(7_776_000), "registrationDeadline": scene.at(2_592_000),
        "totalPrizePool": 100_000, "currency": "USDT", "participantLimit": 10_000,
        "currentParticipants": scene.number(1..50),
        "eligibilityRequirements": {
            "minimumTradingVolume": 1_000, "accountAgeMinimumDays": 30, "kycRequired": true
        },
        "prizeStructure": [{
            "rankRange": "1-1", "prizeAmount": 25_000,
            "nftReward": {
                "name": "Champion Trophy", "rarity": "legendary",
                "imageUrl": "https://nft.example.com/champion-q1.png"
            }
        }],
        "rules": ["Only spot trading volume counts", "Wash trading will result in disqualification"]
    })
}

fn nft_awarded(scene: &mut Scene<'_>) -> Value {
    let rank = scene.number(1..11);
    json!({
        "competitionId": COMPETITION, "competitionName": COMPETITION_NAME, "finalRank": rank,
        "totalParticipants": 8_750, "percentile": 99.94, "finalTradingVolume": scene.amount(900_000..2_000_000),
        "prizeAmount": 5_000,
        "nftReward": {
            "nftId": format!("comp_nft_q1_2024_{rank:03}"), "name": "Elite Trader",
            "description": "Awarded for a finish among the first ten", "rarity": "epic",
            "imageUrl": "https://nft.example.com/elite-q1.png", "tokenId": "1234567890",
            "mintAddress": scene.base58(44), "estimatedValue": scene.amount(5_000..20_000),
            "benefits": {
                "tradingFeeDiscount": 0.05, "exclusiveAccess": ["competition_insights"], "prioritySupport": true
            }
        },
        "awardedAt": scene.at(0), "transactionHash": scene.base58(88),
        "competitionStats": {
            "duration": "90 days", "totalVolume": 125_000_000, "averageVolume": 14_285.71, "topVolume": 5_000_000
        }
    })
}

fn maintenance_scheduled(scene: &Scene<'_>) -> Value {
    json!({
        "maintenanceId": "maint_001", "title": "Scheduled System Maintenance",
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

fn feature_announcement(scene: &Scene<'_>) -> Value {
    json!({
        "featureId": "nft_staking_v2", "title": "New Feature: NFT Staking 2.0",
        "description": "Stake your NFTs to earn additional rewards", "releaseVersion": "v2.5.0",
        "releaseDate": scene.at(0), "featureType": "major", "targetAudience": "all_users",
        "features": [{
            "name": "Enhanced Staking Rewards", "description": "Earn up to 15% APY on staked NFTs",
            "benefits": ["Higher rewards", "Flexible terms"]
        }],
        "eligibility": {
            "requiredNftLevel": 1, "minimumStakingPeriod": "7 days", "supportedNftTypes": ["tiered", "competition"]
        },
        "callToAction": {"text": "Start Staking Now", "url": "/nft/staking", "buttonStyle": "primary"},
        "documentation": {
            "userGuide": "https://docs.example.com/nft-staking", "faq": "https://help.example.com/nft-staking-faq",
            "videoTutorial": "https://video.example.com/nft-staking"
        },
        "promotionalOffer": {
            "title": "Launch Bonus: 2x Rewards", "description": "Double staking rewards for the first 30 days",
            "validUntil": scene.at(2_592_000), "terms": "Applies to new staking positions only"
        }
    })
}

fn security_alert(scene: &mut Scene<'_>) -> Value {
    json!({
        "alertId": format!("sec_alert_{:03}", scene.number(1..999)), "alertType": "suspicious_activity",
        "severity": "medium", "title": "Security Alert: Unusual Login Activity",
        "description": "We detected login attempts from a new location on your account",
        "detectedAt": scene.at(-300),
        "affectedAccount": {
            "userId": scene.user, "email": "user@example.com", "lastKnownLocation": "New York, US",
            "suspiciousLocation": "London, UK"
        },
        "suspiciousActivity": {
            "activityType": "login_attempt", "ipAddress": "192.0.2.100", "userAgent": "Mozilla/5.0",
            "location": {"country": "United Kingdom", "city": "London", "coordinates": [51.5074, -0.1278]},
            "attemptCount": scene.number(2..9), "successful": false, "blocked": true
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
    })
}

fn service_degradation(scene: &mut Scene<'_>) -> Value {
    json!({
        "incidentId": "inc_001", "title": "Service Performance Issues",
        "description": "Some services respond more slowly than usual", "startedAt": scene.at(-900),
        "status": "investigating", "severity": "minor",
        "affectedServices": [{
            "serviceName": "NFT API", "status": "degraded", "impact": "Slower response times",
            "availability": scene.amount(90..99)
        }],
        "rootCause": {
            "identified": false, "suspectedCause": "High traffic volume", "investigation": "The cause is being looked for"
        },
        "currentImpact": {
            "usersAffected": scene.number(100..3_000), "percentageAffected": 8.5, "avgResponseTimeIncrease": "150%",
            "errorRateIncrease": "2.3%"
        },
        "mitigationSteps": ["Scaled up server capacity"], "estimatedResolution": scene.at(3_600),
        "workarounds": ["Retry failed requests after 30 seconds"],
        "updates": [{"timestamp": scene.at(-900), "status": "identified", "message": "Connection pool exhausted"}],
        "statusPage": "https://status.example.com/incidents/inc_001"
    })
}
