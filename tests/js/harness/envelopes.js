// Envelopes as MechaMap's backend, or a client, writes them.

const TIME = '2025-07-17T10:30:00Z';

/** Someone commented on a thread. */
export function comment(thread, id, priority = 'high') {
  return {
    event: 'forum.comment.created',
    priority,
    data: {
      comment: {
        id,
        content: 'Great explanation!',
        parent_id: null,
        user: { id: 123, name: 'John Doe', username: 'johndoe', avatar_url: 'https://a.example/1' },
        created_at: TIME,
      },
      thread: { id: thread, title: 'SolidWorks Tips', reply_count: 15 },
    },
  };
}

/** Someone wrote to a user. */
export function message(recipient, id) {
  return {
    event: 'messaging.message.sent',
    channel: `user.${recipient}`,
    data: {
      message: {
        id,
        conversation_id: 456,
        content: 'Hello there!',
        sender: { id: 123, name: 'John Doe', avatar_url: 'https://a.example/1' },
        created_at: TIME,
      },
    },
  };
}

/** What a client publishes while its user writes a comment. */
export function typing(user) {
  return { event: 'forum.typing.started', data: { user: { id: user, name: 'John Doe' }, expires_at: TIME } };
}

/** The id of the comment that a publication's envelope is about. */
export const commentId = (publication) => publication.data.data.comment.id;
