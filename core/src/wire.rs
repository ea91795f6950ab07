//! Wire forms: a codec and a framing, and the frames that all subscribers of one form share.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

use bytes::{Bytes, BytesMut};

use crate::channel::Channel;
use crate::codec::{Codec, Notice};
use crate::cursor::{Cursor, write_one};
use crate::event::{Guarantee, Publication};
use crate::framing::Framing;
use crate::position::Position;
use crate::sync::Mutex;
use crate::visibility::{Parts, RoleSets, Visibility};

/// The most wire forms that one node can serve. Our own dialects have 18, compressed and not.
pub(crate) const MAX_FORMS: usize = 24;

/// A dialect on a framing: what makes two connections take the same bytes.
#[derive(Debug)]
pub(crate) struct WireForm {
    /// Its place among the node's forms.
    pub(crate) index: usize,
    pub(crate) codec: Arc<dyn Codec>,
    pub(crate) framing: Arc<dyn Framing>,
    /// A message larger than this is ended before the next line.
    pub(crate) message_bytes: usize,
    ping: OnceLock<Option<Bytes>>,
}

impl WireForm {
    pub(crate) fn new(
        index: usize,
        codec: Arc<dyn Codec>,
        framing: Arc<dyn Framing>,
        message_bytes: usize,
    ) -> Self {
        Self {
            index,
            codec,
            framing,
            message_bytes,
            ping: OnceLock::new(),
        }
    }

    pub(crate) fn messages(&self) -> Messages<'_> {
        Messages {
            framing: &*self.framing,
            limit: self.message_bytes,
            is_shared: true,
            cursor: None,
            current: Vec::new(),
            framed: BytesMut::new(),
        }
    }

    /// The dialect's ping, the same bytes for everyone; none where the dialect has none.
    pub(crate) fn ping(&self) -> Option<Bytes> {
        self.ping
            .get_or_init(|| {
                let mut messages = self.messages();
                self.codec.ping(&mut messages);
                messages.finish()
            })
            .clone()
    }

    /// Encodes for one connection alone, whose cursor moves along.
    pub(crate) fn encode_for(
        &self,
        cursor: &mut Cursor,
        channel: &Channel,
        publications: &[Arc<Publication>],
    ) -> Bytes {
        let mut messages = self.messages();
        messages.is_shared = false;
        messages.cursor = Some(cursor);
        self.codec
            .publications(channel, publications, &mut messages);
        messages.finish().unwrap_or_default()
    }

    /// Encodes what one connection gets of a flush of which the others get more, or did.
    pub(crate) fn encode_for_one(
        &self,
        channel: &Channel,
        publications: &[Arc<Publication>],
    ) -> Bytes {
        let mut messages = self.messages();
        messages.is_shared = false;
        self.codec
            .publications(channel, publications, &mut messages);
        messages.finish().unwrap_or_default()
    }

    /// What says where a client stands; none where the dialect has no words for it.
    pub(crate) fn moved_on(&self, cursor: &Cursor) -> Option<Bytes> {
        let mut messages = self.messages();
        self.codec.moved_on(cursor, &mut messages);
        messages.finish()
    }

    fn notice(&self, notice: &Notice) -> Bytes {
        let mut messages = self.messages();
        self.codec.notice(notice, &mut messages);
        messages.finish().unwrap_or_default()
    }

    pub(crate) fn encode(&self, channel: &Channel, publications: &[Arc<Publication>]) -> Bytes {
        let mut messages = self.messages();
        self.codec
            .publications(channel, publications, &mut messages);
        messages.finish().unwrap_or_default()
    }
}

/// Where a codec writes: messages that are framed as they end and lie one behind the other in one
/// buffer, so that they leave in one write.
#[derive(Debug)]
pub struct Messages<'a> {
    framing: &'a dyn Framing,
    limit: usize,
    /// Whether several connections may take what is made.
    is_shared: bool,
    cursor: Option<&'a mut Cursor>,
    current: Vec<u8>,
    framed: BytesMut,
}

impl Messages<'_> {
    /// The message being written.
    pub fn current(&mut self) -> &mut Vec<u8> {
        &mut self.current
    }

    /// Writes the cursor that a client has once it has read a publication of `channel`. For codecs
    /// that carry one ([`Codec::has_cursor`]).
    ///
    /// In a frame that connections share it is the cursor of the connections that have this channel
    /// alone. An ephemeral publication has no position and moves nothing; in a shared frame nothing
    /// is written for it.
    pub fn write_cursor(&mut self, channel: &Channel, position: Option<Position>) {
        match (&mut self.cursor, position) {
            (Some(cursor), position) => {
                if let Some(position) = position {
                    cursor.advance(channel, position);
                }
                cursor.write_to(&mut self.current);
            }
            (None, Some(position)) => write_one(&mut self.current, channel, position),
            (None, None) => {}
        }
    }

    /// Whether the current message is as large as a message should be; dialects that can, end it
    /// and go on in the next.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.current.len() >= self.limit
    }

    /// Frames the current message and begins the next. Does nothing while it is empty.
    pub fn end_message(&mut self) {
        if !self.current.is_empty() {
            if self.is_shared {
                self.framing.frame(&self.current, &mut self.framed);
            } else {
                self.framing.frame_for_one(&self.current, &mut self.framed);
            }
            self.current.clear();
        }
    }

    pub(crate) fn finish(mut self) -> Option<Bytes> {
        self.end_message();
        (!self.framed.is_empty()).then(|| self.framed.freeze())
    }

    pub(crate) fn len(&self) -> usize {
        self.framed.len() + self.current.len()
    }
}

/// Events of one channel that go out together, and the frames made of them, each made when the
/// first subscriber of its form needs it.
#[derive(Debug)]
pub(crate) struct Flush {
    channel: Channel,
    publications: Box<[Arc<Publication>]>,
    /// What it says in place of publications.
    notice: Option<Box<Notice>>,
    frames: [OnceLock<Frame>; MAX_FORMS],
    /// The forms that subscribers have asked for, a bit each.
    wanted: AtomicU32,
    /// How many publications there are of each priority.
    pub(crate) counts: [u32; 3],
    /// Whether a subscriber that is behind may lose any of them.
    pub(crate) yields: bool,
    /// Where a subscriber stands afterwards, also one that does not get all of it.
    through: Option<Position>,
    /// Who gets what of it, where not everyone gets everything.
    parts: Option<Box<Parts>>,
}

/// What a flush looks like in one form.
#[derive(Debug)]
struct Frame {
    form: Arc<WireForm>,
    bytes: Bytes,
}

impl Flush {
    pub(crate) fn new(channel: Channel, publications: Box<[Arc<Publication>]>) -> Self {
        let mut counts = [0; 3];
        for publication in &publications {
            counts[publication.event().priority() as usize] += 1;
        }
        Self {
            channel,
            yields: publications.iter().any(|p| yields(p)),
            through: publications.iter().rev().find_map(|p| p.position()),
            parts: None,
            publications,
            notice: None,
            frames: [const { OnceLock::new() }; MAX_FORMS],
            wanted: AtomicU32::new(0),
            counts,
        }
    }

    /// A notice for every subscriber of its channel.
    pub(crate) fn of_notice(notice: Notice) -> Self {
        let flush = Self::new(notice.channel().clone(), Box::default());
        Self {
            notice: Some(Box::new(notice)),
            ..flush
        }
    }

    /// Binds its events to the roles that they need.
    pub(crate) fn bound_by(mut self, visibility: &Visibility) -> Self {
        self.parts = visibility.parts(&self.publications);
        self
    }

    /// Some of its publications, which bring a subscriber as far as all of them.
    pub(crate) fn with(&self, publications: Box<[Arc<Publication>]>) -> Self {
        Self {
            through: self.through,
            ..Self::new(self.channel.clone(), publications)
        }
    }

    /// What of it has a position.
    pub(crate) fn positioned(self: &Arc<Self>) -> Arc<Self> {
        let has_position = |p: &&Arc<Publication>| p.position().is_some();
        let positioned = self.publications.iter().filter(has_position);
        if positioned.clone().count() == self.publications.len() {
            return self.clone();
        }
        Arc::new(self.with(positioned.cloned().collect()))
    }

    /// The sets of roles that its events need; nothing where everyone gets all of it.
    pub(crate) fn needs(&self) -> RoleSets {
        let parts = self.parts.as_ref();
        parts.map_or_else(RoleSets::default, |parts| parts.all())
    }

    /// What of it those get who satisfy these sets of roles.
    pub(crate) fn seen_by(self: &Arc<Self>, sees: RoleSets) -> Arc<Self> {
        match &self.parts {
            Some(parts) => parts.seen_by(sees & parts.all(), self),
            None => self.clone(),
        }
    }

    /// Where a subscriber stands afterwards; none where nothing of it has a position.
    pub(crate) fn through(&self) -> Option<Position> {
        self.through
    }

    pub(crate) fn is_notice(&self) -> bool {
        self.notice.is_some()
    }

    pub(crate) fn channel(&self) -> &Channel {
        &self.channel
    }

    pub(crate) fn publications(&self) -> &[Arc<Publication>] {
        &self.publications
    }

    pub(crate) fn frame(&self, form: &Arc<WireForm>) -> &Bytes {
        let bit = 1 << form.index;
        // Read first: every subscriber comes by here, on every worker.
        if self.wanted.load(Ordering::Relaxed) & bit == 0 {
            self.wanted.fetch_or(bit, Ordering::Relaxed);
        }
        self.encoded(form)
    }

    fn encoded(&self, form: &Arc<WireForm>) -> &Bytes {
        let frame = self.frames[form.index].get_or_init(|| Frame {
            form: form.clone(),
            bytes: match &self.notice {
                Some(notice) => form.notice(notice),
                None => form.encode(&self.channel, &self.publications),
            },
        });
        &frame.bytes
    }

    fn wanted(&self) -> Vec<Arc<WireForm>> {
        let wanted = self.wanted.load(Ordering::Relaxed);
        let frames = self.frames.iter().enumerate();
        frames
            .filter(|(index, _)| wanted & (1 << index) != 0)
            .filter_map(|(_, frame)| Some(frame.get()?.form.clone()))
            .collect()
    }
}

/// The forms that the subscribers of a channel took its last flush in, whole or in parts.
///
/// Encoding and compressing can take a millisecond, which is no time to spend while a channel's
/// subscribers are locked. So a flush is encoded ahead, in the forms that the one before it was
/// wanted in; a form that is new to the channel is encoded when its first subscriber needs it, as is
/// a part of a flush whose events need other roles than those before.
#[derive(Debug, Default)]
pub(crate) struct KnownForms(Mutex<Vec<Known>>);

#[derive(Clone, Debug)]
struct Known {
    /// The sets of roles that the events of the flush needed.
    needs: RoleSets,
    /// Those of them that the subscriber satisfied.
    sees: RoleSets,
    form: Arc<WireForm>,
}

impl KnownForms {
    /// To be called before a flush goes to subscribers.
    pub(crate) fn encode_ahead(&self, flush: &Flush) {
        // Short, and for few.
        if flush.is_notice() {
            return;
        }
        let needs = flush.needs();
        let known = self.0.lock().clone();
        for Known {
            needs: needed,
            sees,
            form,
        } in &known
        {
            match &flush.parts {
                None => _ = flush.encoded(form),
                Some(_) if *needed != needs => {}
                Some(_) if *sees == needs => _ = flush.encoded(form),
                Some(parts) => _ = parts.seen_by(*sees, flush).encoded(form),
            }
        }
    }

    /// To be called after it has.
    pub(crate) fn learn(&self, flush: &Flush) {
        if flush.is_notice() {
            return;
        }
        let needs = flush.needs();
        let known = |sees, form| Known { needs, sees, form };
        let whole = flush.wanted().into_iter().map(|form| known(needs, form));
        let mut wanted = whole.collect::<Vec<_>>();
        if let Some(parts) = &flush.parts {
            for (sees, part) in parts.made() {
                let of_part = part.wanted().into_iter().map(|form| known(sees, form));
                wanted.extend(of_part);
            }
        }
        let mut known = self.0.lock();
        let key = |known: &Known| (known.needs, known.sees, known.form.index);
        if !wanted.iter().map(key).eq(known.iter().map(key)) {
            *known = wanted;
        }
    }
}

/// Whether a subscriber that is behind may lose the publication.
pub(crate) fn yields(publication: &Publication) -> bool {
    let event = publication.event();
    event.conflation_key().is_some() || event.guarantee() != Guarantee::AtLeastOnce
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::codec::centrifuge::Centrifuge;
    use crate::event::Event;

    #[derive(Debug)]
    struct Plain;

    impl Framing for Plain {
        fn name(&self) -> &'static str {
            "plain"
        }

        fn frame(&self, message: &[u8], out: &mut BytesMut) {
            out.extend_from_slice(message);
        }
    }

    const COACH: RoleSets = RoleSets::from_bits(1);
    const NOBODY: RoleSets = RoleSets::from_bits(0);

    /// An event for everyone, and one for coaches if there is one.
    fn flush(visibility: &Visibility, names: &[&str]) -> Flush {
        let channel = Channel::new("session").expect("a name");
        let publications = names.iter().map(|name| {
            let event = Event::new(channel.clone(), name, "{}").expect("JSON");
            Arc::new(Publication::new(event, None))
        });
        Flush::new(channel.clone(), publications.collect()).bound_by(visibility)
    }

    fn is_encoded(flush: &Flush, form: &WireForm) -> bool {
        flush.frames[form.index].get().is_some()
    }

    #[test]
    fn what_the_last_flush_was_wanted_in_is_encoded_ahead_part_by_part() {
        let coaches: [(&str, &[&str]); 1] = [("status", &["coach"])];
        let visibility = Visibility::new(coaches).unwrap();
        let forms = [0, 1].map(|index| {
            let codec = Arc::new(Centrifuge);
            Arc::new(WireForm::new(index, codec, Arc::new(Plain), 1 << 16))
        });
        let known = KnownForms::default();
        let both = || Arc::new(flush(&visibility, &["status", "feedback"]));

        let first = both();
        known.encode_ahead(&first);
        assert!(!is_encoded(&first, &forms[0]), "nobody is known yet");
        first.seen_by(COACH).frame(&forms[0]);
        first.seen_by(NOBODY).frame(&forms[1]);
        known.learn(&first);

        let second = both();
        known.encode_ahead(&second);
        assert!(is_encoded(&second, &forms[0]));
        assert!(!is_encoded(&second, &forms[1]));
        let part = second.seen_by(NOBODY);
        assert!(is_encoded(&part, &forms[1]));
        assert!(!is_encoded(&part, &forms[0]));
        let whole = second.frame(&forms[0]).len();
        assert!(part.frame(&forms[1]).len() < whole);

        // What is for everyone is the same for all of them.
        let open = flush(&visibility, &["feedback"]);
        known.encode_ahead(&open);
        assert!(is_encoded(&open, &forms[0]) && is_encoded(&open, &forms[1]));
    }
}
