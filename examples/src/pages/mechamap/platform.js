// MechaMap

/** How the platform writes what the page needs to know. */
const PLATFORM = {
  demoUser: '1',
  /** Where an envelope has its event's name. */
  eventKey: 'event',
  /** Subscribed from the start, and offered. */
  channels: ['thread.1', 'thread.2', 'product.1', 'product.2', 'product.3', 'product.4', 'product.5', 'showcase.1', 'marketplace.global'],
  others: ['thread.3', 'thread.4', 'thread.5'],
  /** How long events wait for company, in ms. */
  linger: { medium: 2000, low: 10_000 },
  /** Of these only the newest of a key counts; see PROTOCOL.md, "Delivery". */
  conflated: { 'forum.thread.view_count_updated': ({ data }) => data.thread_id ?? data.thread?.id ?? '' },
  /** Whether what is seen of a channel is a matter of roles. */
  isFiltered: false,

  read({ event, data, priority, timestamp }) {
    return { event, data, priority: PRIORITIES.includes(priority) ? priority : 'medium', at: Date.parse(timestamp) };
  },
  channel: ({ channel }) => channel,
  /** By which an envelope is known again. */
  text: (envelope) => JSON.stringify(envelope),
  /** The envelope of a Socket.IO event. */
  envelope: (_event, argument) => argument,
};
