// The coaching session

/** One session as its coach sees it: how it stands, what is measured, what is said. */
class View {
  static PACE = 400;
  /** In ms, of the plots. */
  static SPAN = 120_000;
  static KINDS = ['heart-rate', 'speed', 'power', 'cadence'];
  static STATES = {
    started: ['good', 'In progress'], resumed: ['good', 'In progress'], 'in-progress': ['good', 'In progress'],
    paused: ['wait', 'Paused'], ended: ['', 'Ended'], completed: ['', 'Ended'], cancelled: ['bad', 'Cancelled'],
  };
  static OVER = ['ended', 'completed', 'cancelled'];

  user = '';
  #sessions = new Map();
  /** Athlete to kind to `{unit, values: [{at, value}]}`. */
  #metrics = new Map();
  /** Athlete to goal to `{progress, isAchieved, at}`. */
  #goals = new Map();
  #messages = [];
  #notice = null;
  #select = $('session');
  #plots = new Map();
  #isStale = true;
  #changed;

  /** `changed()` is called when another session is chosen. */
  constructor(changed) {
    this.#changed = changed;
    this.#select.append(element('option', { value: '' }, 'none yet'));
    this.#select.disabled = true;
    this.#select.addEventListener('change', () => {
      this.#isStale = true;
      this.#show();
      changed();
    });
    for (const kind of View.KINDS) this.#addPlot(kind);
    setInterval(() => this.#show(), View.PACE);
    this.#show();
  }

  /** What samples of publications are about. */
  context(user) {
    const session = this.#select.value;
    return { user, session: session || 's-1', athlete: this.#sessions.get(session)?.athlete || 'a-1' };
  }

  channels() {}

  event(_channel, { event, data, at }) {
    this.#isStale = true;
    switch (event) {
      case 'session:status': {
        const { athleteId: athlete = '', location = '' } = data.metadata ?? {};
        Object.assign(this.#session(data.sessionId, athlete), { status: data.type, since: at, athlete, location });
        break;
      }
      case 'mentor-session/status-changed': {
        // It comes by another channel, perhaps later than what happened to the session since.
        const session = this.#sessions.get(data['session-id']);
        if (session && (data.status !== 'in-progress' || !session.status)) Object.assign(session, { status: data.status, since: at });
        break;
      }
      case 'session:feedback':
        this.#note(data.sessionId, { by: data.from.role, about: data.type, text: data.content, at });
        break;
      case 'mentor-session/note-added':
        if (this.#sessions.has(data['session-id'])) this.#note(data['session-id'], { by: 'mentor', about: data.note.category, text: data.note.content, at });
        break;
      case 'metric:recorded':
        this.#measured(data, at);
        break;
      case 'goal:update':
        View.#within(this.#goals, data.athleteId).set(data.goalId, { progress: data.progress, isAchieved: data.type === 'achieved', at });
        break;
      case 'message:new':
        this.#messages.push({ id: data.messageId, isOwn: data.from.id === this.user, by: data.from.role, text: data.type === 'text' ? data.content : `${data.content} (${data.type})`, at });
        this.#messages = this.#messages.slice(-20);
        break;
      case 'message:updated':
      case 'message:deleted': {
        const message = this.#messages.find(({ id }) => id === data.messageId);
        if (message) Object.assign(message, event === 'message:deleted' ? { text: 'Message deleted', isGone: true } : { text: data.content });
        break;
      }
      case 'notification:new':
        this.#notice = data;
    }
  }

  static #within(map, key) {
    if (!map.has(key)) map.set(key, new Map());
    return map.get(key);
  }

  /** Those that are over make room for a new one; who looked at one sees that athlete's next. */
  #session(id, athlete = '') {
    if (!this.#sessions.has(id)) {
      let chosen = this.#select.value || id;
      for (const [old, session] of this.#sessions) {
        const isNext = session.athlete === athlete;
        if (!View.OVER.includes(session.status) || (old === chosen && !isNext)) continue;
        this.#sessions.delete(old);
        if (old === chosen) chosen = id;
      }
      this.#sessions.set(id, { status: '', athlete, location: '', since: NaN, notes: [] });
      const ids = [...this.#sessions.keys()];
      this.#select.replaceChildren(...ids.map((value) => element('option', { value }, `Session ${brief(value)}`)));
      this.#select.value = chosen;
      this.#select.disabled = false;
      this.#changed();
    }
    return this.#sessions.get(id);
  }

  #note(session, note) {
    const known = this.#session(session);
    const { notes } = known;
    known.status ||= 'in-progress';
    notes.unshift(note);
    notes.length = Math.min(notes.length, 8);
  }

  #measured({ athleteId, type, value, unit }, at) {
    const kinds = View.#within(this.#metrics, athleteId);
    if (!kinds.has(type)) kinds.set(type, { unit, values: [] });
    const metric = kinds.get(type);
    metric.values.push({ at, value });
    while (metric.values[0].at < at - View.SPAN) metric.values.shift();
  }

  #addPlot(kind) {
    const value = element('b', {}, '–');
    const range = element('small', {}, 'nothing measured yet');
    const plot = element('div', { class: 'metric', role: 'img' });
    plot.innerHTML = '<svg viewBox="0 0 120 46" preserveAspectRatio="none" aria-hidden="true"><path class="area"/><path class="line"/></svg>';
    const name = inWords(kind);
    plot.prepend(element('div', {}, element('span', {}, name[0].toUpperCase() + name.slice(1)), value));
    plot.append(range);
    $('metrics').append(plot);
    this.#plots.set(kind, { plot, name, value, range });
  }

  #showPlot(kind, metric) {
    const { plot, name, value, range } = this.#plots.get(kind);
    const now = Date.now();
    const values = metric?.values.filter(({ at }) => at > now - View.SPAN) ?? [];
    const [area, line] = plot.querySelectorAll('path');
    if (!values.length) {
      setText(value, '–');
      setText(range, 'nothing measured yet');
      for (const path of [area, line]) path.setAttribute('d', '');
      plot.setAttribute('aria-label', `${name}: nothing measured yet`);
      return;
    }
    const numbers = values.map((each) => each.value);
    const [least, most] = [Math.min(...numbers), Math.max(...numbers)];
    const room = Math.max((most - least) * 0.15, Math.abs(most) * 0.01, 0.001);
    // While little is known it fills the width.
    const span = Math.min(View.SPAN, Math.max(now - values[0].at, 20_000));
    const points = values.map(({ at, value: each }) => {
      const x = 120 - Math.max(0, now - at) / span * 120;
      return `${x.toFixed(1)} ${(46 - (each - least + room) / (most - least + 2 * room) * 46).toFixed(1)}`;
    });
    const d = `M${points.join('L')}L120 ${points.at(-1).split(' ')[1]}`;
    line.setAttribute('d', d);
    area.setAttribute('d', `${d}V46H${points[0].split(' ')[0]}Z`);
    const figure = (each) => number.format(+each.toFixed(1));
    setText(value, `${figure(numbers.at(-1))} ${metric.unit}`);
    const told = `${figure(least)} to ${figure(most)} in ${Math.round(span / 1000)} s`;
    setText(range, told);
    plot.setAttribute('aria-label', `${name}, ${figure(numbers.at(-1))} ${metric.unit}, ${told}`);
  }

  #show() {
    const session = this.#sessions.get(this.#select.value);
    const kinds = this.#metrics.get(session?.athlete);
    // Plots move on by themselves.
    for (const kind of View.KINDS) this.#showPlot(kind, kinds?.get(kind));
    if (!this.#isStale) return;
    this.#isStale = false;
    const [tone, state] = session ? View.STATES[session.status] ?? ['', 'Not started'] : ['', 'Waiting for a session'];
    $('session-status').dataset.tone = tone;
    setText($('session-status').lastElementChild, state);
    setText($('session-where'), session ? [session.location, session.athlete && `athlete ${brief(session.athlete)}`, timeOfDay(session.since) && `since ${timeOfDay(session.since)}`].filter(Boolean).join(', ') : '');
    setText($('goals-of'), session?.athlete ? `athlete ${brief(session.athlete)}` : '');
    const goals = [...this.#goals.get(session?.athlete) ?? []].sort(([, a], [, b]) => b.at - a.at).slice(0, 3).sort(([a], [b]) => (a < b ? -1 : 1));
    fillList($('goals'), goals.map(([id, { progress, isAchieved }]) => element('li', {},
      element('span', { class: 'clip' }, `Goal ${brief(id)}`), bar(progress / 100), element('b', {}, isAchieved ? 'achieved' : `${progress} %`))), 'No goals yet');
    fillList($('notes'), (session?.notes ?? []).map(({ by, about, text, at }) => element('li', {},
      element('div', {}, tag(about), element('small', {}, `${by}, ${timeOfDay(at)}`)), element('p', { class: 'clip', title: text }, text))), 'No feedback yet');
    fillList($('talk'), this.#messages.slice(-4).reverse().map(({ isOwn, by, text, at, isGone }) => element('li', { class: `${isOwn ? 'own' : ''} ${isGone ? 'is-gone' : ''}` },
      element('p', { class: 'clip', title: text }, element('span', { class: 'unseen' }, `${isOwn ? 'you' : by}: `), text), element('small', {}, timeOfDay(at)))), 'No messages yet');
    $('notice').replaceChildren(...(this.#notice ? [element('b', {}, this.#notice.title), ` ${this.#notice.message}`] : []));
  }
}
