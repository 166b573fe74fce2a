// The strip at the bottom, and the banner for what a person should know.

import { $, h, on, replace, setText } from "./dom.js";
import { bytes, count } from "./format.js";

const LINKS = { wait: "connecting", live: "live", lost: "connection lost, trying again" };

let problem = null;
let problemTimer = 0;
let statusErrors = [];
let shown = "";

export function startStatus(features) {
  setText($("status-version"), `Springline ${features.version}`);
  on("link", (state) => {
    $("status-link").dataset.state = state;
    setText($("status-link"), LINKS[state]);
  });
  on("status", receive);
  on("demo", ({ storm }) => { stormProblem = storm.problem; showBanner(); });
  on("problem", (error) => {
    problem = [error.message, error.hint].filter(Boolean).join(" ");
    clearTimeout(problemTimer);
    problemTimer = setTimeout(() => { problem = null; showBanner(); }, 8_000);
    showBanner();
  });
}

let stormProblem = null;

function receive(status) {
  setText($("status-state"), status.state);
  setText($("status-tick"), `tick ${count(status.tick)}`);
  setText($("status-files"), `log ${bytes(status.log_bytes)} · state ${bytes(status.state_bytes)}`);
  setText($("status-letters"), status.dead_letters > 0 ? `${count(status.dead_letters)} dead letters` : "no dead letters");
  const ofSources = Object.entries(status.sources).filter(([, source]) => source.error).map(([name, source]) => `${name}: ${source.error}`);
  const ofRelations = status.relations.filter((relation) => relation.error).map((relation) => `${relation.name}: ${relation.error}`);
  statusErrors = [...new Set([...status.errors, ...ofSources, ...ofRelations])];
  showBanner();
}

function showBanner() {
  const messages = [problem, stormProblem && `The storm stands still: ${stormProblem}`, ...statusErrors].filter(Boolean);
  const text = messages.join("\n");
  if (text === shown) return;
  shown = text;
  $("banner").hidden = messages.length === 0;
  replace($("banner"), messages.slice(0, 4).map((message) => h("p", {}, message)), messages.length > 4 ? h("p", {}, `and ${messages.length - 4} more`) : null);
}
