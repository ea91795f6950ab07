// AIW3

/** How the platform writes what the page needs to know. */
const PLATFORM = {
  demoUser: '1',
  /** Where an envelope has its event's name. */
  eventKey: 'eventType',
  /** Subscribed from the start, and offered, beside the user's own. */
  channels: ['room.lobby', 'room.competition'],
  others: ['room.nft-talk'],
  /** How long events wait for company, in ms. */
  linger: { medium: 2000, low: 10_000 },
  conflated: {},
  /** Whether what is seen of a channel is a matter of roles. */
  isFiltered: false,

  /** What the NFT service says has no priority of its own: all of it is high. */
  read({ eventType: event, data, priority, timestamp }) {
    return { event, data, priority: PRIORITIES.includes(priority) ? priority : 'high', at: Date.parse(timestamp) };
  },
  channel: ({ channel, userId }) => channel ?? `user.${userId}`,
  /** By which an envelope is known again. */
  text: (envelope) => JSON.stringify(envelope),
  /** The envelope of a Socket.IO event. */
  envelope: (_event, argument) => argument,
};
