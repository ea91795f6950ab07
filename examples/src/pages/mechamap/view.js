// Forum and marketplace

/** The life of one thread, and the stock of products. */
class View {
  static COMMENTS = 8;
  static PRODUCTS = 5;
  static PACE = 400;

  #threads = new Map();
  #shelf = Array(View.PRODUCTS).fill(null);
  #select = $('thread');
  #options = '';
  #isStale = true;

  /** `changed()` is called when another thread is chosen. */
  constructor(changed) {
    this.#select.addEventListener('change', () => {
      this.#show();
      changed();
    });
    const blank = () => element('li', {}, element('span', { class: 'face' }), element('div', { class: 'clip' },
      element('div', { class: 'by' }, element('b', { class: 'clip' }), element('small', { class: 'clip' })), element('p', { class: 'clip' })));
    for (let at = 0; at < View.COMMENTS; at += 1) $('comments').append(blank());
    for (let at = 0; at < View.PRODUCTS; at += 1) {
      $('stock').append(element('tr', {}, element('td', {}, '–'), element('td', {}, element('div', { class: 'level' },
        element('div', { class: 'bar' }, element('i', { style: 'transform: scaleX(0)' })), element('span'))), element('td')));
    }
    setInterval(() => this.#show(), View.PACE);
    this.channels([]);
  }

  /** What samples of publications are about. */
  context(user) {
    const channel = this.#select.value || 'thread.1';
    const { title, replies, views, comments } = this.#threads.get(channel) ?? {};
    const thread = {
      channel, id: Number(channel.split('.')[1]), title: title || 'SolidWorks Tips', replies: (replies ?? 14) + 1, views: (views ?? 4710) + 1, comment: comments?.[0]?.id ?? anyId(),
    };
    return { user: Number(user) || 1, thread };
  }

  /** Which threads there are to choose from. */
  channels(channels) {
    const threads = channels.filter((channel) => /^thread\.\d+$/.test(channel));
    threads.sort((a, b) => a.localeCompare(b, 'en', { numeric: true }));
    for (const known of this.#threads.keys()) if (!threads.includes(known)) this.#threads.delete(known);
    const options = threads.join();
    if (options !== this.#options || !this.#select.options.length) {
      this.#options = options;
      const chosen = this.#select.value;
      this.#select.replaceChildren(...(threads.length ? threads.map((channel) => element('option', {}, channel)) : [element('option', { value: '' }, 'none')]));
      if (threads.includes(chosen)) this.#select.value = chosen;
      this.#select.disabled = !threads.length;
    }
    this.#isStale = true;
  }

  event(channel, { event, data }) {
    if (channel.startsWith('thread.')) this.#inThread(channel, event, data);
    else if (event?.startsWith('marketplace.')) this.#onMarket(event, data);
  }

  #inThread(channel, event, data) {
    if (!this.#threads.has(channel)) {
      this.#threads.set(channel, { title: '', views: null, replies: null, reactions: new Map(), comments: [], typing: new Map() });
    }
    const thread = this.#threads.get(channel);
    this.#isStale = true;
    switch (event) {
      case 'forum.comment.created': {
        const { comment } = data;
        thread.title = data.thread.title;
        thread.replies = data.thread.reply_count;
        thread.typing.delete(comment.user.id);
        thread.comments.unshift({ id: comment.id, name: comment.user.name, text: comment.content, at: Date.parse(comment.created_at), mark: '' });
        thread.comments.length = Math.min(thread.comments.length, View.COMMENTS);
        break;
      }
      case 'forum.comment.updated': {
        const comment = thread.comments.find(({ id }) => id === data.comment_id);
        if (comment) Object.assign(comment, { text: data.content, mark: 'edited' });
        break;
      }
      case 'forum.reaction.added': {
        thread.reactions.set(data.reaction_type, (thread.reactions.get(data.reaction_type) ?? 0) + 1);
        const comment = thread.comments.find(({ id }) => id === data.comment_id);
        if (comment) comment.mark = `${number.format(data.new_count)} × ${data.reaction_type}`;
        break;
      }
      case 'forum.typing.started':
        thread.typing.set(data.user.id, { name: data.user.name, until: Date.parse(data.expires_at) });
        break;
      case 'forum.thread.view_count_updated':
        thread.views = data.view_count ?? thread.views;
    }
  }

  #onMarket(event, data) {
    const { product_id: id } = data;
    if (id === undefined) return;
    let slot = this.#shelf.findIndex((product) => product?.id === id);
    if (slot < 0) slot = this.#shelf.indexOf(null);
    if (slot < 0) slot = this.#shelf.reduce((oldest, product, at) => (product.at < this.#shelf[oldest].at ? at : oldest), 0);
    const product = this.#shelf[slot]?.id === id ? this.#shelf[slot] : { id, stock: null, threshold: 5, isLow: false, price: null };
    if (event === 'marketplace.stock.updated') Object.assign(product, { stock: data.new_stock, threshold: data.low_stock_threshold, isLow: data.is_low_stock });
    // It comes by another channel, perhaps later than what happened to the stock since.
    if (event === 'marketplace.stock.low_warning' && product.stock === null) Object.assign(product, { stock: data.stock ?? null, isLow: true });
    if (event === 'marketplace.price.changed') product.price = data.new_price;
    product.at = performance.now();
    this.#shelf[slot] = product;
    this.#isStale = true;
  }

  #show() {
    const thread = this.#threads.get(this.#select.value);
    this.#showTyping(thread);
    const shown = this.#select.value;
    if (!this.#isStale && shown === this.shown) return;
    this.#isStale = false;
    this.shown = shown;
    const figure = (value) => (value === null || value === undefined ? '–' : number.format(value));
    setText($('thread-title'), thread?.title || (shown ? `Waiting for ${shown}` : 'Subscribe to a thread to see it live'));
    setText($('thread-views'), figure(thread?.views));
    setText($('thread-replies'), figure(thread?.replies));
    const reactions = [...(thread?.reactions ?? [])].sort(([a], [b]) => (a < b ? -1 : 1));
    setText($('thread-reactions'), figure(reactions.reduce((sum, [, count]) => sum + count, 0)));
    $('reaction-kinds').replaceChildren(...reactions.map(([kind, count]) => element('span', {}, `${kind} `, element('b', {}, number.format(count)))));
    [...$('comments').children].forEach((row, at) => View.#showComment(row, thread?.comments[at]));
    const products = [...this.#shelf].sort((a, b) => (a?.id ?? Infinity) - (b?.id ?? Infinity));
    [...$('stock').children].forEach((row, at) => View.#showProduct(row, products[at]));
  }

  static #showComment(row, comment) {
    const [face, body] = row.children;
    row.style.visibility = comment ? 'visible' : 'hidden';
    if (!comment) return;
    setText(face, initials(comment.name));
    const [name, told] = body.firstElementChild.children;
    setText(name, comment.name);
    setText(told, [timeOfDay(comment.at), comment.mark].filter(Boolean).join(', '));
    setText(body.lastElementChild, comment.text);
  }

  static #showProduct(row, product) {
    const [name, level, price] = row.children;
    const [bar, left] = level.firstElementChild.children;
    row.className = product?.isLow ? 'is-low' : '';
    setText(name, product ? `Product ${product.id}` : '–');
    bar.firstElementChild.style.transform = `scaleX(${Math.min((product?.stock ?? 0) / 20, 1)})`;
    setText(left, product && product.stock !== null ? `${number.format(product.stock)}${product.isLow ? ' low' : ''}` : '');
    setText(price, product && product.price !== null ? product.price.toFixed(2) : '');
  }

  #showTyping(thread) {
    const now = Date.now();
    const names = [];
    for (const [id, { name, until }] of thread?.typing ?? []) {
      if (until > now) names.push(name);
      else thread.typing.delete(id);
    }
    const [first, second, third] = names;
    const text = names.length > 3 ? `${first}, ${second} and ${names.length - 2} others are typing`
      : names.length === 3 ? `${first}, ${second} and ${third} are typing`
      : names.length === 2 ? `${first} and ${second} are typing`
      : names.length ? `${first} is typing` : '';
    setText($('typing'), text);
  }
}
