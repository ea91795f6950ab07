//! Notifications: unread, read, put away.

use std::collections::VecDeque;

use serde_json::{Value, json};

use super::tell;
use crate::demo::Scene;

/// How many a user keeps before some are put away. No one ever has twice as many.
const KEPT: usize = 8;

/// What one user was told.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    /// The newest is the last.
    kept: VecDeque<Notification>,
    count: u64,
}

#[derive(Debug)]
struct Notification {
    /// As it was told of.
    data: Value,
    is_read: bool,
}

impl Inbox {
    pub(super) fn create(
        &mut self,
        user: &str,
        kind: &str,
        title: &str,
        message: &str,
        scene: &mut Scene,
    ) {
        if self.kept.len() == 2 * KEPT {
            if !self.kept[0].is_read {
                self.read(0, scene);
            }
            self.archive(scene);
        }
        self.count += 1;
        let data = json!({
            "notificationId": format!("notification-{user}-{}", self.count), "userId": user,
            "title": title, "message": message, "type": kind
        });
        tell("notification.created", data.clone(), scene);
        self.kept.push_back(Notification {
            data,
            is_read: false,
        });
    }

    /// The user reads the newest that is unread, or puts away what was read longest ago.
    pub(super) fn turn(&mut self, scene: &mut Scene) {
        let is_full = self.kept.len() > KEPT;
        let unread = self.kept.iter().rposition(|kept| !kept.is_read);
        match unread {
            Some(at) if !is_full || scene.chance(50) => self.read(at, scene),
            _ if is_full => self.archive(scene),
            _ => {}
        }
    }

    fn read(&mut self, at: usize, scene: &mut Scene) {
        let Notification { data, is_read } = &mut self.kept[at];
        *is_read = true;
        tell("notification.read", data.clone(), scene);
    }

    fn archive(&mut self, scene: &mut Scene) {
        let read = self.kept.iter().position(|kept| kept.is_read);
        if let Some(Notification { data, .. }) = read.and_then(|at| self.kept.remove(at)) {
            tell("notification.archived", data, scene);
        }
    }
}
