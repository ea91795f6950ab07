// All together

/** What a token says; nothing here is checked, that is the server's business. */
function claims(token) {
  try {
    const part = token.trim().replace(/^Bearer /, '').split('.')[1].replaceAll('-', '+').replaceAll('_', '/');
    return JSON.parse(new TextDecoder().decode(Uint8Array.from(atob(part), (c) => c.charCodeAt(0))));
  } catch {
    return {};
  }
}

/** What codes of the Centrifuge protocol, of HTTP and of Socket.IO mean to whoever sits here. */
const SENTENCES = {
  401: 'the token is not valid here, or has ended: paste a new one', 403: 'this user may not have what was asked for',
  429: 'this user has as many connections, or has sent as much, as it may', 503: 'the server is going down, or its broker is away',
  AUTH_FAILED: 'the token is not valid here, or has ended: paste a new one', FORBIDDEN: 'this user may not have what was asked for',
  101: 'unauthorized: the server wants a token', 109: 'the token has expired: paste a new one', 3500: 'invalid token: it is not one of this server’s',
  3501: 'the server did not understand a command', 3502: 'the connection was not authenticated in time',
  3503: 'the server wants this client to stay away', 3504: 'this user, or the server, has as many connections as it may',
  3505: 'too many channels', 3507: 'a channel asked for at connect is not allowed',
};

/** Until there is a token, the user of the demo's. */
const user = () => String(claims($('token').value).sub ?? PLATFORM.demoUser);
const history = new History();
const recorder = new Recorder();
const monitor = new Monitor(history);
const feed = new Feed();
const view = new View(() => publisher.refresh());

const way = document.querySelectorAll('input[name=transport]');
let switches = 0;
let cuts = 0;

const client = new Client(TRANSPORTS[document.querySelector('input[name=transport]:checked').value], {
  state: showState,
  skew: () => monitor.skew,
  user,
  begun: (channel, position) => check.begin(channel, position),
  arrived: (channel, envelope) => check.arrived(channel, envelope),
  subscription(channel) {
    if (!client.subscriptions.has(channel)) check.forget(channel);
    channels.update(channel);
    view.channels([...client.subscriptions].filter(([, { state }]) => state !== 'refused').map(([name]) => name));
    publisher.refresh();
  },
  publication(channel, envelope, isRecovered) {
    const at = Date.now();
    const { event, data, priority, at: sent } = PLATFORM.read(envelope);
    const latency = Number.isNaN(sent) ? NaN : Math.max(0, at + monitor.skew - sent);
    recorder.event(priority, isRecovered || Number.isNaN(latency) ? null : latency);
    channels.counted(channel);
    feed.event({ envelope, channel, at, latency, isRecovered });
    try {
      view.event(channel, { event, data, at: Number.isNaN(sent) ? at : sent, envelope });
    } catch {
      // An envelope that was published by hand may lack what is shown here; the feed has it all.
    }
  },
  resumed({ events, gaps, time, from, to }) {
    const back = from && from !== to ? `From ${from.label} to ${to.label} in ${duration(time)}` : `Back after ${duration(time)}`;
    feed.tell(`${back}: recovered ${many(events, 'event')}`);
    if (gaps) check.gaps += Math.max(1, gaps.length);
    if (gaps) feed.tell(`${back}: history does not reach back${gaps.length ? ` on ${gaps.length > 2 ? many(gaps.length, 'channel') : gaps.join(', ')}` : ''}; live from there`, 'bad');
    check.read();
  },
  notice({ type, count, channel, code, message }) {
    if (type === 'dropped') feed.tell(`${many(count, 'event')} dropped on ${channel}: this page was too slow`, 'bad');
    if (type === 'error') feed.tell(`${code}: ${message}`, 'bad');
  },
});
const check = new Check((channels) => client.read(channels), {
  changed: showCheck,
  connectedSince: () => (client.state.name === 'connected' ? client.state.at : null),
  wrong: (text) => feed.tell(text, 'bad'),
});
const channels = new Channels(client);
const publisher = new Publisher(client, () => view.context(user()));

function showState(state) {
  const { name, code, reason } = state;
  const [tone, title] = {
    idle: ['', 'Not connected'], connecting: ['wait', 'Connecting'], connected: ['good', 'Connected'], waiting: ['wait', 'Waiting'],
    reconnecting: ['wait', 'Reconnecting'], closed: ['bad', `Closed, ${code}`],
  }[name];
  $('state').dataset.tone = tone;
  setText($('state').lastElementChild, title);
  const isOn = name !== 'idle' && name !== 'closed';
  setText($('connect'), isOn ? 'Disconnect' : 'Connect');
  $('connect').classList.toggle('main', !isOn);
  $('cut').disabled = name !== 'connected';
  if (name === 'reconnecting' && state.attempt === 1 && state.retryAt) feed.tell(`Connection lost: ${code} ${reason}`, 'bad');
  if (name === 'closed') feed.tell(`Closed for good: ${code} ${reason}`, 'bad');
  showStateDetail();
}

function showCheck() {
  const { checked, superseded, missed, twice, liveOnly, gaps, unread, underWay } = check;
  const isRight = !missed && !twice && !gaps;
  const began = checked || !isRight;
  $('check').dataset.tone = began ? (!isRight ? 'bad' : unread ? 'wait' : 'good') : '';
  setText($('check').lastElementChild, began ? `${number.format(missed)} missed, ${number.format(twice)} twice${gaps ? `, ${many(gaps, 'gap')}` : ''}` : 'Nothing to check yet');
  setText($('check-detail'), `${number.format(switches)} switch${switches === 1 ? '' : 'es'}, ${many(cuts, 'cut')}, ${number.format(checked)} checked${unread ? `, ${number.format(unread)} unread` : ''}`);
  $('check').parentElement.title = `Compared with history: ${number.format(checked)} came, ${number.format(superseded)} were superseded by newer ones of their kind, ${number.format(underWay)} are under way. ${number.format(liveOnly)} were live only, which history does not keep.${unread ? ` ${number.format(unread)} times a channel’s history had moved on before it was compared.` : ''}`;
}

function showStateDetail() {
  const { name, code, status, reason, retryAt, attempt, client: id } = client.state;
  let detail = '';
  if (name === 'idle') detail = $('token').value ? 'Ready to connect' : 'Paste a token to start';
  if (name === 'connecting') detail = 'Waiting for the server';
  if (name === 'waiting') detail = `${client.kind.label} carries channels: subscribe to one`;
  if (name === 'closed') detail = SENTENCES[code] ?? reason;
  if (name === 'reconnecting') {
    const left = Math.max(0, (retryAt ?? 0) - Date.now());
    const why = `${code} ${SENTENCES[status] ?? reason}`;
    detail = left ? `in ${(left / 1000).toFixed(1)} s, attempt ${attempt}; ${why}` : `attempt ${attempt}; ${why}`;
  }
  if (name === 'connected') {
    const { sub = '?', exp } = claims($('token').value);
    const end = exp ? `, token ends in ${duration(exp * 1000 - Date.now() - monitor.skew)}` : '';
    detail = `user ${short(String(sub), 16, 8)}${end}${id ? `, id ${id.slice(0, 8)}` : ''}`;
  }
  if ($('state-detail').title === detail) return;
  setText($('state-detail'), detail);
  $('state-detail').title = detail;
}
setInterval(showStateDetail, 100);

$('link').addEventListener('submit', (event) => {
  event.preventDefault();
  const { name } = client.state;
  if (name !== 'idle' && name !== 'closed') client.disconnect();
  else client.connect($('token').value.trim());
});
$('cut').addEventListener('click', () => {
  cuts += 1;
  client.cut(3000);
  showCheck();
});
for (const radio of way) {
  radio.addEventListener('change', () => {
    if (client.use(TRANSPORTS[radio.value])) switches += 1;
    showTransport();
    showCheck();
  });
}

function showTransport() {
  setText($('transport-detail'), client.kind.detail);
}
$('token').addEventListener('input', tokenChanged);

let ownChannel = '';

/** The user's own channel is wanted from the start, whoever the user turns out to be. */
function tokenChanged() {
  const own = `user.${user()}`;
  if (own !== ownChannel) {
    if (client.subscriptions.has(ownChannel)) client.unsubscribe(ownChannel);
    ownChannel = own;
    channels.suggest([...PLATFORM.channels, ...PLATFORM.others, own]);
    view.user = user();
    client.subscribe(own);
  }
  for (const channel of claims($('token').value).channels ?? []) client.subscribe(channel);
  publisher.refresh();
}

/** The server prints this page's address with `#token=…&key=…`. */
function readFragment() {
  const given = new URLSearchParams(location.hash.slice(1));
  if (given.has('key')) $('key').value = given.get('key');
  if (!given.has('token')) return;
  $('token').value = given.get('token');
  tokenChanged();
  client.disconnect();
  client.connect($('token').value.trim());
}
addEventListener('hashchange', readFragment);

// Plots
new Plot('rates', history, {
  name: 'Events per second', unit: 'events/s', format: (value) => compact.format(Math.round(value)),
  series: [
    { key: 'received', label: 'received', color: 'accent', width: 1.8, isFilled: true },
    { key: 'delivered', label: 'delivered', color: 'ink', dash: [4, 3], width: 1.4 },
    { key: 'published', label: 'published', color: 'faint', width: 1.4 },
  ],
});
const wait = (priority) => ({ value: PLATFORM.linger[priority], text: `${priority} ≤ ${PLATFORM.linger[priority] / 1000} s` });
const byPriority = { high: [], medium: [wait('medium')], low: [wait('low')], all: [wait('medium'), wait('low')] };
const latencyPlots = [
  new Plot('latency', history, {
    name: 'Latency to page', scale: 'log', format: duration,
    series: [
      { key: 'p50', label: 'p50', color: 'tone', width: 1.8, isFilled: true },
      { key: 'p90', label: 'p90', color: 'tone', dash: [4, 3], width: 1.5 },
      { key: 'p99', label: 'p99', color: 'soft', width: 1.3 },
    ],
    marks: () => byPriority[chosen()],
  }),
  new Plot('delivery', history, {
    name: 'Latency in server', scale: 'log', format: duration,
    series: [
      { key: 'server50', label: 'p50', color: 'tone', width: 1.8, isFilled: true },
      { key: 'server99', label: 'p99', color: 'soft', width: 1.3 },
    ],
    marks: () => byPriority[chosen()],
  }),
];
new Plot('connections', history, {
  name: 'Connections', unit: 'open', isStepped: true, format: (value) => number.format(value),
  series: [{ key: 'connections', label: 'all', color: 'accent', width: 1.8, isFilled: true }],
});

function chosen() {
  return document.querySelector('input[name=priority]:checked').value;
}

function choosePriority() {
  const tone = chosen() === 'all' ? 'accent' : chosen();
  for (const plot of latencyPlots) {
    Object.assign(plot, { suffix: chosen(), tone });
    plot.canvas.previousElementSibling.style.setProperty('--tone', `var(--${tone})`);
  }
  setText($('delivery-of'), chosen() === 'all' ? 'all priorities' : `${chosen()} priority`);
  Plot.drawAll();
}
for (const radio of document.querySelectorAll('input[name=priority]')) radio.addEventListener('change', choosePriority);
choosePriority();
Plot.readColors();
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', Plot.readColors);

setText($('linger-medium'), `${PLATFORM.linger.medium / 1000} s`);
setText($('linger-low'), `${PLATFORM.linger.low / 1000} s`);
$('channel').placeholder = PLATFORM.channels[0] ?? `user.${user()}`;
const note = $('note').textContent;

/** At the turn of each second: the one that is over goes into the plots. */
async function tick() {
  const over = second() - 1;
  recorder.close(history, over);
  await monitor.metrics(over);
  Plot.drawAll();
  setText($('note'), monitor.skew ? `${note} The server’s clock differs from this one’s by ${duration(Math.abs(monitor.skew))}, which is corrected.` : note);
}

function everySecond() {
  setTimeout(() => {
    everySecond();
    tick();
  }, 1000 - (Date.now() % 1000) + 15);
}
everySecond();
monitor.health();
setInterval(() => monitor.health(), 5000);

showTransport();
tokenChanged();
for (const channel of PLATFORM.channels) client.subscribe(channel);
readFragment();
