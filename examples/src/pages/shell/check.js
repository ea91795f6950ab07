// Whether anything was missed

/**
 * Compares what came with what history holds, event by event, whatever carried it.
 *
 * Every few seconds it reads on in history, by a long-poll of its own. Offsets there have no holes, and
 * events come in the order of history. So an event of history is matched with one that came by their
 * text; one that did not come, although a later one of its channel did, was missed, unless it is of a
 * kind of which only the newest counts. One that came again was twice; one that came and is not in
 * history was live only. What follows the last match is under way, for a while.
 */
class Check {
  static EVERY = 2500;
  /** How long the last event of a channel may be under way, in ms. */
  static PATIENCE = 10_000;
  /** Events in one answer that make it read on at once. */
  static MANY = 500;
  /** Events of a channel whose coming a second time is noticed. */
  static REMEMBERED = 1000;

  checked = 0;
  superseded = 0;
  missed = 0;
  twice = 0;
  liveOnly = 0;
  /** Returns to where history no longer reached: the server said so. */
  gaps = 0;
  /** Stretches of a channel that history had lost before they were read here. */
  unread = 0;
  #channels = new Map();
  #ask;
  #on;
  #isReading = false;

  /** `ask(channels)` reads history behind positions; `on` has changed(), isConnectedSince(), wrong(text). */
  constructor(ask, on) {
    this.#ask = ask;
    this.#on = on;
    setInterval(() => this.read(), Check.EVERY);
  }

  get underWay() {
    return [...this.#channels.values()].reduce((sum, { due }) => sum + due.length, 0);
  }

  /** From this position on everything counts. */
  begin(channel, { epoch, offset }) {
    this.#channels.set(channel, { epoch, offset, came: [], due: [], matched: new Set(), newest: new Map() });
  }

  forget(channel) {
    this.#channels.delete(channel);
  }

  arrived(channel, envelope) {
    this.#channels.get(channel)?.came.push({ text: PLATFORM.text(envelope), at: Date.now() });
  }

  /** Reads on and compares; at once again where that much came that there may be more. */
  async read() {
    const since = this.#on.connectedSince();
    if (this.#isReading || since === null || !this.#channels.size) return;
    this.#isReading = true;
    let isMore = false;
    try {
      const channels = new Map(this.#channels);
      const at = Date.now();
      const { events, positions } = await this.#ask(channels);
      isMore = events.length >= Check.MANY;
      for (const [name, channel] of channels) {
        if (this.#channels.get(name) !== channel) continue;
        this.#readOn(name, channel, events.filter((event) => event.channel === name), positions[name], at);
        if (this.#channels.get(name) === channel) this.#match(name, channel, at, since);
      }
    } catch {
      // The connection's own state says what is wrong; the next reading begins where this one did.
    } finally {
      this.#isReading = false;
      this.#on.changed();
      if (isMore) setTimeout(() => this.read());
    }
  }

  #readOn(name, channel, events, { epoch, offset }, at) {
    // Where roles decide what is seen, others' events leave holes.
    const isWhole = PLATFORM.isFiltered ? offset >= channel.offset : offset - channel.offset === events.length;
    if (epoch !== channel.epoch || !isWhole) {
      this.unread += 1;
      return this.begin(name, { epoch, offset });
    }
    channel.offset = offset;
    for (const { data, offset: place } of events) {
      const key = PLATFORM.conflated[PLATFORM.read(data).event]?.(data);
      if (key !== undefined) channel.newest.set(key, place);
      channel.due.push({ text: PLATFORM.text(data), place, key, at });
    }
  }

  #match(name, channel, now, since) {
    const places = new Map();
    channel.came.forEach(({ text }, place) => places.has(text) ? places.get(text).push(place) : places.set(text, [place]));
    const found = new Set();
    let lastDue = -1;
    channel.due.forEach((event, place) => {
      const came = places.get(event.text)?.shift();
      if (came === undefined) return;
      found.add(came);
      event.came = true;
      lastDue = place;
    });
    const lastCame = Math.max(-1, ...found);
    const isOld = ({ at }) => now - Math.max(at, since) > Check.PATIENCE;
    const missed = this.missed;
    channel.due = channel.due.filter((event, place) => {
      if (event.came) this.#matched(channel, event);
      else if (place > lastDue && !isOld(event)) return true;
      else if (event.key !== undefined && (channel.newest.get(event.key) > event.place || channel.matched.has(event.text))) this.superseded += 1;
      // A newer one of its key may not be in history yet.
      else if (event.key !== undefined && !isOld(event)) return true;
      else this.missed += 1;
      return false;
    });
    channel.came = channel.came.filter((event, place) => {
      if (found.has(place)) return false;
      if (place > lastCame && !isOld(event)) return true;
      if (channel.matched.has(event.text)) {
        this.twice += 1;
        this.#on.wrong(`An event of ${name} came twice`);
      } else {
        this.liveOnly += 1;
      }
      return false;
    });
    if (this.missed > missed) this.#on.wrong(`${many(this.missed - missed, 'event')} of ${name} did not come`);
  }

  #matched({ matched }, { text }) {
    this.checked += 1;
    matched.add(text);
    if (matched.size > Check.REMEMBERED) matched.delete(matched.values().next().value);
  }
}
