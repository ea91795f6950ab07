//! Badges: worked for, earned, activated, and used up by the next NFT.

use serde_json::{Value, json};

use super::{cents, guide, nft, service};
use crate::demo::Scene;

/// How many a tier takes: one of each series.
pub(super) const REQUIRED: usize = SERIES.len();
/// By how much each brings the next NFT closer, in percent.
pub(super) const CONTRIBUTION: u64 = 10;

const RARITIES: [&str; 5] = ["common", "uncommon", "rare", "epic", "legendary"];
const NUMERALS: [&str; 6] = ["I", "II", "III", "IV", "V", "VI"];

/// Badges for more and more of the same. The last ones are out of reach.
struct Series {
    name: &'static str,
    category: &'static str,
    kind: &'static str,
    /// What is to be done; `#` is how often.
    task: &'static str,
    targets: [u64; 6],
}

const SERIES: [Series; 5] = [
    Series {
        name: "Trader",
        category: "trading",
        kind: "trade_count",
        task: "Complete # trades",
        targets: [10, 50, 200, 500, 2_000, 10_000],
    },
    Series {
        name: "High Roller",
        category: "trading",
        kind: "daily_volume",
        task: "Trade # USDT in one day",
        targets: [1_000, 5_000, 20_000, 50_000, 100_000, 500_000],
    },
    Series {
        name: "Night Owl",
        category: "trading",
        kind: "night_trades",
        task: "Trade on # nights",
        targets: [8, 20, 40, 75, 150, 365],
    },
    Series {
        name: "Iron Hands",
        category: "trading",
        kind: "days_held",
        task: "Hold a position for # days",
        targets: [7, 30, 60, 90, 180, 365],
    },
    Series {
        name: "Mentor",
        category: "community",
        kind: "questions_answered",
        task: "Answer # questions",
        targets: [10, 25, 50, 100, 250, 1_000],
    },
];

/// Those of one user: in each series the badge of one step, the same in all.
#[derive(Debug)]
pub(super) struct Badges {
    user: u64,
    /// From 0 on; as many tiers are behind the user in this season.
    step: usize,
    states: [State; REQUIRED],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// So much is done.
    Open(u64),
    Earned,
    Active,
}

/// The way to a tier before and after a badge was activated, in percent.
pub(super) struct Way {
    pub(super) level: u64,
    pub(super) before: f64,
    pub(super) after: f64,
}

impl Badges {
    /// Those of the tier after `level`, untouched.
    pub(super) fn after(level: u64, user: u64) -> Self {
        let step = level as usize;
        let states = std::array::from_fn(|at| State::Open(SERIES[at].start(step)));
        Self { user, step, states }
    }

    /// How many count.
    pub(super) fn active(&self) -> usize {
        let active = self.states.iter().filter(|state| **state == State::Active);
        active.count()
    }

    /// The ids of all that this tier takes.
    pub(super) fn ids(&self) -> Vec<String> {
        SERIES.iter().map(|series| series.id(self.step)).collect()
    }

    /// The user comes closer to one, or earns it, or activates one that was earned; then `way` says how
    /// far that brings the user. Whether one was activated.
    pub(super) fn turn(&mut self, way: impl FnOnce(u64) -> Way, scene: &mut Scene) -> bool {
        let places = |wanted: fn(&State) -> bool| {
            let places = (0..REQUIRED).filter(|at| wanted(&self.states[*at]));
            places.collect::<Vec<_>>()
        };
        let earned = places(|state| *state == State::Earned);
        let open = places(|state| matches!(state, State::Open(_)));
        if !earned.is_empty() && (open.is_empty() || scene.chance(50)) {
            let at = scene.pick(&earned);
            let active = self.active() as u64;
            self.states[at] = State::Active;
            self.tell_activated(at, active, &way(CONTRIBUTION), scene);
            return true;
        }
        if !open.is_empty() {
            // They are gone for one after the other rather than all at once.
            let few = &open[..open.len().min(2)];
            let at = scene.pick(few);
            self.advance(at, scene);
        }
        false
    }

    fn advance(&mut self, at: usize, scene: &mut Scene) {
        let State::Open(before) = self.states[at] else {
            return;
        };
        let (series, step) = (&SERIES[at], self.step);
        let (start, target) = (series.start(step), series.targets[step]);
        let part = scene.number(18..43);
        let now = before + ((target - start) * part / 100).max(1);
        if now < target {
            self.states[at] = State::Open(now);
            self.tell_progress(at, before, now, scene);
        } else {
            self.states[at] = State::Earned;
            self.tell_earned(at, scene);
        }
    }

    fn tell_progress(&self, at: usize, before: u64, now: u64, scene: &mut Scene) {
        let (series, step) = (&SERIES[at], self.step);
        let target = series.targets[step];
        let percent = |of: u64| cents(100.0 * of as f64 / target as f64);
        let data = json!({
            "badgeId": series.id(step), "badgeName": series.badge(step), "category": series.category,
            "rarity": RARITIES[step],
            "requirements": [{
                "type": series.kind, "description": series.task(step), "target": target, "current": now,
                "previous": before, "change": now - before, "progressPercentage": percent(now), "completed": false
            }],
            "overallProgress": percent(now), "progressChange": cents(percent(now) - percent(before)),
            "estimatedCompletionTime": scene.at(432_000), "milestoneReached": false,
            "nextMilestone": {
                "target": target, "remaining": target - now, "description": "The badge is yours"
            },
            "isCloseToCompletion": percent(now) >= 80.0, "completionThreshold": 90
        });
        guide("badge_progress_update", self.user, data, scene);
    }

    fn tell_earned(&self, at: usize, scene: &mut Scene) {
        let (series, step) = (&SERIES[at], self.step);
        let (id, name, task) = (series.id(step), series.badge(step), series.task(step));
        let (image, now, target) = (series.image(step), scene.at(0), series.targets[step]);
        let data = json!({
            "badgeId": id, "badgeName": name, "badgeDescription": task, "iconUrl": image,
            "category": series.category, "rarity": RARITIES[step], "contributionValue": CONTRIBUTION,
            "contributionWeight": 1, "earnedAt": now,
            "requirements": [{
                "type": series.kind, "description": task, "target": target, "current": target, "completed": true
            }],
            "rewards": {
                "nftProgressContribution": CONTRIBUTION, "experiencePoints": 100 * (step + 1), "title": name
            },
            "nextBadgeInSeries": {
                "badgeId": series.id(step + 1), "badgeName": series.badge(step + 1),
                "requirements": [{
                    "type": series.kind, "description": series.task(step + 1),
                    "target": series.targets[step + 1], "current": target
                }]
            }
        });
        guide("badge_earned", self.user, data, scene);
        let data = json!({
            "badgeId": id, "badgeName": name, "description": task, "imageUrl": image, "earnedAt": now,
            "requiredForTier": step + 1
        });
        service("badge_earned", self.user, data, scene);
    }

    /// `active` counted before.
    fn tell_activated(&self, at: usize, active: u64, way: &Way, scene: &mut Scene) {
        let (series, step) = (&SERIES[at], self.step);
        let affected: Value = json!([{
            "nftLevel": way.level, "nftName": nft::tier(way.level), "oldProgress": way.before,
            "newProgress": way.after, "progressChange": cents(way.after - way.before),
            "requirementsMet": way.after >= 100.0
        }]);
        let data = json!({
            "badgeId": series.id(step), "badgeName": series.badge(step), "activatedAt": scene.at(0),
            "contributionValue": CONTRIBUTION, "previousTotalContribution": CONTRIBUTION * active,
            "newTotalContribution": CONTRIBUTION * (active + 1), "contributionChange": CONTRIBUTION,
            "affectedNftLevels": affected, "totalActiveBadges": active + 1, "maxActiveBadges": 50
        });
        guide("badge_activated", self.user, data, scene);
    }
}

impl Series {
    fn badge(&self, step: usize) -> String {
        format!("{} {}", self.name, NUMERALS[step])
    }

    fn id(&self, step: usize) -> String {
        let name = self.name.to_lowercase().replace(' ', "_");
        format!("badge_{name}_{}", step + 1)
    }

    fn image(&self, step: usize) -> String {
        format!("https://badges.example.com/{}.png", self.id(step))
    }

    fn task(&self, step: usize) -> String {
        self.task.replace('#', &self.targets[step].to_string())
    }

    /// What the step before took counts.
    fn start(&self, step: usize) -> u64 {
        step.checked_sub(1).map_or(0, |last| self.targets[last])
    }
}
