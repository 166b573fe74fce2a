// Numbers, ages and sizes as people read them.

const whole = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });

export const count = (value) => whole.format(value ?? 0);

export function milliseconds(value) {
  if (value === null || value === undefined) return "–";
  if (value < 10) return `${value.toFixed(1)} ms`;
  if (value < 10_000) return `${whole.format(value)} ms`;
  return duration(value / 1000);
}

/** Seconds as the largest unit that says enough: 41 s, 12 min, 3 h 20 min. */
export function duration(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  const rounded = Math.max(0, Math.round(seconds));
  if (rounded < 120) return `${rounded} s`;
  const minutes = Math.round(rounded / 60);
  if (minutes < 120) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  const rest = minutes % 60;
  if (hours < 48) return rest === 0 ? `${hours} h` : `${hours} h ${rest} min`;
  return `${Math.round(hours / 24)} days`;
}

export function age(value) {
  return value === null || value === undefined ? "age unknown" : `${milliseconds(value)} old`;
}

export function bytes(value) {
  if (value === null || value === undefined) return "–";
  for (const [unit, size] of [["GB", 1e9], ["MB", 1e6], ["kB", 1e3]]) {
    if (value >= size) return `${(value / size).toFixed(value >= size * 100 ? 0 : 1)} ${unit}`;
  }
  return `${value} B`;
}

export function rate(value) {
  if (value === null || value === undefined) return "–";
  return value < 10 ? value.toFixed(1) : whole.format(value);
}

const WEEKDAYS = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/** A moment in the time zone that its ISO text carries, whatever the reader's is: "Fri 8 Feb 14:05". */
export function wallTime(iso) {
  const [date, time] = iso.split("T");
  const [year, month, day] = date.split("-").map(Number);
  const weekday = WEEKDAYS[new Date(Date.UTC(year, month - 1, day)).getUTCDay()];
  return `${weekday} ${day} ${MONTHS[month - 1]} ${time.slice(0, 5)}`;
}

export function position(text) {
  return text ? text.replace(/^[a-z]+:/, "") : "–";
}

export function cell(value) {
  if (value === null || value === undefined) return "null";
  if (typeof value === "boolean") return value ? "true" : "false";
  const text = typeof value === "object" ? JSON.stringify(value) : String(value);
  // Times are shown without the T and the zero seconds; the full value is in the title.
  return text.replace(/^(\d{4}-\d\d-\d\d)T(\d\d:\d\d)(:00)?(\.0+)?/, "$1 $2");
}
