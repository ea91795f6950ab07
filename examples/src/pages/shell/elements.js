const $ = (id) => document.getElementById(id);
const number = new Intl.NumberFormat('en');
const compact = new Intl.NumberFormat('en', { notation: 'compact', maximumFractionDigits: 1 });
const PRIORITIES = ['high', 'medium', 'low'];

function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

/** Writes a text only where it differs: most ticks change nothing. */
function setText(target, text) {
  if (target.textContent !== text) target.textContent = text;
}

function duration(ms) {
  if (!Number.isFinite(ms)) return '–';
  if (ms < 9.95) return `${+ms.toFixed(ms < 1 ? 2 : 1)} ms`;
  if (ms < 999.5) return `${Math.round(ms)} ms`;
  if (ms < 99_950) return `${(ms / 1000).toFixed(ms < 9_950 ? 2 : 1)} s`;
  return ms < 5_400_000 ? `${Math.round(ms / 60_000)} min` : `${Math.round(ms / 3_600_000)} h`;
}

function clockTime(ms) {
  const at = new Date(ms);
  const two = (n) => String(n).padStart(2, '0');
  return `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}.${String(at.getMilliseconds()).padStart(3, '0')}`;
}

/** Such as 14:03:59. */
const timeOfDay = (ms) => (Number.isFinite(ms) ? clockTime(ms).slice(0, 8) : '');
const quoted = (text) => `“${text}”`;
const many = (count, one) => `${number.format(count)} ${one}${count === 1 ? '' : 's'}`;
/** A name of up to `most` characters, or the first `few`. */
const short = (name, most, few) => (name.length > most ? `${name.slice(0, few)}…` : name);
const later = (seconds) => new Date(Date.now() + seconds * 1000).toISOString();
const anyId = () => 1 + Math.floor(Math.random() * 99_999);
const initials = (name) => name.split(' ').map((part) => part[0] ?? '').slice(0, 2).join('');

/** A bar that is full at `share` 1. */
const bar = (share) => element('span', { class: 'bar' }, element('i', { style: `transform: scaleX(${Math.min(Math.max(share || 0, 0), 1).toFixed(3)})` }));
const tag = (text, tone = '') => element('span', { class: 'tag', 'data-tone': tone }, text);

/** Fills a list anew, or says that there is nothing yet. */
function fillList(list, rows, none) {
  list.replaceChildren(...(rows.length ? rows : [element('li', { class: 'none' }, none)]));
}
