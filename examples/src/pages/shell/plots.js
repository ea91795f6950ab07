// Numbers over time

/** Seconds that plots reach back. */
const SPAN = 120;
const second = () => Math.floor(Date.now() / 1000);

/** The last two minutes of named series, one value a second; NaN where there is none. */
class History {
  #end = second();
  #series = new Map();

  series(key) {
    if (!this.#series.has(key)) this.#series.set(key, new Float64Array(SPAN).fill(NaN));
    return this.#series.get(key);
  }

  /** Moves on so that `to` is the newest second. */
  advance(to) {
    const by = Math.min(to - this.#end, SPAN);
    if (by <= 0) return;
    this.#end = to;
    for (const values of this.#series.values()) {
      values.copyWithin(0, by);
      values.fill(NaN, SPAN - by);
    }
  }

  set(key, at, value) {
    const place = SPAN - 1 - (this.#end - at);
    if (place >= 0 && place < SPAN) this.series(key)[place] = value;
  }
}

/** A number of the sorted `values` such that the share `p` of them is not larger. */
function percentile(values, p) {
  return values.length ? values[Math.max(0, Math.ceil(p * values.length) - 1)] : NaN;
}

/** Series as lines over two minutes, drawn on a canvas; their values stand in the legend. */
class Plot {
  static LEFT = 46;
  static RIGHT = 10;
  static TOP = 20;
  static BOTTOM = 20;
  static #all = [];
  static #colors = {};

  /** `series`: {key, label, color, dash, width, isFilled}; `scale`: 'linear' or 'log' (milliseconds). The colour 'tone' is the chosen priority's. */
  constructor(id, history, { name, unit, series, scale = 'linear', isStepped = false, format, marks = () => [] }) {
    this.canvas = $(id);
    Object.assign(this, { tone: 'accent', history, name, unit, series, scale, isStepped, format, marks, top: 1, cursor: null, context: this.canvas.getContext('2d') });
    this.values = series.map(({ label, color, dash = [], width = 1.6 }) => {
      const value = element('b', {}, '–');
      const line = `<svg viewBox="0 0 16 8" aria-hidden="true"><path d="M0 4h16" stroke="var(--${color})" stroke-width="${width + .4}" stroke-dasharray="${dash.join(' ')}"/></svg>`;
      const item = element('div');
      item.innerHTML = line;
      item.append(label, value);
      item.className = scale === 'log' ? 'long' : '';
      $(`${id}-legend`).insertBefore(item, $(`${id}-legend`).querySelector('.last'));
      return value;
    });
    new ResizeObserver(() => this.draw()).observe(this.canvas);
    const point = (event) => {
      const { left, width } = this.canvas.getBoundingClientRect();
      const share = (event.clientX - left - Plot.LEFT) / (width - Plot.LEFT - Plot.RIGHT);
      this.cursor = share < 0 || share > 1 ? null : Math.round(share * (SPAN - 1));
      this.draw();
    };
    this.canvas.addEventListener('pointermove', point);
    this.canvas.addEventListener('pointerdown', point);
    this.canvas.addEventListener('pointerleave', () => { this.cursor = null; this.draw(); });
    Plot.#all.push(this);
  }

  static drawAll() {
    for (const plot of Plot.#all) plot.draw();
  }

  static readColors() {
    const style = getComputedStyle(document.documentElement);
    for (const name of ['ink', 'soft', 'faint', 'line', 'accent', 'panel', 'high', 'medium', 'low']) {
      Plot.#colors[name] = style.getPropertyValue(`--${name}`).trim();
    }
    Plot.font = `11px ${style.getPropertyValue('--text')}`;
    Plot.drawAll();
  }

  /** The value at a place, or shortly before where that second has none yet. */
  #valueAt(values, place) {
    for (let at = place; at > place - 3 && at >= 0; at -= 1) {
      if (!Number.isNaN(values[at])) return values[at];
    }
    return NaN;
  }

  #tellValues() {
    const place = this.cursor ?? SPAN - 1;
    const told = this.series.map(({ key, label }, at) => {
      const value = this.#valueAt(this.history.series(this.keyOf(key)), place);
      const text = Number.isNaN(value) ? '–' : this.format(value);
      setText(this.values[at], text);
      return `${label} ${text}`;
    });
    this.canvas.setAttribute('aria-label', `${this.name}, ${this.cursor === null ? 'now' : `${SPAN - 1 - this.cursor} s ago`}: ${told.join(', ')}`);
  }

  keyOf(key) {
    return this.suffix ? `${key}.${this.suffix}` : key;
  }

  #ticks() {
    if (this.scale === 'log') return [1, 10, 100, 1000, 10_000];
    let most = 1;
    for (const { key } of this.series) {
      for (const value of this.history.series(this.keyOf(key))) if (value > most) most = value;
    }
    const rough = most / 3;
    const power = 10 ** Math.floor(Math.log10(rough));
    const step = Math.max(1, [1, 2, 2.5, 5, 10].find((nice) => nice * power >= rough) * power);
    this.top = Math.ceil(most * 1.02 / step) * step;
    return Array.from({ length: Math.round(this.top / step) + 1 }, (_, at) => at * step);
  }

  draw() {
    const { clientWidth: width, clientHeight: height } = this.canvas;
    if (!width) return;
    this.#tellValues();
    const ratio = devicePixelRatio || 1;
    if (this.canvas.width !== Math.round(width * ratio) || this.canvas.height !== Math.round(height * ratio)) {
      this.canvas.width = Math.round(width * ratio);
      this.canvas.height = Math.round(height * ratio);
    }
    const { context: c } = this;
    const colors = { ...Plot.#colors, tone: Plot.#colors[this.tone] };
    c.setTransform(ratio, 0, 0, ratio, 0, 0);
    c.clearRect(0, 0, width, height);
    c.font = Plot.font;
    c.lineJoin = 'round';
    const right = width - Plot.RIGHT;
    const bottom = height - Plot.BOTTOM;
    const x = (at) => Plot.LEFT + (at / (SPAN - 1)) * (right - Plot.LEFT);
    const share = this.scale === 'log' ? (value) => Math.log10(Math.max(value, 1)) / Math.log10(20_000) : (value) => value / this.top;
    const ticks = this.#ticks();
    const y = (value) => bottom - Math.min(share(value), 1) * (bottom - Plot.TOP);
    const crisp = (at) => Math.round(at * ratio) / ratio + 0.5 / ratio;

    c.lineWidth = 1;
    c.strokeStyle = colors.line;
    c.fillStyle = colors.faint;
    c.textAlign = 'right';
    c.textBaseline = 'middle';
    for (const tick of ticks) {
      const at = crisp(y(tick));
      c.beginPath();
      c.moveTo(Plot.LEFT, at);
      c.lineTo(right, at);
      c.stroke();
      c.fillText(this.scale === 'log' ? (tick < 1000 ? `${tick} ms` : `${tick / 1000} s`) : compact.format(tick), Plot.LEFT - 7, at);
    }
    c.textAlign = 'left';
    if (this.unit) c.fillText(this.unit, 14, 6);
    c.textBaseline = 'alphabetic';
    for (const [ago, text] of [[120, '2 min ago'], [60, '1 min'], [0, 'now']]) {
      const at = x(SPAN - 1 - Math.min(ago, SPAN - 1));
      c.textAlign = ago === 0 ? 'right' : ago === 120 ? 'left' : 'center';
      c.fillText(text, at, height - 5);
    }

    for (const { value } of this.marks()) {
      const at = crisp(y(value));
      c.setLineDash([2, 3]);
      c.strokeStyle = colors.faint;
      c.beginPath();
      c.moveTo(Plot.LEFT, at);
      c.lineTo(right, at);
      c.stroke();
      c.setLineDash([]);
    }
    c.save();
    c.beginPath();
    c.rect(Plot.LEFT - 1, 0, right - Plot.LEFT + 3, height);
    c.clip();
    for (const series of [...this.series].reverse()) this.#line(c, series, x, y, bottom, colors);
    c.restore();
    c.textAlign = 'left';
    c.lineWidth = 4;
    c.strokeStyle = colors.panel;
    c.fillStyle = colors.soft;
    for (const { value, text } of this.marks()) {
      c.strokeText(text, Plot.LEFT + 5, y(value) - 4);
      c.fillText(text, Plot.LEFT + 5, y(value) - 4);
    }
    if (this.cursor !== null) this.#mark(c, x, y, bottom, colors, crisp);
  }

  #line(c, { key, color, dash = [], width = 1.6, isFilled }, x, y, bottom, colors) {
    const values = this.history.series(this.keyOf(key));
    // Low priority comes in bursts up to 10 s apart: one line all the same.
    const bridge = this.scale === 'log' ? 12 : 2;
    const runs = [];
    let last = -Infinity;
    values.forEach((value, at) => {
      if (Number.isNaN(value)) return;
      if (at - last > bridge) runs.push([]);
      runs.at(-1).push([x(at), y(value)]);
      last = at;
    });
    c.strokeStyle = c.fillStyle = colors[color];
    c.lineWidth = width;
    for (const run of runs) {
      const path = new Path2D();
      run.forEach(([px, py], at) => {
        if (at === 0) return path.moveTo(px, py);
        if (this.isStepped) path.lineTo(px, run[at - 1][1]);
        path.lineTo(px, py);
      });
      if (run.length === 1) path.lineTo(run[0][0] + 1, run[0][1]);
      if (isFilled) {
        const area = new Path2D(path);
        area.lineTo(run.at(-1)[0], bottom);
        area.lineTo(run[0][0], bottom);
        c.globalAlpha = 0.13;
        c.fill(area);
        c.globalAlpha = 1;
      }
      c.setLineDash(dash);
      c.stroke(path);
      c.setLineDash([]);
    }
  }

  #mark(c, x, y, bottom, colors, crisp) {
    const at = crisp(x(this.cursor));
    c.strokeStyle = colors.soft;
    c.lineWidth = 1;
    c.beginPath();
    c.moveTo(at, Plot.TOP);
    c.lineTo(at, bottom);
    c.stroke();
    for (const { key, color } of this.series) {
      const value = this.history.series(this.keyOf(key))[this.cursor];
      if (Number.isNaN(value)) continue;
      c.fillStyle = colors[color];
      c.strokeStyle = colors.panel;
      c.beginPath();
      c.arc(at, y(value), 3.2, 0, 7);
      c.fill();
      c.stroke();
    }
  }
}
