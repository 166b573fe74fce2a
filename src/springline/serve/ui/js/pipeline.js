// The pipeline from the sources to the answers, with live figures.

import { $, h, on, setText } from "./dom.js";
import { bytes, count, milliseconds, position, rate } from "./format.js";
import { Spark } from "./spark.js";

const STAGES = ["Sources", "Log", "Tables", "Views", "Knowledge", "Answers"];

let stages;
let sparkRate;
let sparkLag;
let asked = 0;
let lastTook = null;

export function startPipeline() {
  stages = STAGES.map(stage);
  $("stages").append(...stages.map((made) => made.root));
  sparkRate = new Spark($("spark-rate"), { area: true });
  sparkLag = new Spark($("spark-lag"), { series: 2 });
  on("status", show);
  on("answered", ({ answer }) => {
    asked += 1;
    lastTook = answer.took_ms.total;
  });
}

function stage(name) {
  const light = h("i", { class: "light busy" });
  const figure = h("p", { class: "figure" }, "–");
  const bar = h("progress", { max: "1", value: "0", hidden: true, "aria-label": `${name}: progress` });
  const lines = [0, 1].map(() => h("p", { class: "line" }, "\u00a0"));
  return { light, figure, bar, lines, root: h("li", { class: "stage" }, h("h3", {}, name, light), figure, bar, lines) };
}

function fill(made, { light, figure, unit = "", lines, progress = null }) {
  const wanted = `light ${light}`.trim();
  if (made.light.className !== wanted) made.light.className = wanted;
  if (made.figure.dataset.shown !== figure + unit) {
    made.figure.dataset.shown = figure + unit;
    made.figure.replaceChildren(figure, h("small", {}, unit && ` ${unit}`));
  }
  made.bar.hidden = progress === null;
  made.lines[1].hidden = progress !== null;
  if (progress !== null) made.bar.value = progress;
  lines.forEach((line, at) => {
    setText(made.lines[at], line || "\u00a0");
    made.lines[at].title = line;
  });
}

function show(status) {
  const [source, log, tables, views, knowledge, answers] = stages;
  fill(source, sources(status));
  fill(log, {
    light: status.dead_letters > 0 ? "busy" : "",
    figure: bytes(status.log_bytes),
    lines: [`WAL ${bytes(status.wal_bytes)}`, `${count(status.changes_total)} changes`],
  });
  fill(tables, relations(status, "table", status.changes_per_second));
  fill(views, relations(status, "view", null));
  fill(knowledge, knowledgeBases(status));
  const { p50, p99 } = status.commit_to_visible_ms;
  fill(answers, {
    light: status.state === "running" ? "" : "bad",
    figure: lastTook === null ? "–" : milliseconds(lastTook),
    unit: lastTook === null ? "" : "the last",
    lines: [`${count(asked)} on this page`, p50 === undefined ? "" : `context p50 ${milliseconds(p50)}`],
  });
  setText($("pipeline-meta"), `tick ${count(status.tick)} · ${rate(status.ticks_per_second)} ticks/s`);
  setText($("spark-rate-now"), rate(status.changes_per_second));
  setText($("spark-p50-now"), milliseconds(p50));
  setText($("spark-p99-now"), milliseconds(p99));
  sparkRate.push(status.changes_per_second);
  sparkLag.push(p50, p99);
}

function sources({ sources: found }) {
  const all = Object.entries(found);
  const bad = all.filter(([, source]) => source.error);
  const loading = all.filter(([, source]) => source.state === "snapshot" && source.rows_estimated);
  const behind = all.reduce((sum, [, source]) => sum + (source.behind_bytes ?? 0), 0);
  const progress = loading.length === 0 ? null
    : loading.reduce((sum, [, source]) => sum + source.rows_loaded, 0) / loading.reduce((sum, [, source]) => sum + source.rows_estimated, 0);
  const [name, first] = all[0] ?? ["none", null];
  return {
    light: bad.length ? "bad" : all.every(([, source]) => source.state === "streaming") ? "" : "busy",
    figure: progress !== null ? `${Math.floor(progress * 100)} %` : bad.length ? "trouble" : all.length === 1 ? first.state : `${all.length} streaming`,
    unit: progress !== null ? "loaded" : "",
    lines: [
      bad.length ? `${bad[0][0]}: ${bad[0][1].error}` : all.map(([each]) => each).join(", "),
      first?.position && all.length === 1 ? `at ${position(first.position)} · ${bytes(behind)} behind` : `${bytes(behind)} behind`,
    ],
    progress: progress === null ? null : Math.min(1, progress),
    name,
  };
}

function relations(status, kind, perSecond) {
  const found = status.relations.filter((relation) => relation.kind === kind);
  const rows = found.reduce((sum, relation) => sum + relation.rows, 0);
  const loading = found.filter((relation) => relation.state === "loading");
  const stopped = found.filter((relation) => relation.state === "stopped");
  return {
    light: stopped.length ? "bad" : loading.length ? "busy" : "",
    figure: count(rows),
    unit: "rows",
    lines: [
      stopped.length ? `${stopped[0].name} is stopped` : loading.length ? `loading ${loading.map((relation) => relation.name).join(", ")}` : `${found.length} ${kind}${found.length === 1 ? "" : "s"}`,
      perSecond === null ? "" : `${rate(perSecond)} changes/s`,
    ],
    progress: loading.length && found.length ? (found.length - loading.length) / found.length : null,
  };
}

function knowledgeBases({ knowledge }) {
  const sum = (name) => knowledge.reduce((total, each) => total + each[name], 0);
  const [documents, searchable, pending, failed] = ["documents", "searchable", "pending", "failed"].map(sum);
  if (knowledge.length === 0) return { light: "", figure: "–", lines: ["none", ""] };
  return {
    light: failed > 0 ? "bad" : pending > 0 ? "busy" : "",
    figure: count(sum("passages")),
    unit: "passages",
    lines: [
      failed > 0 ? `${failed} failed` : `${searchable} of ${documents} documents`,
      pending > 0 ? `${count(pending)} wait for a vector` : "nothing waits",
    ],
    progress: searchable < documents ? searchable / documents : null,
  };
}
