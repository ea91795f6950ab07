//! Patterns of channel names.

use crate::channel::Channel;

/// The form of a channel's name: literal segments and at most one id, `user.{user_id}.orders`.
#[derive(Clone, Debug)]
pub struct ChannelPattern {
    text: String,
    is_id: fn(&str) -> bool,
}

impl ChannelPattern {
    /// A pattern, in which `is_id` says what may stand for the id.
    ///
    /// # Panics
    /// Where the pattern has more than one id or could match no channel name.
    #[must_use]
    pub fn new(pattern: &str, is_id: fn(&str) -> bool) -> Self {
        let ids = pattern
            .split('.')
            .filter(|segment| is_placeholder(segment))
            .count();
        let literals = pattern
            .split('.')
            .filter(|segment| !is_placeholder(segment));
        assert!(
            ids <= 1 && literals.into_iter().all(Channel::is_segment),
            "{pattern:?} is no channel pattern"
        );
        Self {
            text: pattern.to_owned(),
            is_id,
        }
    }

    /// The pattern's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether a channel is of this form: none if not, else the id it holds, if the form has one.
    #[must_use]
    pub fn matches<'a>(&self, channel: &'a Channel) -> Option<Option<&'a str>> {
        let mut id = None;
        let mut segments = channel.segments();
        for expected in self.text.split('.') {
            let segment = segments.next()?;
            if is_placeholder(expected) {
                if !(self.is_id)(segment) {
                    return None;
                }
                id = Some(segment);
            } else if segment != expected {
                return None;
            }
        }
        segments.next().is_none().then_some(id)
    }

    /// Whether it has room for an id.
    #[must_use]
    pub fn has_id(&self) -> bool {
        self.text.split('.').any(is_placeholder)
    }

    /// The channel of this form with an id, which one without room for it ignores; none where the id may not stand there.
    #[must_use]
    pub fn fill(&self, id: &str) -> Option<Channel> {
        if self.has_id() && !(self.is_id)(id) {
            return None;
        }
        let segments = self
            .text
            .split('.')
            .map(|segment| if is_placeholder(segment) { id } else { segment });
        Channel::new(&segments.collect::<Vec<_>>().join(".")).ok()
    }

    /// Whether another pattern differs from this one in the name of the id at most.
    pub(super) fn has_shape_of(&self, pattern: &str) -> bool {
        let mut other = pattern.split('.');
        let alike = self.text.split('.').all(|segment| {
            other.next().is_some_and(|other| {
                segment == other || (is_placeholder(segment) && is_placeholder(other))
            })
        });
        alike && other.next().is_none()
    }
}

fn is_placeholder(segment: &str) -> bool {
    segment.starts_with('{') && segment.ends_with('}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn channel(name: &str) -> Channel {
        Channel::new(name).unwrap()
    }

    #[test]
    fn a_pattern_matches_its_form_alone() {
        let orders = ChannelPattern::new("user.{user_id}.orders", |id| {
            id.bytes().all(|b| b.is_ascii_digit())
        });
        assert_eq!(orders.matches(&channel("user.7.orders")), Some(Some("7")));
        for other in [
            "user.7",
            "user.x.orders",
            "user.7.orders.x",
            "seller.7.orders",
            "user.7.messages",
        ] {
            assert_eq!(orders.matches(&channel(other)), None, "{other}");
        }
        assert_eq!(orders.fill("7"), Some(channel("user.7.orders")));
        assert_eq!(orders.fill("x"), None);
        let global = ChannelPattern::new("marketplace.global", |_| true);
        assert_eq!(global.matches(&channel("marketplace.global")), Some(None));
        assert!(orders.has_shape_of("user.{buyer_id}.orders"));
        assert!(!orders.has_shape_of("user.{buyer_id}"));
    }

    #[test]
    #[should_panic(expected = "no channel pattern")]
    fn two_ids_are_no_pattern() {
        let _ = ChannelPattern::new("a.{b}.{c}", |_| true);
    }
}
