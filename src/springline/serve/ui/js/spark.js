// A small line chart that moves: one or two series over the same time, drawn as SVG.

const NS = "http://www.w3.org/2000/svg";
const WIDTH = 240;
const HEIGHT = 56;

export class Spark {
  /** `series` is how many lines; `points` how many values each keeps. */
  constructor(element, { series = 1, points = 120, area = false } = {}) {
    this.points = points;
    this.values = Array.from({ length: series }, () => []);
    this.svg = document.createElementNS(NS, "svg");
    this.svg.setAttribute("viewBox", `0 0 ${WIDTH} ${HEIGHT}`);
    this.svg.setAttribute("preserveAspectRatio", "none");
    this.svg.setAttribute("aria-hidden", "true");
    const base = this.add("line");
    for (const [name, value] of Object.entries({ x1: 0, x2: WIDTH, y1: HEIGHT - 1, y2: HEIGHT - 1 })) base.setAttribute(name, value);
    this.area = area ? this.add("path", "area") : null;
    this.paths = this.values.map((_, at) => this.add("path", at === 0 ? "first" : "second"));
    element.append(this.svg);
    this.top = 0;
  }

  add(tag, className) {
    const element = document.createElementNS(NS, tag);
    if (className) element.setAttribute("class", className);
    this.svg.append(element);
    return element;
  }

  push(...values) {
    values.forEach((value, at) => {
      this.values[at].push(value ?? 0);
      if (this.values[at].length > this.points) this.values[at].shift();
    });
    this.draw();
  }

  draw() {
    const most = Math.max(1, ...this.values.flat());
    // The scale rises at once and falls slowly, so that the line does not jump about.
    this.top = Math.max(most * 1.1, this.top * 0.97);
    this.values.forEach((values, at) => {
      const step = WIDTH / (this.points - 1);
      const first = this.points - values.length;
      const path = values.map((value, index) => `${((first + index) * step).toFixed(1)},${(HEIGHT - 2 - value / this.top * (HEIGHT - 6)).toFixed(1)}`);
      this.paths[at].setAttribute("d", path.length > 1 ? `M${path.join("L")}` : "");
      if (at === 0 && this.area && path.length > 1) {
        this.area.setAttribute("d", `M${(first * step).toFixed(1)},${HEIGHT - 1}L${path.join("L")}L${WIDTH},${HEIGHT - 1}Z`);
      }
    });
  }
}
