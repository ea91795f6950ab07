// Channels

/** Suggested and subscribed channels as chips that keep their places. */
class Channels {
  #client;
  #chips = new Map();
  #counts = new Map();
  #suggested = [];
  #changed = new Set();

  constructor(client) {
    this.#client = client;
    $('add').addEventListener('submit', (event) => {
      event.preventDefault();
      const channel = $('channel').value.trim();
      if (!channel) return;
      $('channels-message').dataset.tone = '';
      setText($('channels-message'), client.subscriptions.get(channel)?.state === 'subscribed' ? `${channel} is subscribed already` : '');
      client.subscribe(channel);
      $('channel').value = '';
    });
    setInterval(() => this.#showCounts(), 250);
  }

  suggest(channels) {
    for (const channel of this.#suggested) {
      if (!channels.includes(channel) && !this.#client.subscriptions.has(channel)) this.#remove(channel);
    }
    this.#suggested = channels;
    $('known').replaceChildren(...channels.map((value) => element('option', { value })));
    for (const channel of channels) this.update(channel);
  }

  counted(channel) {
    this.#counts.set(channel, (this.#counts.get(channel) ?? 0) + 1);
    this.#changed.add(channel);
  }

  update(channel) {
    const subscription = this.#client.subscriptions.get(channel);
    if (!subscription && !this.#suggested.includes(channel)) return this.#remove(channel);
    const chip = this.#chips.get(channel) ?? this.#add(channel);
    const state = subscription?.state ?? 'off';
    if (chip.dataset.state === state) return;
    chip.dataset.state = state;
    chip.setAttribute('aria-pressed', String(state === 'subscribed' || state === 'pending'));
    this.#showCount(channel);
    const refused = state === 'refused' && subscription.error;
    chip.title = refused ? `Refused: ${refused.code} ${refused.message}` : { off: `Subscribe to ${channel}`, pending: `Subscribing to ${channel}`, subscribed: `Unsubscribe from ${channel}` }[state];
    const message = $('channels-message');
    if (refused) {
      message.dataset.tone = 'bad';
      message.dataset.of = channel;
      setText(message, `${channel} was refused: ${refused.code} ${refused.message}`);
    } else if (message.dataset.of === channel) {
      message.dataset.of = '';
      setText(message, '');
    }
  }

  #add(channel) {
    const chip = element('button', { type: 'button', class: channel.length > 14 ? 'chip wide' : 'chip' },
      element('span', { class: 'name clip' }, channel), element('span', { class: 'count' }));
    chip.addEventListener('click', () => {
      if (this.#client.subscriptions.has(channel)) this.#client.unsubscribe(channel);
      else this.#client.subscribe(channel);
    });
    this.#chips.set(channel, chip);
    $('chips').append(chip);
    if (!this.#suggested.includes(channel)) chip.scrollIntoView({ block: 'nearest' });
    return chip;
  }

  #remove(channel) {
    this.#chips.get(channel)?.remove();
    this.#chips.delete(channel);
    this.#counts.delete(channel);
    const message = $('channels-message');
    if (message.dataset.of === channel) setText(message, '');
  }

  #showCounts() {
    for (const channel of this.#changed) this.#showCount(channel);
    this.#changed.clear();
  }

  #showCount(channel) {
    const chip = this.#chips.get(channel);
    if (!chip) return;
    const subscription = this.#client.subscriptions.get(channel);
    const count = this.#counts.get(channel) ?? 0;
    const text = subscription?.state === 'refused' ? String(subscription.error.code) : subscription || count ? compact.format(count) : '';
    setText(chip.lastElementChild, text);
  }
}
