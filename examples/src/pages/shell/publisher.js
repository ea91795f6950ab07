// Publishing

class Publisher {
  #form = $('publish');
  #editor = $('envelope');
  #client;
  #context;
  /** What was filled in; while it stands unchanged it is made anew, so that its times are fresh. */
  #filled = '';

  constructor(client, context) {
    this.#client = client;
    this.#context = context;
    const options = (names) => names.map((name) => element('option', {}, name));
    const others = Object.keys(TEMPLATES).filter((name) => !FROM_CLIENTS.includes(name));
    if (FROM_CLIENTS.length) $('event').append(element('optgroup', { label: 'Clients may send' }, ...options(FROM_CLIENTS)));
    $('event').append(element('optgroup', { label: 'Backend only' }, ...options(others)));
    $('event').addEventListener('change', () => {
      this.#chooseRoute();
      this.fill();
    });
    $('reset').addEventListener('click', () => this.fill());
    this.#editor.addEventListener('input', () => this.#parse());
    this.#editor.addEventListener('keydown', (event) => {
      if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) this.#form.requestSubmit();
    });
    this.#form.addEventListener('submit', (event) => {
      event.preventDefault();
      this.#send();
    });
    $('publish').querySelector('.routes').hidden = !FROM_CLIENTS.length;
    this.#chooseRoute();
    this.fill();
  }

  #chooseRoute() {
    this.#form.elements.route.value = FROM_CLIENTS.includes($('event').value) ? 'socket' : 'api';
  }

  fill() {
    const event = $('event').value;
    this.#filled = JSON.stringify({ [PLATFORM.eventKey]: event, ...TEMPLATES[event](this.#context()) }, null, 2);
    this.#editor.value = this.#filled;
    this.#parse();
  }

  /** The context changed; what the user has not touched follows it. */
  refresh() {
    if (this.#editor.value === this.#filled) this.fill();
  }

  #parse() {
    try {
      const parsed = JSON.parse(this.#editor.value);
      setText($('envelope-problem'), '');
      return parsed;
    } catch (error) {
      setText($('envelope-problem'), error.message.replace(/^JSON\.parse: /, ''));
      $('envelope-problem').title = error.message;
      return undefined;
    }
  }

  async #send() {
    this.refresh();
    const envelope = this.#parse();
    if (envelope === undefined) return this.#editor.focus();
    const started = performance.now();
    const took = () => duration(performance.now() - started);
    if (this.#form.elements.route.value === 'api') return this.#post(envelope, took);
    try {
      await this.#client.publish(envelope?.channel ?? '', envelope);
      this.#tell('good', 'Accepted', ` from the user, ${took()}. It goes to ${envelope?.channel ?? 'its channel'}.`);
    } catch ({ code, message }) {
      this.#tell('bad', code ? `Error ${code}` : 'Not sent', ` ${message}`);
    }
  }

  async #post(envelope, took) {
    let answer;
    let body;
    try {
      answer = await fetch('/publish', {
        method: 'POST',
        headers: { authorization: `Bearer ${$('key').value.trim()}`, 'content-type': 'application/json' },
        body: JSON.stringify(envelope),
        signal: AbortSignal.timeout(15_000),
      });
      body = await answer.json();
    } catch (error) {
      const problem = answer ? `${answer.status} with an answer that is no JSON` : 'the server cannot be reached';
      return this.#tell('bad', 'Not sent', error.name === 'TimeoutError' ? ' no answer within 15 s' : ` ${problem}`);
    }
    if (answer.ok) return this.#tellAccepted(body, took());
    const { code, message, details } = body.error ?? {};
    const after = answer.headers.get('retry-after');
    this.#tell('bad', `${answer.status} ${code ?? ''}`, after ? ` Try again in ${after} s.` : '');
    const list = Array.isArray(details) && details.length ? details : [{ problem: message }];
    for (const { path, problem } of list) {
      $('result').append(element('div', {}, ...(path ? [element('code', {}, path), ' '] : []), problem ?? ''));
    }
  }

  #tellAccepted({ accepted, results }, took) {
    this.#tell('good', `Accepted ${accepted}`, ` in ${took}`);
    for (const { id, channel, offset } of results.slice(0, 20)) {
      const where = channel === null ? 'no channel, no client may see it' : `${channel}, ${offset === undefined ? 'live only' : `offset ${number.format(offset)}`}`;
      $('result').append(element('div', {}, where), element('code', {}, id));
    }
  }

  #tell(tone, title, text) {
    $('result').dataset.tone = tone;
    $('result').replaceChildren(element('strong', {}, title), text);
  }
}
