// The client, whatever carries its events

/** Why a request or a connection came to nothing. `status` is that of HTTP where there was one. */
class Refusal extends Error {
  constructor(message, { status = 0, code = status || 1006, retryAfter = 0, isFinal = false, isUnexplained = false } = {}) {
    super(message);
    Object.assign(this, { status, code, retryAfter, isFinal, isUnexplained });
  }
}

/** The query of all that asks for channels: from the cursor on, else from their positions if they have any. */
function asked(channels, cursor, more = {}) {
  const query = new URLSearchParams(more);
  for (const channel of channels.keys()) query.append('channel', channel);
  if (cursor) query.set('cursor', cursor);
  else for (const { epoch, offset } of channels.values()) if (epoch) query.append('since', `${epoch}:${offset}`);
  return query;
}

/** One long-poll: `{cursor, events, positions, recovered}`, or a Refusal is thrown. */
async function poll({ token, channels, cursor, wait = 0, signal }) {
  const patience = AbortSignal.timeout((wait + 10) * 1000);
  let answer;
  let body;
  try {
    answer = await fetch(`/poll?${asked(channels, cursor, { wait })}`, {
      headers: { authorization: `Bearer ${token.replace(/^Bearer /, '')}` },
      cache: 'no-store',
      signal: signal ? AbortSignal.any([signal, patience]) : patience,
    });
    body = await answer.json();
  } catch {
    throw new Refusal(patience.aborted ? 'no answer came in time' : answer ? `${answer.status} with an answer that is no JSON` : 'the server cannot be reached');
  }
  if (answer.ok) return body;
  const { status } = answer;
  throw new Refusal(body.error?.message ?? 'refused', {
    status, retryAfter: Number(answer.headers.get('retry-after')) || 0, isFinal: status < 500 && status !== 429,
  });
}

/**
 * A client that comes back after a jittered and growing pause, and changes what carries its events,
 * always to where it left off in each channel.
 *
 * `on` has: state(state), arrived(channel, envelope), publication(channel, envelope, isRecovered),
 * subscription(channel), begun(channel, position), resumed(summary), notice(data), skew(), user().
 *
 * A transport is made for one connection with its hooks, see `#hooks`, and has open(start), close(),
 * and, where it can: subscribe(channel, subscription), unsubscribe(channel), publish(channel, data).
 */
class Client {
  static FIRST_PAUSE = 500;
  static LONGEST_PAUSE = 20_000;

  state = { name: 'idle' };
  /** Channel to { state, epoch, offset, error, isServerSide }. */
  subscriptions = new Map();
  #on;
  #token = '';
  #transport = null;
  #work = new AbortController();
  /** Where the client stands in the channels `#covered`, as the server writes it; else positions count. */
  #cursor = '';
  #covered = new Set();
  /** Whether the positions say the same as the cursor. */
  #isExact = true;
  /** The name of a Socket.IO session that can be gone on with from the cursor. */
  #pid = '';
  #attempt = 0;
  #retry = 0;
  #reopening = 0;
  #away = null;

  constructor(kind, on) {
    this.kind = kind;
    this.#on = on;
    addEventListener('online', () => {
      if (this.state.name === 'reconnecting') this.#open();
    });
  }

  get isOn() {
    return !['idle', 'closed'].includes(this.state.name);
  }

  connect(token) {
    this.#token = token;
    this.#attempt = 0;
    this.#open();
  }

  /** Stays away until told to connect; keeps the channels and where it stood in them. */
  disconnect() {
    this.#leave();
    this.#drop();
    this.#become({ name: 'idle' });
  }

  /** Has another transport carry the events from here on; says whether any are being carried. */
  use(kind) {
    if (this.isOn) this.#leave(this.kind);
    this.kind = kind;
    this.#attempt = 0;
    if (this.isOn) this.#open();
    return this.isOn;
  }

  /** Loses the connection on purpose. */
  cut(pause) {
    if (this.state.name === 'connected') this.#lost(new Refusal('cut here'), pause);
  }

  subscribe(channel) {
    const known = this.subscriptions.get(channel);
    if (known && known.state !== 'refused') return;
    const subscription = { state: 'pending', epoch: '', offset: 0, error: null, isServerSide: false };
    this.subscriptions.set(channel, subscription);
    this.#on.subscription(channel);
    if (this.state.name === 'connected' && this.#transport.subscribe) this.#transport.subscribe(channel, subscription);
    else this.#reopen();
  }

  unsubscribe(channel) {
    const known = this.subscriptions.get(channel);
    if (!known) return;
    this.subscriptions.delete(channel);
    this.#on.subscription(channel);
    if (known.state === 'refused') return;
    if (this.state.name === 'connected' && this.#transport.unsubscribe) this.#transport.unsubscribe(channel);
    else this.#reopen();
  }

  /** Resolves when the server took it; rejects with {code, message}. */
  async publish(channel, data) {
    if (this.state.name !== 'connected') throw { message: 'not connected' };
    if (!this.#transport.publish) throw { message: `${this.kind.label} carries events to the page only: send by POST, or change to WebSocket or Socket.IO` };
    return this.#transport.publish(channel, data);
  }

  /** Reads what history holds behind these positions, beside the connection. */
  read(channels) {
    return poll({ token: this.#token, channels });
  }

  #become(state) {
    this.state = state;
    this.#on.state(state);
  }

  #wanted() {
    return new Map([...this.subscriptions].filter(([, { state }]) => state !== 'refused'));
  }

  async #open() {
    this.#drop();
    const { signal } = this.#work;
    this.#become({ ...this.state, name: this.#attempt ? 'reconnecting' : 'connecting', retryAt: 0 });
    try {
      await this.#prepare(signal);
    } catch (refusal) {
      if (!signal.aborted) this.#lost(refusal);
      return;
    }
    if (signal.aborted) return;
    const channels = this.#wanted();
    if (!channels.size && !this.kind.isSocket) return this.#become({ name: 'waiting' });
    this.#covered = new Set(channels.keys());
    this.#transport = new this.kind(this.#hooks(signal));
    this.#transport.open({ token: this.#token, channels, cursor: this.#cursor, pid: this.#pid });
  }

  /** Channels came or went that the transport can only ask for when it begins. */
  #reopen() {
    clearTimeout(this.#reopening);
    this.#reopening = setTimeout(() => {
      const { name, retryAt } = this.state;
      if (this.isOn && !retryAt && !(name === 'connected' && this.#transport.subscribe)) this.#open();
    });
  }

  /** Turns where the client stands into what its transport begins from: positions, or a cursor. */
  async #prepare(signal) {
    const channels = this.#wanted();
    const isCovered = channels.size === this.#covered.size && [...channels.keys()].every((name) => this.#covered.has(name));
    if (this.kind === CentrifugeSocket || !isCovered) await this.#settle(signal);
    if (this.kind === CentrifugeSocket) return;
    await this.#admit([...channels].filter(([, { epoch }]) => !epoch).map(([name]) => name), signal);
    if (this.kind === SocketIo && !this.#cursor) {
      const admitted = this.#wanted();
      if (admitted.size) this.#take(await this.#poll(admitted, '', signal));
    }
  }

  /** Trades the cursor for positions. */
  async #settle(signal) {
    const covered = new Map([...this.#wanted()].filter(([name]) => this.#covered.has(name)));
    if (this.#cursor && !this.#isExact && covered.size) this.#take(await this.#poll(covered, this.#cursor, signal));
    this.#cursor = this.#pid = '';
  }

  /** Asks for the positions in new channels, one by one where not all may be had. */
  async #admit(names, signal) {
    if (!names.length) return;
    try {
      const { positions, events } = await this.#poll(new Map(names.map((name) => [name, {}])), '', signal);
      for (const name of names) {
        // A user's own channel begins where the user left off on whichever connection.
        const missed = events.filter(({ channel }) => channel === name);
        const { epoch, offset } = positions[name];
        this.#begin(name, { epoch, offset: offset - missed.length });
        for (const { data, offset: at } of missed) this.#event(name, data, { offset: at, isRecovered: true });
      }
    } catch (refusal) {
      if (signal.aborted || ![400, 403].includes(refusal.status)) throw refusal;
      if (names.length === 1) return this.#refused(names[0], refusal);
      for (const name of names) await this.#admit([name], signal);
    }
  }

  async #poll(channels, cursor, signal) {
    const answer = await poll({ token: this.#token, channels, cursor, signal });
    // Nothing may be taken once another attempt is under way.
    if (signal.aborted) throw new Refusal('given up');
    return answer;
  }

  /** Takes in the answer to a poll. */
  #take({ events, positions, cursor, recovered }, isRecovered = true) {
    if (recovered === false) this.#gap([]);
    for (const { channel, data, offset } of events) this.#event(channel, data, { offset, isRecovered });
    for (const [channel, position] of Object.entries(positions)) Object.assign(this.subscriptions.get(channel) ?? {}, position);
    this.#cursor = cursor;
    this.#isExact = true;
  }

  /** What a transport tells. Nothing that it says later than its end is heard. */
  #hooks(signal) {
    const hooks = {
      /** The server took the client in. */
      opened: ({ client, pid = '' }) => {
        this.#attempt = 0;
        this.#pid = pid;
        this.#become({ name: 'connected', at: Date.now(), client });
        if (this.kind === CentrifugeSocket) return;
        for (const [channel, subscription] of this.#wanted()) {
          subscription.state = 'subscribed';
          this.#on.subscription(channel);
        }
      },
      /** All that was missed is there, as far as one can tell. */
      settled: () => this.#resumed(),
      event: (channel, envelope, how) => this.#event(channel, envelope, how),
      answered: (answer, isRecovered) => this.#take(answer, isRecovered),
      stands: (cursor) => {
        this.#cursor = cursor;
        this.#isExact = false;
      },
      subscribed: (channel, reply, isServerSide) => this.#subscribed(channel, reply, isServerSide),
      refused: (channel, error) => this.#refused(channel, error),
      gap: (channels) => this.#gap(channels),
      notice: (data) => this.#on.notice(data),
      /** For the channel of an envelope that comes without it. */
      user: () => this.#on.user(),
      lost: (refusal) => this.#lost(refusal),
    };
    for (const [name, hook] of Object.entries(hooks)) hooks[name] = (...told) => (signal.aborted ? undefined : hook(...told));
    return { ...hooks, signal };
  }

  #event(channel, envelope, { offset = 0, isRecovered = false, isCatchingUp = false }) {
    const subscription = this.subscriptions.get(channel);
    if (!subscription || subscription.state === 'refused') return;
    this.#on.arrived(channel, envelope);
    if (offset) {
      if (offset <= subscription.offset) return;
      subscription.offset = offset;
    }
    // Nothing on the wire of SSE and Socket.IO says which events were missed: those that were
    // published before the connection was there.
    isRecovered ||= isCatchingUp && PLATFORM.read(envelope).at < this.state.at + this.#on.skew();
    if (isRecovered && this.#away) this.#away.events += 1;
    this.#on.publication(channel, envelope, isRecovered);
  }

  #begin(channel, { epoch, offset }) {
    Object.assign(this.subscriptions.get(channel) ?? {}, { epoch, offset });
    this.#on.begun(channel, { epoch, offset });
  }

  #subscribed(channel, { epoch, offset = 0, was_recovering, recovered, publications = [] }, isServerSide = false) {
    if (isServerSide && !this.subscriptions.has(channel)) this.subscriptions.set(channel, { epoch: '', offset: 0 });
    const subscription = this.subscriptions.get(channel);
    if (!subscription) return;
    subscription.isServerSide = isServerSide;
    const isGap = was_recovering && !recovered;
    if (isGap) this.#gap([channel]);
    if (isGap || subscription.epoch !== epoch) this.#begin(channel, { epoch, offset });
    Object.assign(subscription, { state: 'subscribed', error: null });
    this.#on.subscription(channel);
    for (const { data, offset: at } of publications) this.#event(channel, data, { offset: at, isRecovered: true });
    subscription.offset = Math.max(subscription.offset, offset);
  }

  #refused(channel, { code, message }) {
    const subscription = this.subscriptions.get(channel);
    if (!subscription) return;
    Object.assign(subscription, { state: 'refused', error: { code, message } });
    this.#on.subscription(channel);
  }

  #gap(channels) {
    this.#away ??= { at: Date.now(), events: 0, from: null, gaps: null };
    this.#away.gaps = [...this.#away.gaps ?? [], ...channels];
  }

  /** From now on events are missed, until the return: after a loss, or on another transport. */
  #leave(from = null) {
    if (this.state.name === 'connected') this.#away ??= { at: Date.now(), events: 0, from: null, gaps: null };
    if (this.#away) this.#away.from ??= from;
  }

  #resumed() {
    const away = this.#away;
    this.#away = null;
    if (away) this.#on.resumed({ ...away, time: this.state.at - away.at, to: this.kind });
  }

  /** Lets go of the connection and of all that waits for it. */
  #drop() {
    clearTimeout(this.#retry);
    clearTimeout(this.#reopening);
    this.#work.abort();
    this.#work = new AbortController();
    this.#transport?.close();
    this.#transport = null;
    for (const [channel, subscription] of this.subscriptions) {
      if (subscription.state !== 'subscribed') continue;
      subscription.state = 'pending';
      this.#on.subscription(channel);
    }
  }

  async #lost(refusal, pause) {
    this.#leave();
    this.#drop();
    const { signal } = this.#work;
    if (refusal.isUnexplained) refusal = await this.#explain(refusal, signal);
    if (signal.aborted) return;
    const { code, status, message: reason, retryAfter } = refusal;
    if (refusal.isFinal) return this.#become({ name: 'closed', code, status, reason });
    this.#attempt += 1;
    const grown = Math.min(Client.LONGEST_PAUSE, Client.FIRST_PAUSE * 2 ** Math.min(this.#attempt, 10));
    pause ??= retryAfter * 1000 + Client.FIRST_PAUSE + Math.random() * (grown - Client.FIRST_PAUSE);
    this.#retry = setTimeout(() => this.#open(), pause);
    this.#become({ name: 'reconnecting', attempt: this.#attempt, retryAt: Date.now() + pause, code, status, reason });
  }

  /** Browsers keep to themselves how a socket or a stream was refused; a poll is refused alike. */
  async #explain(refusal, signal) {
    const channels = new Map([...this.#wanted().keys()].map((name) => [name, {}]));
    if (!channels.size) return refusal;
    try {
      await poll({ token: this.#token, channels, signal });
      return refusal;
    } catch (told) {
      return told;
    }
  }
}
