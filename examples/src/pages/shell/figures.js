// What the page and the server count

/** What this page receives, counted by second. */
class Recorder {
  #seconds = new Map();
  #closed = second() - 1;

  event(priority, latency) {
    const at = second();
    if (!this.#seconds.has(at)) this.#seconds.set(at, { count: 0, high: [], medium: [], low: [] });
    const counted = this.#seconds.get(at);
    counted.count += 1;
    if (latency !== null) counted[priority].push(latency);
  }

  /** Moves what is over into the history. */
  close(history, until) {
    history.advance(until);
    for (let at = Math.max(this.#closed + 1, until - SPAN); at <= until; at += 1) {
      const counted = this.#seconds.get(at) ?? { count: 0, high: [], medium: [], low: [] };
      history.set('received', at, counted.count);
      const all = [];
      for (const priority of PRIORITIES) {
        const values = counted[priority].sort((a, b) => a - b);
        all.push(...values);
        Recorder.#percentiles(history, at, values, priority);
      }
      Recorder.#percentiles(history, at, all.sort((a, b) => a - b), 'all');
    }
    this.#closed = until;
    for (const at of this.#seconds.keys()) if (at <= until) this.#seconds.delete(at);
  }

  static #percentiles(history, at, values, name) {
    history.set(`p50.${name}`, at, percentile(values, 0.5));
    history.set(`p90.${name}`, at, percentile(values, 0.9));
    history.set(`p99.${name}`, at, percentile(values, 0.99));
  }
}

/** What the server says of itself: /metrics each second, /health every five. */
class Monitor {
  /** Server clock minus this one's, in ms; 0 where they agree as far as one can tell. */
  skew = 0;
  #history;
  #last = null;
  #isAsking = false;
  #probes = [];

  constructor(history) {
    this.#history = history;
  }

  async metrics(at) {
    if (this.#isAsking) return;
    this.#isAsking = true;
    try {
      const answer = await fetch('/metrics', { cache: 'no-store', signal: AbortSignal.timeout(3000) });
      if (!answer.ok) throw new Error(String(answer.status));
      this.#take(Monitor.parse(await answer.text()), at);
    } catch {
      this.#last = null;
    } finally {
      this.#isAsking = false;
    }
  }

  /** Prometheus text as [{name, labels, value}], ours alone. */
  static parse(text) {
    const samples = [];
    for (const line of text.split('\n')) {
      if (!line.startsWith('fanfare_')) continue;
      const [, name, inner, value] = /^(\w+)(?:\{(.*)\})? (\S+)/.exec(line) ?? [];
      if (!name) continue;
      const labels = {};
      for (const [, key, label] of (inner ?? '').matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)) labels[key] = label;
      samples.push({ name, labels, value: Number(value) });
    }
    return samples;
  }

  #take(samples, at) {
    const now = performance.now();
    const sum = (name) => samples.reduce((sum, sample) => sum + (sample.name === name ? sample.value : 0), 0);
    const current = { now, at, published: sum('fanfare_events_published_total'), delivered: sum('fanfare_events_delivered_total'), buckets: Monitor.#buckets(samples) };
    const history = this.#history;
    history.set('connections', at, sum('fanfare_connections'));
    setText($('subscriptions'), many(sum('fanfare_subscriptions'), 'subscription'));
    const open = samples.filter(({ name, value }) => name === 'fanfare_connections' && value > 0);
    setText($('transports'), open.map(({ labels, value }) => `${labels.transport.replace('_', '-')} ${number.format(value)}`).join(', '));
    const last = this.#last;
    this.#last = current;
    // Counters that went back are those of a server that started anew.
    if (!last || current.published < last.published || current.delivered < last.delivered) return;
    const elapsed = (now - last.now) / 1000;
    for (let each = Math.max(last.at + 1, at - SPAN); each <= at; each += 1) {
      history.set('published', each, (current.published - last.published) / elapsed);
      history.set('delivered', each, (current.delivered - last.delivered) / elapsed);
    }
    for (const priority of ['all', ...PRIORITIES]) {
      const counts = new Map();
      for (const [bound, count] of current.buckets[priority]) counts.set(bound, count - (last.buckets[priority].get(bound) ?? 0));
      history.set(`server50.${priority}`, at, Monitor.quantile(counts, 0.5) * 1000);
      history.set(`server99.${priority}`, at, Monitor.quantile(counts, 0.99) * 1000);
    }
  }

  /** Cumulative counts by upper bound, over all transports. */
  static #buckets(samples) {
    const buckets = { all: new Map(), high: new Map(), medium: new Map(), low: new Map() };
    for (const { name, labels, value } of samples) {
      if (name !== 'fanfare_delivery_seconds_bucket' || !buckets[labels.priority]) continue;
      const bound = labels.le === '+Inf' ? Infinity : Number(labels.le);
      for (const of of ['all', labels.priority]) buckets[of].set(bound, (buckets[of].get(bound) ?? 0) + value);
    }
    return buckets;
  }

  /** Interpolated within its bucket, as Prometheus does it. */
  static quantile(counts, q) {
    const bounds = [...counts].sort(([a], [b]) => a - b);
    const total = bounds.at(-1)?.[1] ?? 0;
    if (!(total > 0)) return NaN;
    const rank = q * total;
    let below = 0;
    let lower = 0;
    for (const [bound, count] of bounds) {
      if (count >= rank) return bound === Infinity ? lower : lower + (bound - lower) * ((rank - below) / (count - below));
      below = count;
      lower = bound;
    }
    return lower;
  }

  async health() {
    const tell = (tone, text) => {
      $('health-status').dataset.tone = tone;
      setText($('health-status').lastElementChild, text);
    };
    try {
      const sent = Date.now();
      const answer = await fetch('/health', { cache: 'no-store', signal: AbortSignal.timeout(4000) });
      const { status, timestamp, metrics, broker } = await answer.json();
      this.#compareClocks(sent, Date.now(), Date.parse(timestamp));
      tell({ healthy: 'good', degraded: 'wait' }[status] ?? 'bad', status);
      setText($('health-memory'), `${(metrics.memory / 2 ** 20).toFixed(metrics.memory < 100 * 2 ** 20 ? 1 : 0)} MiB`);
      setText($('health-cpu'), `${metrics.cpu.toFixed(metrics.cpu < 10 ? 1 : 0)} %`);
      setText($('health-broker'), broker ? `${broker.name} ${broker.status ?? ''}`.trim() : '–');
    } catch {
      tell('bad', 'unreachable');
      for (const id of ['health-memory', 'health-cpu', 'health-broker']) setText($(id), '–');
    }
  }

  /** Clocks of different machines differ; only what exceeds the doubt is corrected. */
  #compareClocks(sent, received, server) {
    if (!Number.isFinite(server)) return;
    this.#probes.push({ doubt: (received - sent) / 2, skew: server - (sent + received) / 2 });
    if (this.#probes.length > 12) this.#probes.shift();
    const best = this.#probes.reduce((a, b) => (b.doubt < a.doubt ? b : a));
    this.skew = Math.abs(best.skew) > Math.max(100, 2 * best.doubt) ? best.skew : 0;
  }
}
