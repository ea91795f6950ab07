//! Which events are for subscribers of certain roles alone, and which part of a flush is whose.

use std::collections::HashMap;
use std::fmt;
use std::ops::BitAnd;
use std::sync::Arc;

use crate::auth::Identity;
use crate::event::{Event, Publication};
use crate::sync::Mutex;
use crate::wire::Flush;

/// The most different sets of roles that the events of one node can be bound to.
pub(crate) const MAX_ROLE_SETS: usize = u64::BITS as usize;

/// Which events need which roles, as the node's event set says. Made once, when the node starts.
#[derive(Debug, Default)]
pub(crate) struct Visibility {
    /// Each different set once, its roles in order.
    sets: Vec<Vec<&'static str>>,
    /// Only events that need a role stand here.
    events: HashMap<&'static str, RoleSets>,
}

/// Sets of roles, a bit each: those that a client satisfies, or the one that an event needs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct RoleSets(u64);

/// What a flush that holds events for certain roles is for whom.
#[derive(Debug)]
pub(crate) struct Parts {
    /// What each of the publications needs.
    needs: Box<[RoleSets]>,
    all: RoleSets,
    /// Those that somebody got, by the sets that they satisfy.
    made: Mutex<Vec<(RoleSets, Arc<Flush>)>>,
}

impl Visibility {
    /// Takes events with the roles that they need.
    ///
    /// # Errors
    /// [`RolesError`] where the events are bound to more sets of roles than can be told apart, or one
    /// event is bound to two.
    pub(crate) fn new(
        bound: impl IntoIterator<Item = (&'static str, &'static [&'static str])>,
    ) -> Result<Self, RolesError> {
        let mut visibility = Self::default();
        for (event, roles) in bound {
            let needs = visibility.set(roles)?;
            let known = visibility.events.insert(event, needs);
            if known.is_some_and(|known| known != needs) {
                return Err(RolesError(format!(
                    "{event} needs other roles in one envelope than in the other; an event needs the same in both"
                )));
            }
        }
        Ok(visibility)
    }

    fn set(&mut self, roles: &[&'static str]) -> Result<RoleSets, RolesError> {
        let mut roles = roles.to_vec();
        roles.sort_unstable();
        roles.dedup();
        let known = self.sets.iter().position(|set| *set == roles);
        let index = known.unwrap_or(self.sets.len());
        if index == MAX_ROLE_SETS {
            return Err(RolesError(format!(
                "the events are bound to more than {MAX_ROLE_SETS} different sets of roles"
            )));
        }
        if known.is_none() {
            self.sets.push(roles);
        }
        Ok(RoleSets(1 << index))
    }

    /// What a client's roles satisfy.
    pub(crate) fn of(&self, identity: &Identity) -> RoleSets {
        let satisfied = |set: &[&str]| set.iter().any(|role| identity.has_role(role));
        let sets = self.sets.iter().enumerate();
        let bits = sets
            .filter(|(_, set)| satisfied(set))
            .map(|(at, _)| 1 << at);
        RoleSets(bits.fold(0, |all, bit: u64| all | bit))
    }

    /// The set of which a subscriber must have a role to get an event; nothing where all get it.
    pub(crate) fn needs(&self, event: &Event) -> RoleSets {
        self.events.get(event.name()).copied().unwrap_or_default()
    }

    /// Whether there are events that one who `sees` these does not get.
    pub(crate) fn hides_from(&self, sees: RoleSets) -> bool {
        self.sets.len() > (sees.0 & self.all().0).count_ones() as usize
    }

    /// Leaves what one may see who `sees` these.
    pub(crate) fn retain(&self, publications: &mut Vec<Arc<Publication>>, sees: RoleSets) {
        publications.retain(|publication| self.needs(publication.event()).are_in(sees));
    }

    /// What the publications of a flush are for whom; none where all are for everyone.
    pub(crate) fn parts(&self, publications: &[Arc<Publication>]) -> Option<Box<Parts>> {
        if self.sets.is_empty() {
            return None;
        }
        let needs = publications.iter().map(|p| self.needs(p.event()));
        let needs = needs.collect::<Box<[_]>>();
        let all = RoleSets(needs.iter().fold(0, |all, needs| all | needs.0));
        (!all.is_empty()).then(|| {
            Box::new(Parts {
                needs,
                all,
                made: Mutex::default(),
            })
        })
    }

    fn all(&self) -> RoleSets {
        RoleSets(
            u64::MAX
                .checked_shr((MAX_ROLE_SETS - self.sets.len()) as u32)
                .unwrap_or(0),
        )
    }
}

impl RoleSets {
    /// More than any client satisfies: for those who may see everything.
    pub(crate) const ALL: Self = Self(u64::MAX);

    pub(crate) const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    pub(crate) const fn bits(self) -> u64 {
        self.0
    }

    pub(crate) const fn is_empty(self) -> bool {
        self.0 == 0
    }

    fn are_in(self, others: Self) -> bool {
        self & others == self
    }
}

impl BitAnd for RoleSets {
    type Output = Self;

    fn bitand(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

impl Parts {
    /// The sets of roles that any of the publications needs.
    pub(crate) fn all(&self) -> RoleSets {
        self.all
    }

    /// What somebody got, with the sets that they satisfy.
    pub(crate) fn made(&self) -> Vec<(RoleSets, Arc<Flush>)> {
        self.made.lock().clone()
    }

    /// What those get of a flush who satisfy `sees` of [`all`](Self::all), the same for each of them.
    pub(crate) fn seen_by(&self, sees: RoleSets, whole: &Flush) -> Arc<Flush> {
        let mut made = self.made.lock();
        if let Some((_, part)) = made.iter().find(|(known, _)| *known == sees) {
            return part.clone();
        }
        let publications = whole.publications().iter().zip(&self.needs);
        let visible = publications
            .filter(|(_, needs)| needs.are_in(sees))
            .map(|(publication, _)| publication.clone());
        let part = Arc::new(whole.with(visible.collect()));
        made.push((sees, part.clone()));
        part
    }
}

/// The roles of an event set cannot be served; the text says why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RolesError(String);

impl fmt::Display for RolesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for RolesError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(roles: &[&str]) -> Identity {
        let mut identity = Identity::new("1").unwrap();
        identity.roles = roles.iter().map(|role| (*role).to_owned()).collect();
        identity
    }

    /// Events that each need a role of their own.
    fn events(count: usize) -> Vec<(&'static str, &'static [&'static str])> {
        let event = |at: usize| {
            let name: &'static str = format!("event{at}").leak();
            let roles: &'static [&'static str] = vec![name].leak();
            (name, roles)
        };
        (0..count).map(event).collect()
    }

    #[test]
    fn sixty_four_sets_of_roles_are_told_apart() {
        let visibility = Visibility::new(events(64)).unwrap();
        let all = (0..64).map(|at| format!("event{at}")).collect::<Vec<_>>();
        let all = all.iter().map(String::as_str).collect::<Vec<_>>();
        assert_eq!(visibility.of(&identity(&all)), RoleSets::ALL);
        assert!(!visibility.hides_from(RoleSets::ALL));
        assert!(visibility.hides_from(visibility.of(&identity(&all[1..]))));
        let error = Visibility::new(events(65)).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the events are bound to more than 64 different sets of roles"
        );
    }

    #[test]
    fn sets_are_the_same_in_any_order() {
        let bound: [(&str, &[&str]); 3] = [
            ("a", &["coach", "athlete"]),
            ("b", &["athlete", "coach"]),
            ("c", &["coach"]),
        ];
        let visibility = Visibility::new(bound).unwrap();
        assert_eq!(visibility.sets.len(), 2);
        let athlete = visibility.of(&identity(&["athlete", "Coach"]));
        assert!(visibility.hides_from(athlete));
        assert!(!visibility.hides_from(visibility.of(&identity(&["coach"]))));
        assert!(!Visibility::default().hides_from(RoleSets::default()));
    }

    #[test]
    fn an_event_with_different_roles_in_two_envelopes_is_refused() {
        let bound: [(&str, &[&str]); 2] = [("a", &["coach"]), ("a", &["athlete"])];
        let error = Visibility::new(bound).unwrap_err().to_string();
        assert!(error.starts_with("a needs other roles"), "{error}");
    }
}
