// SportsCenter

const HIGH = ['session:status', 'session:feedback', 'message:new', 'message:updated', 'message:deleted', 'notification:new'];

/** How the platform writes what the page needs to know. */
const PLATFORM = {
  demoUser: '0192f6d0-7c1e-7b3a-9f55-3f1d2c4b5a60',
  /** Where an envelope has its event's name. */
  eventKey: 'event',
  /** Subscribed from the start, and offered. */
  channels: ['session', 'metric', 'goal', 'notification', 'mentor-session'],
  others: ['video', 'community', 'mentor', 'mentor-assessment'],
  /** How long events wait for company, in ms. */
  linger: { medium: 1000, low: 10_000 },
  conflated: {},
  /** Whether what is seen of a channel is a matter of roles. */
  isFiltered: true,

  read({ event, data, priority }) {
    const at = Date.parse(data?.timestamp ?? data?.note?.timestamp);
    return { event, data, priority: PRIORITIES.includes(priority) ? priority : HIGH.includes(event) ? 'high' : 'medium', at };
  },
  /** A family's, if clients may have that; else what comes is for the user. */
  channel({ event, channel }, user) {
    const family = event.split(/[:/]/)[0];
    return channel ?? ([...this.channels, ...this.others].includes(family) ? family : `user.${user}`);
  },
  /** By which an envelope is known again, also where its data came alone. */
  text: ({ event, data }) => JSON.stringify([event, data]),
  /** The envelope of a Socket.IO event, which brings the data alone. */
  envelope: (event, data) => ({ event, data }),
};
