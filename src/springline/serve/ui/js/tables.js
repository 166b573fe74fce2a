// Tables and views, page by page, with the cells that change lighting up.

import { get } from "./api.js";
import { $, emit, h, on, replace, setText } from "./dom.js";
import { cell, count } from "./format.js";

const ROWS = 50;
const GAP_MS = 400;

let provenance = {};
let relations = [];
let current = null;
let after = null;
let page = null;
let cells = new Map();
let loading = false;
let stale = false;
let lastLoad = 0;
let known = "";

export function startTables(state) {
  provenance = state?.provenance ?? {};
  $("relation").addEventListener("change", (event) => choose(event.target.value));
  $("page-first").addEventListener("click", () => { after = null; load(); });
  $("page-next").addEventListener("click", () => { after = page.next; load(); });
  on("status", receive);
  on("tick", ({ touched }) => { if (current !== null && touched[current] !== undefined) refresh(); });
}

async function receive(status) {
  const names = status.relations.map((relation) => relation.name).join("\n");
  if (names !== known) {
    known = names;
    await list();
  }
  const relation = status.relations.find((found) => found.name === current);
  if (!relation) return;
  const state = relation.state === "live" ? "" : ` · ${relation.state}${relation.error ? `: ${relation.error}` : ""}`;
  setText($("relation-meta"), `${relation.kind} · ${count(relation.rows)} rows · changed in tick ${count(relation.tick)}${state}`);
}

async function list() {
  try {
    ({ relations } = await get("/v1/relations"));
  } catch (error) {
    emit("problem", error);
    return;
  }
  const group = (kind, label) => {
    const found = relations.filter((relation) => relation.kind === kind);
    return found.length ? h("optgroup", { label }, found.map((relation) => h("option", { value: relation.name }, relation.name))) : null;
  };
  replace($("relation"), group("view", "Views"), group("table", "Tables"));
  if (relations.length === 0) return;
  const still = relations.some((relation) => relation.name === current);
  const lively = relations.find((relation) => relation.name.endsWith(".flights")) ?? relations[0];
  choose(still ? current : lively.name);
}

function choose(name) {
  current = name;
  after = null;
  $("relation").value = name;
  load();
}

function refresh() {
  if (document.hidden || stale) return;
  stale = true;
  setTimeout(() => { stale = false; load(); }, Math.max(0, GAP_MS - (performance.now() - lastLoad)));
}

async function load() {
  if (loading) { refresh(); return; }
  loading = true;
  lastLoad = performance.now();
  const [name, from] = [current, after];
  try {
    const found = await get(`/v1/relations/${encodeURIComponent(name)}?limit=${ROWS}${from ? `&after=${encodeURIComponent(from)}` : ""}`);
    if (name === current && from === after) show(found, from);
  } catch (error) {
    if (name === current && !error.transient) emit("problem", error);
  } finally {
    loading = false;
    if (name !== current || from !== after) load();
  }
}

function show(found, from) {
  const same = page !== null && page.name === found.name && page.from === from;
  page = { ...found, from };
  if (!same) head(found);
  body(found, same);
  if (!same) lock();
  $("page-first").disabled = from === null;
  $("page-next").disabled = found.next === null;
}

const isNumber = (column) => /^(SMALLINT|INT|BIGINT|FLOAT|DOUBLE|DECIMAL)/.test(column.type);

function badge(name, column) {
  const kind = provenance[`${name.split(".").at(-1)}.${column}`];
  return kind ? h("span", { class: `badge ${kind}`, title: kind }, h("span", { class: "visually-hidden" }, kind)) : null;
}

function head(found) {
  $("grid").classList.remove("locked");
  replace($("grid").tHead, h("tr", {}, found.columns.map((column) => h("th", { scope: "col", class: isNumber(column) ? "number" : null, title: column.type },
    column.name, badge(found.name, column.name)))));
  $("grid").tBodies[0].replaceChildren();
  cells = new Map();
}

/** Keeps the columns as wide as the first rows made them, so that nothing moves while values change. */
function lock() {
  const heads = [...$("grid").tHead.rows[0].cells];
  const widths = heads.map((cellOfHead) => cellOfHead.getBoundingClientRect().width);
  heads.forEach((cellOfHead, at) => { cellOfHead.style.width = `${Math.ceil(widths[at])}px`; });
  $("grid").classList.add("locked");
}

/** Rows are matched by key: kept elements change in place, so nothing flickers and a selection survives. */
function body(found, same) {
  const key = found.key.length ? found.key : found.columns.map((column) => column.name);
  const wanted = found.rows.map((row) => [JSON.stringify(key.map((name) => row[name])), row]);
  const alive = new Set(wanted.map(([identity]) => identity));
  for (const [identity, entry] of cells) {
    if (!alive.has(identity)) { entry.row.remove(); cells.delete(identity); }
  }
  const container = $("grid").tBodies[0];
  wanted.forEach(([identity, row], at) => {
    let entry = cells.get(identity);
    if (entry === undefined) {
      entry = { row: h("tr", { class: same ? "came" : null }), values: [] };
      for (const column of found.columns) entry.row.append(h("td", { class: isNumber(column) ? "number" : null }));
      cells.set(identity, entry);
    }
    if (container.children[at] !== entry.row) container.insertBefore(entry.row, container.children[at] ?? null);
    found.columns.forEach((column, index) => update(entry, index, row[column.name]));
  });
}

function update(entry, index, value) {
  const text = cell(value);
  const before = entry.values[index];
  if (before === text) return;
  const element = entry.row.children[index];
  element.textContent = text;
  element.title = text.length > 30 || typeof value === "string" ? String(value) : "";
  element.classList.toggle("null", value === null);
  entry.values[index] = text;
  if (before !== undefined) {
    // Restarts the animation where a cell changes again while it is still lit.
    element.classList.remove("flash");
    void element.offsetWidth;
    element.classList.add("flash");
  }
}
