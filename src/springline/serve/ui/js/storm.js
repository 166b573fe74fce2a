// You are the storm: the visitor's own statement, and how long it took until the open answer showed it.

import { get, post } from "./api.js";
import { $, emit, h, on, replace, setText } from "./dom.js";
import { cell, milliseconds } from "./format.js";

const PATIENCE_MS = 6_000;

const POLICIES = [
  ["Free taxis", "Travellers of cancelled flights may take a taxi to their hotel; the airline pays up to 60 US dollars."],
  ["Refunds in an hour", "While this storm lasts, every refund for a cancelled flight is paid within one hour."],
  ["Remove mine", ""],
];

let examples = [];
let tab = "sql";
let changes = [];

export function startStorm(state) {
  if (!state.sql_allowed) {
    $("storm-run").disabled = true;
    setText($("storm-result"), "The box works only while the demo listens on this machine alone.");
  }
  on("subject", loadExamples);
  on("answered", ({ changed, visibleAtUs }) => {
    if (changed) changes = [...changes.slice(-20), visibleAtUs];
  });
  $("storm-run").addEventListener("click", run);
  for (const area of [$("sql"), $("policy")]) {
    area.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
        event.preventDefault();
        run();
      }
    });
  }
  if (/Mac|iPhone|iPad/.test(navigator.platform)) setText(document.querySelector(".hint-key"), "⌘ ↵");
  startTabs();
  replace($("policy-examples"), POLICIES.map(([title, text]) => h("button", { type: "button", onclick: () => { $("policy").value = text; } }, title)));
  $("policy").value = POLICIES[0][1];
  loadExamples(state.featured[0].subject);
}

function startTabs() {
  const tabs = ["sql", "policy"];
  const select = (name, focus) => {
    tab = name;
    for (const other of tabs) {
      const button = $(`tab-${other}`);
      button.setAttribute("aria-selected", String(other === name));
      button.tabIndex = other === name ? 0 : -1;
      $(`pane-${other}`).hidden = other !== name;
    }
    setText($("storm-run"), name === "sql" ? "Run" : "Save");
    if (focus) $(`tab-${name}`).focus();
  };
  for (const name of tabs) {
    $(`tab-${name}`).addEventListener("click", () => select(name, false));
    $(`tab-${name}`).addEventListener("keydown", (event) => {
      if (event.key === "ArrowLeft" || event.key === "ArrowRight") select(tabs[1 - tabs.indexOf(name)], true);
    });
  }
}

async function loadExamples(subject) {
  let customer;
  try {
    customer = await get(`/demo/customers/${encodeURIComponent(subject)}`);
  } catch (error) {
    replace($("storm-result"), h("p", { class: "error" }, error.message));
    return;
  }
  const untouched = $("sql").value === "" || examples.some((example) => example.sql === $("sql").value);
  examples = customer.examples;
  replace($("sql-examples"), examples.map((example) => h("button", { type: "button", onclick: () => { $("sql").value = example.sql; } }, example.title)));
  if (untouched && examples.length > 0) $("sql").value = examples[0].sql;
}

async function run() {
  const result = $("storm-result");
  const button = $("storm-run");
  if (button.disabled) return;
  button.disabled = true;
  replace(result, h("p", { class: "muted" }, "committing …"));
  try {
    const outcome = tab === "sql" ? await post("/demo/sql", { sql: $("sql").value }) : await post("/demo/policy", { text: $("policy").value });
    emit("committed", outcome);
    await report(outcome);
  } catch (error) {
    const where = error.line ? ` Line ${error.line}, column ${error.column}.` : "";
    const message = where && error.message.includes("(line") ? error.message : error.message + where;
    if (error.line) select(error.line, error.column);
    tell(h("p", { class: "error" }, message), error.hint ? h("p", { class: "muted" }, error.hint) : null);
  } finally {
    button.disabled = false;
  }
}

/** Shows a result where it can be seen, also where the panel is shorter than what it holds. */
function tell(...children) {
  const result = $("storm-result");
  replace(result, ...children);
  result.scrollIntoView({ block: "nearest" });
}

/** Waits for the open answer to change, and says after how long it did. */
async function report(outcome) {
  const details = tab === "sql"
    ? `${outcome.command} · ${outcome.rows_affected} ${outcome.rows_affected === 1 ? "row" : "rows"} · commit took ${milliseconds(outcome.commit_us / 1000)}`
    : "The file is in its place.";
  const rows = outcome.rows?.length ? h("pre", { tabindex: "0" }, table(outcome)) : null;
  const headline = h("p", { class: "headline" }, "committed → waiting for the answer …");
  tell(rows ? null : headline, h("p", { class: "muted" }, details), rows);
  if (rows) return;
  const deadline = performance.now() + PATIENCE_MS;
  for (;;) {
    const visible = changes.find((at) => at >= outcome.committed_at_us);
    if (visible !== undefined) {
      replace(headline, "committed → visible in the answer in ", h("b", {}, milliseconds((visible - outcome.committed_at_us) / 1000)));
      return;
    }
    if (performance.now() > deadline) {
      setText(headline, "committed. The open answer does not depend on it, or says the same as before.");
      return;
    }
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

function table({ columns, rows }) {
  return [columns.join("  |  "), ...rows.map((row) => row.map(cell).join("  |  "))].join("\n");
}

function select(line, column) {
  const area = $("sql");
  const before = area.value.split("\n").slice(0, line - 1).join("\n");
  const at = before.length + (line > 1 ? 1 : 0) + column - 1;
  const word = area.value.slice(at).match(/^\w+/)?.[0].length ?? 1;
  area.focus();
  area.setSelectionRange(at, at + word);
}
