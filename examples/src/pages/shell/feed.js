// Feed

/** What an envelope says, in a sentence; as JSON where it does not say what it should. */
function summary(envelope) {
  const { event, data } = PLATFORM.read(envelope);
  try {
    return SUMMARIES[event](data, envelope);
  } catch {
    return JSON.stringify(data ?? null);
  }
}

/** The newest events as rows. What arrives is collected and shown at most every 100 ms, in one go. */
class Feed {
  static ROWS = 200;
  static PACE = 100;
  static HOLDS = {
    button: 'paused', open: 'held while a row is open', scroll: 'held while you read on',
    focus: 'held while you are in it', pointer: 'held while you point at it',
  };

  total = 0;
  #rows = $('rows');
  #queue = [];
  #unseen = 0;
  #holds = new Set();
  #frame = 0;
  #shownAt = 0;
  #tabStop = null;

  constructor() {
    const rows = this.#rows;
    const isMouse = (event) => event.pointerType === 'mouse';
    rows.addEventListener('pointerenter', (event) => isMouse(event) && this.#hold('pointer', true));
    rows.addEventListener('pointerleave', (event) => isMouse(event) && this.#hold('pointer', false));
    rows.addEventListener('focusin', (event) => event.target.matches(':focus-visible') && this.#hold('focus', true));
    rows.addEventListener('focusout', (event) => rows.contains(event.relatedTarget) || this.#hold('focus', false));
    rows.addEventListener('scroll', () => this.#hold('scroll', rows.scrollTop > 8), { passive: true });
    rows.addEventListener('click', (event) => {
      const button = event.target.closest('.row > button');
      if (button) this.#toggle(button);
    });
    rows.addEventListener('keydown', (event) => this.#move(event));
    $('pause').addEventListener('click', () => this.#pause());
    this.#tell();
  }

  event(entry) {
    this.total += 1;
    this.#add(entry);
  }

  tell(text, tone = '') {
    this.#add({ told: text, tone, at: Date.now() });
  }

  #add(entry) {
    this.#queue.push(entry);
    if (this.#queue.length > 2 * Feed.ROWS) this.#queue.splice(0, this.#queue.length - Feed.ROWS);
    this.#unseen += entry.told ? 0 : 1;
    this.#schedule();
  }

  #schedule() {
    this.#frame ||= requestAnimationFrame((now) => {
      this.#frame = 0;
      if (now - this.#shownAt < Feed.PACE) return this.#schedule();
      this.#shownAt = now;
      if (!this.#holds.size) this.#show();
      this.#tell();
    });
  }

  #show() {
    if (!this.#queue.length) return;
    const entries = this.#queue.splice(0).slice(-Feed.ROWS).reverse();
    this.#unseen = 0;
    $('feed-empty')?.remove();
    const fresh = document.createDocumentFragment();
    for (const entry of entries) fresh.append(entry.told ? this.#toldRow(entry) : this.#eventRow(entry));
    this.#rows.prepend(fresh);
    while (this.#rows.childElementCount > Feed.ROWS) this.#rows.lastElementChild.remove();
    if (!this.#tabStop?.matches(':focus')) this.#stopAt(this.#rows.querySelector('.row > button'));
  }

  #eventRow(entry) {
    const { envelope, channel, at, latency, isRecovered } = entry;
    const { event = '?', priority } = PLATFORM.read(envelope);
    const button = element('button', { type: 'button', tabindex: '-1', 'aria-expanded': 'false' },
      element('time', {}, clockTime(at)),
      element('span', { class: 'summary clip' }, summary(envelope)),
      element('span', { class: 'meta clip' }, element('b', {}, short(channel, 24, 13)), event),
      element('span', { class: 'priority', 'data-of': priority }, priority),
      element('span', { class: 'latency' }, isRecovered ? 'recovered' : duration(latency)));
    const row = element('li', { class: 'row' }, button);
    row.envelope = envelope;
    return row;
  }

  #toldRow({ told, tone, at }) {
    return element('li', { class: 'row told', 'data-tone': tone },
      element('time', {}, clockTime(at)), element('span', { class: 'clip', title: told }, told));
  }

  #toggle(button) {
    const row = button.parentElement;
    const open = row.querySelector('pre');
    if (open) open.remove();
    else row.append(element('pre', { tabindex: '0', 'aria-label': 'Envelope' }, JSON.stringify(row.envelope, null, 2)));
    button.setAttribute('aria-expanded', String(!open));
    this.#stopAt(button);
    this.#hold('open', this.#rows.querySelector('pre') !== null);
  }

  #stopAt(button) {
    this.#tabStop?.setAttribute('tabindex', '-1');
    this.#tabStop = button;
    button?.setAttribute('tabindex', '0');
  }

  #move(event) {
    const buttons = [...this.#rows.querySelectorAll('.row > button')];
    const at = buttons.indexOf(document.activeElement);
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: buttons.length - 1 }[event.key];
    if (at < 0 || to === undefined || !buttons[to]) return;
    event.preventDefault();
    this.#stopAt(buttons[to]);
    buttons[to].focus();
  }

  #pause() {
    if (!this.#holds.size) return this.#hold('button', true);
    for (const open of this.#rows.querySelectorAll('pre')) {
      open.previousElementSibling.setAttribute('aria-expanded', 'false');
      open.remove();
    }
    this.#rows.scrollTop = 0;
    this.#holds.clear();
    this.#schedule();
  }

  #hold(reason, isHeld) {
    if (this.#holds.has(reason) === isHeld) return;
    if (isHeld) this.#holds.add(reason);
    else this.#holds.delete(reason);
    this.#schedule();
  }

  #tell() {
    const reason = Object.keys(Feed.HOLDS).find((hold) => this.#holds.has(hold));
    const seen = `${number.format(this.total)} received`;
    setText($('feed-state'), reason ? `${number.format(this.#unseen)} new, ${Feed.HOLDS[reason]}` : seen);
    setText($('pause'), reason && reason !== 'pointer' ? 'Resume' : 'Pause');
  }
}
