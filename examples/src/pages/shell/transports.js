// Transports

const socketUrl = (path) => `${location.protocol === 'https:' ? 'wss' : 'ws'}://${location.host}${path}`;

/** How long after it began a stream may be bringing what was missed, in ms. */
const CATCHING_UP = 1000;

/** A WebSocket that is taken for dead when nothing comes for longer than it was told. */
class Socket {
  #socket;
  #silence = 0;
  /** In ms. */
  allowed = 10_000;

  /** `on` has open(), text(text), lost(code, reason, wasOpen). */
  constructor(url, on) {
    const socket = new WebSocket(url);
    this.#socket = socket;
    this.#heard(on);
    let wasOpen = false;
    socket.onopen = () => {
      wasOpen = true;
      on.open?.();
    };
    socket.onmessage = ({ data }) => {
      on.text(data);
      this.#heard(on);
    };
    socket.onclose = ({ code, reason }) => on.lost(code, reason, wasOpen);
  }

  send(text) {
    if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(text);
  }

  close() {
    clearTimeout(this.#silence);
    const socket = this.#socket;
    this.#socket = null;
    if (!socket) return;
    socket.onopen = socket.onmessage = socket.onclose = null;
    // Browsers complain of a socket that is closed before it is open.
    if (socket.readyState === WebSocket.CONNECTING) socket.onopen = () => socket.close();
    else socket.close();
  }

  /** Any sign of life puts the suspicion off. */
  #heard(on) {
    clearTimeout(this.#silence);
    if (this.#socket) this.#silence = setTimeout(() => on.lost(1006, 'the server fell silent', true), this.allowed);
  }
}

/** Questions that wait for their answers. */
class Questions {
  static WITHIN = 10_000;
  #lastId = 0;
  #waiting = new Map();
  #late;

  constructor(late) {
    this.#late = late;
  }

  /** A new question's id; `done(answer)` is called in the order of the stream, before what follows is read. */
  ask(done, lost = () => {}) {
    const id = ++this.#lastId;
    this.#waiting.set(id, { done, lost, timer: setTimeout(this.#late, Questions.WITHIN) });
    return id;
  }

  answer(id, answer) {
    const waiting = this.#waiting.get(id);
    this.#waiting.delete(id);
    clearTimeout(waiting?.timer);
    waiting?.done(answer);
  }

  close() {
    for (const { timer, lost } of this.#waiting.values()) {
      clearTimeout(timer);
      lost({ message: 'the connection was lost before the answer came' });
    }
    this.#waiting.clear();
  }
}

/** Centrifuge protocol, version 2, as JSON over a WebSocket. */
class CentrifugeSocket {
  static label = 'WebSocket';
  static detail = '/ws, the Centrifuge protocol';
  static isSocket = true;
  /** How much later than promised a ping may come. */
  static PING_GRACE = 10_000;

  #on;
  #channels;
  #socket;
  #questions;
  /** Subscriptions whose answers are awaited since the connection began. */
  #left = 0;

  constructor(on) {
    this.#on = on;
    this.#questions = new Questions(() => this.#lost(1006, 'no answer came in time'));
  }

  open({ token, channels }) {
    this.#channels = channels;
    this.#socket = new Socket(socketUrl('/ws'), {
      open: () => this.#connect(token),
      text: (text) => {
        for (const line of text.split('\n')) if (line && !this.#on.signal.aborted) this.#receive(JSON.parse(line));
      },
      lost: (code, reason, wasOpen) => this.#lost(code, reason, !wasOpen),
    });
  }

  close() {
    this.#socket.close();
    this.#questions.close();
  }

  subscribe(channel, subscription) {
    this.#channels.set(channel, subscription);
    const { epoch, offset } = subscription;
    const since = epoch ? { recover: true, epoch, offset } : {};
    this.#ask({ subscribe: { channel, ...since } }, ({ error, subscribe }) => {
      if (error?.temporary) {
        setTimeout(() => this.#on.signal.aborted || this.#channels.get(channel) !== subscription || this.subscribe(channel, subscription), 1000 + Math.random() * 2000);
        return;
      }
      // An answer to what was taken back since is none to what was asked anew.
      if (this.#channels.get(channel) !== subscription) return;
      if (error) this.#on.refused(channel, error);
      else this.#on.subscribed(channel, subscribe, false);
      if (--this.#left === 0) this.#on.settled();
    });
  }

  unsubscribe(channel) {
    this.#channels.delete(channel);
    this.#ask({ unsubscribe: { channel } }, () => {});
  }

  publish(channel, data) {
    return new Promise((resolve, reject) => {
      this.#ask({ publish: { channel, data } }, ({ error }) => (error ? reject(error) : resolve()), reject);
    });
  }

  #ask(command, done, lost) {
    this.#socket.send(JSON.stringify({ id: this.#questions.ask(done, lost), ...command }));
  }

  #connect(token) {
    const subs = {};
    for (const [channel, { isServerSide, epoch, offset }] of this.#channels) {
      if (isServerSide && epoch) subs[channel] = { recover: true, epoch, offset };
    }
    this.#ask({ connect: { token, name: 'page', subs } }, ({ error, connect }) => {
      if (error) this.#on.lost(new Refusal(error.message, { code: error.code, isFinal: !error.temporary }));
      else this.#connected(connect);
    });
  }

  #connected({ client, ping, subs = {} }) {
    this.#socket.allowed = ping ? ping * 1000 + CentrifugeSocket.PING_GRACE : 2 ** 31 - 1;
    this.#on.opened({ client });
    for (const [channel, reply] of Object.entries(subs)) this.#on.subscribed(channel, reply, true);
    const rest = [...this.#channels].filter(([channel]) => !(channel in subs));
    this.#left = rest.length;
    for (const [channel, subscription] of rest) this.subscribe(channel, subscription);
    if (!rest.length) this.#on.settled();
  }

  #receive(message) {
    if (message.id) this.#questions.answer(message.id, message);
    else if (message.push) this.#pushed(message.push);
    else this.#socket.send('{}');
  }

  #pushed({ channel, pub, unsubscribe, message, disconnect }) {
    if (pub) this.#on.event(channel, pub.data, { offset: pub.offset });
    else if (message) this.#on.notice(message.data);
    else if (disconnect) this.#lost(disconnect.code, disconnect.reason);
    else if (unsubscribe?.code >= 2500) this.subscribe(channel, this.#channels.get(channel));
    else if (unsubscribe) this.#on.refused(channel, { code: unsubscribe.code, message: unsubscribe.reason });
  }

  #lost(code, reason, isUnexplained = false) {
    const comesBack = code < 3500 || (code >= 4000 && code < 4500) || code >= 5000;
    this.#on.lost(new Refusal(reason || 'connection lost', { code, isFinal: !comesBack, isUnexplained }));
  }
}

/** Server-sent events: the envelopes alone, each with a cursor as its id. */
class EventStream {
  static label = 'SSE';
  static detail = '/sse, EventSource';
  #on;
  #source;

  constructor(on) {
    this.#on = on;
  }

  open({ token, channels, cursor }) {
    const source = new EventSource(`/sse?${asked(channels, cursor, { token: token.replace(/^Bearer /, '') })}`);
    this.#source = source;
    let isOpen = false;
    let isCatchingUp = true;
    let end = null;
    source.onopen = () => {
      isOpen = true;
      this.#on.opened({});
      setTimeout(() => {
        isCatchingUp = false;
        this.#on.settled();
      }, CATCHING_UP);
    };
    source.onmessage = ({ data, lastEventId }) => {
      const envelope = JSON.parse(data);
      // A greeting is no event, and has no cursor.
      if (PLATFORM.read(envelope).event) this.#on.event(PLATFORM.channel(envelope, this.#on.user()), envelope, { isCatchingUp });
      if (lastEventId) this.#on.stands(lastEventId);
    };
    const named = (name, hear) => source.addEventListener(name, ({ data }) => hear(JSON.parse(data)));
    named('unrecovered', (lost) => this.#on.gap(lost.channels));
    named('dropped', (dropped) => this.#on.notice({ type: 'dropped', ...dropped }));
    named('unsubscribed', ({ channel }) => this.#on.refused(channel, { code: 403, message: 'no longer allowed' }));
    named('disconnect', (told) => { end = told; });
    // It would come back by itself, to an address that grows old: the client does that better.
    source.onerror = () => this.#on.lost(new Refusal(end?.reason ?? 'the stream ended', { code: end?.code, isUnexplained: !isOpen }));
  }

  close() {
    this.#source.close();
  }
}

/** Long-poll: a cursor in, events and the next cursor out. */
class LongPoll {
  static label = 'Long-poll';
  static detail = '/poll, fetch after fetch';
  static WAIT = 25;
  #on;

  constructor(on) {
    this.#on = on;
  }

  async open({ token, channels, cursor }) {
    const { signal } = this.#on;
    try {
      // The first answer comes at once, so that it is known whether there are any.
      for (let wait = 0; !signal.aborted; wait = LongPoll.WAIT) {
        const answer = await poll({ token, channels, cursor, wait, signal });
        if (!wait) this.#on.opened({});
        this.#on.answered(answer, !wait);
        this.#on.settled();
        cursor = answer.cursor;
      }
    } catch (refusal) {
      this.#on.lost(refusal);
    }
  }

  /** The signal that ends everything ends the request. */
  close() {}
}

/** Socket.IO, version 5, over Engine.IO, version 4, on a WebSocket, with its connection state recovery. */
class SocketIo {
  static label = 'Socket.IO';
  static detail = '/socket.io/, on a WebSocket';
  static isSocket = true;
  /** Refusals that time heals. */
  static PASSING = ['CONNECTION_LIMIT', 'RATE_LIMITED', 'UNAVAILABLE', 'CONNECTION_ERROR'];
  /** Events that are the dialect's, not the platform's. */
  static OWN = ['cursor', 'pong', 'health', 'user:online', 'user:offline'];
  /** What a client sends that has a cursor of another transport. */
  static NO_PID = 'none';

  #on;
  #start;
  #socket;
  #questions;
  #isCatchingUp = true;

  constructor(on) {
    this.#on = on;
    this.#questions = new Questions(() => this.#lost('no answer came in time'));
  }

  open(start) {
    this.#start = start;
    // Positions would be a word of another transport.
    const names = new Map([...start.channels.keys()].map((name) => [name, {}]));
    const query = asked(names, '', { EIO: 4, transport: 'websocket', recover: 1 });
    this.#socket = new Socket(socketUrl(`/socket.io/?${query}`), {
      text: (text) => this.#engine(text[0], text.slice(1)),
      lost: (code, reason, wasOpen) => this.#lost(reason || 'connection lost', { code, isUnexplained: !wasOpen }),
    });
  }

  close() {
    this.#socket.close();
    this.#questions.close();
  }

  publish(channel, data) {
    return new Promise((resolve, reject) => {
      const done = ([{ success, error: message, code }]) => (success ? resolve() : reject({ code, message }));
      this.#socket.send(`42${this.#questions.ask(done, reject)}${JSON.stringify(['publish', data])}`);
    });
  }

  /** Engine.IO's packets: open, close, ping, message. */
  #engine(type, rest) {
    if (type === '0') this.#connect(JSON.parse(rest));
    else if (type === '1') this.#lost('the server closed the connection');
    else if (type === '2') this.#socket.send(`3${rest}`);
    else if (type === '4') this.#packet(rest[0], rest.slice(1));
  }

  #connect({ pingInterval, pingTimeout }) {
    this.#socket.allowed = pingInterval + pingTimeout;
    const { token, cursor, pid } = this.#start;
    this.#socket.send(`40${JSON.stringify({ token, ...(cursor && { pid: pid || SocketIo.NO_PID, offset: cursor }) })}`);
  }

  /** Socket.IO's packets: connect, disconnect, event, ack, connect error. */
  #packet(type, rest) {
    const [, id, json] = /^(\d*)(.*)$/s.exec(rest);
    const data = json && JSON.parse(json);
    if (type === '0') this.#connected(data);
    else if (type === '1') this.#lost('the server ended the session');
    else if (type === '2') this.#event(...data);
    else if (type === '3') this.#questions.answer(Number(id), data);
    else if (type === '4') {
      const { code = 'CONNECTION_ERROR', message } = data.data ?? data;
      this.#lost(message, { code, isFinal: !SocketIo.PASSING.includes(code) });
    }
  }

  #connected({ sid, pid }) {
    this.#on.opened({ client: sid, pid });
    // By another pid than it brought a client knows that it may have missed something.
    if (this.#start.pid && this.#start.pid !== pid) this.#on.gap([]);
    setTimeout(() => {
      this.#isCatchingUp = false;
      this.#on.settled();
    }, CATCHING_UP);
  }

  /** The last argument of an event is the cursor. */
  #event(name, data, cursor = data) {
    if (name === 'dropped') this.#on.notice({ type: 'dropped', ...data });
    else if (name === 'error') this.#on.notice({ type: 'error', ...data });
    else if (name === 'unsubscribed') this.#on.refused(data.channel, { code: 403, message: 'no longer allowed' });
    else if (!SocketIo.OWN.includes(name)) {
      const envelope = PLATFORM.envelope(name, data);
      this.#on.event(PLATFORM.channel(envelope, this.#on.user()), envelope, { isCatchingUp: this.#isCatchingUp });
    }
    if (typeof cursor === 'string') this.#on.stands(cursor);
  }

  #lost(reason, more) {
    this.#on.lost(new Refusal(reason, more));
  }
}

/** In the order of the choice on the page. */
const TRANSPORTS = { websocket: CentrifugeSocket, sse: EventStream, poll: LongPoll, socketio: SocketIo };
