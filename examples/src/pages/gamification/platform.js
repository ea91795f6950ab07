// Gamification

const HIGH = ['quest.completed', 'achievement.completed', 'reward.created', 'reward.claimed', 'notification.created'];

/** How the platform writes what the page needs to know. */
const PLATFORM = {
  demoUser: '1',
  /** Where an envelope has its event's name. */
  eventKey: 'type',
  /** Subscribed from the start, and offered, beside the user's own. */
  channels: [],
  others: [],
  /** How long events wait for company, in ms. */
  linger: { medium: 2000, low: 10_000 },
  conflated: {},
  /** Whether what is seen of a channel is a matter of roles. */
  isFiltered: false,

  read({ type: event, data, priority, metadata }) {
    return { event, data, priority: PRIORITIES.includes(priority) ? priority : HIGH.includes(event) ? 'high' : 'medium', at: Date.parse(metadata?.timestamp) };
  },
  channel: ({ channel, data }) => channel ?? `user.${data?.userId}`,
  /** By which an envelope is known again. */
  text: (envelope) => JSON.stringify(envelope),
  /** The envelope of a Socket.IO event. */
  envelope: (_event, argument) => argument,
};
