// A small plot of the last minutes: one line or two, drawn as SVG.
import {h, svg} from "./dom.js";

const WIDTH = 300;
const HEIGHT = 84;

/** A number that the axis can end at: 1, 2, 5 times a power of ten, not below value. */
function ceiling(value) {
  if (value <= 0)
    return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].map((n) => n * power).find((n) => n >= value * 0.999);
}

/** points: numbers or null for "not known"; gaps stay gaps. */
function line(values, count, top) {
  let path = "";
  let pen = false;
  values.forEach((value, i) => {
    if (value === null) {
      pen = false;
      return;
    }
    const x = WIDTH * (i + count - values.length) / (count - 1);
    const y = HEIGHT - 2 - (HEIGHT - 6) * Math.min(1, value / top);
    path += `${pen ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`;
    pen = true;
  });
  return path;
}

/** limit: where the axis ends; null lets it follow the values. count values, one each `seconds`. */
export class Plot {
  constructor({title, format, limit = null, count = 90, seconds = 2}) {
    Object.assign(this, {title, format, limit, count, seconds, values: []});
    this.now = h("strong");
    this.top = h("span.small");
    this.path = svg("path", {class: "line", fill: "none"});
    this.area = svg("path", {class: "area"});
    this.picture = svg("svg", {viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img"},
      svg("path", {class: "grid", d: `M0 4H${WIDTH}M0 ${HEIGHT / 2}H${WIDTH}M0 ${HEIGHT - 1}H${WIDTH}`}), this.area, this.path);
    this.element = h("figure.plot", null,
      h("figcaption", null, h("span", null, title), this.now), this.picture, h("div.scale", null, this.top));
    this.draw();
  }

  add(value, limit = this.limit) {
    this.limit = limit;
    this.values.push(value ?? null);
    if (this.values.length > this.count)
      this.values.shift();
    this.draw();
  }

  draw() {
    const known = this.values.filter((value) => value !== null);
    const top = this.limit ?? ceiling(Math.max(0, ...known));
    const last = this.values.at(-1) ?? null;
    const path = line(this.values, this.count, top);
    const first = this.values.findIndex((value) => value !== null);
    this.path.setAttribute("d", path);
    this.area.setAttribute("d", path && known.length === this.values.length - first && last !== null
      ? `${path}L${WIDTH} ${HEIGHT}L${(WIDTH * (first + this.count - this.values.length) / (this.count - 1)).toFixed(1)} ${HEIGHT}Z` : "");
    this.now.textContent = last === null ? "unknown" : this.format(last);
    this.top.textContent = `maximum ${this.format(top)} · last ${this.count * this.seconds / 60} minutes`;
    this.picture.setAttribute("aria-label", `${this.title}: ${this.now.textContent}` +
      (known.length > 1 ? `, between ${this.format(Math.min(...known))} and ${this.format(Math.max(...known))}` : ""));
  }
}
