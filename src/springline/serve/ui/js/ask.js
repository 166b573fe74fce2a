// The question, and our answer, which stays open: it is asked again when something that it relies on changes.

import { get, post, postStream } from "./api.js";
import { AnswerView } from "./answer.js";
import { serverNowUs } from "./clock.js";
import { $, debounce, emit, h, on, replace, setText } from "./dom.js";
import { milliseconds } from "./format.js";

const GAP_EXTRACTIVE_MS = 150;
const GAP_MODEL_MS = 4_000;
/** Asking a model again costs money, so changes are gathered for longer. */

let view;
let ui;
let demo;
let open = null;
/** The open question: {question, subject, relations}. */
let running = null;
let due = null;
let lastBegun = 0;
let pressed = null;

export function startAsk(features, state) {
  ui = features;
  demo = state;
  view = new AnswerView($("ours-body"));
  view.clear("Ask a question. The answer stays open and follows the database.");
  $("question").maxLength = features.question_characters;
  $("ask-form").addEventListener("submit", (event) => {
    event.preventDefault();
    ask($("question").value.trim());
  });
  setText($("ours-meta"), features.mode === "model" ? features.model : "extractive");
  if (demo !== null) startPeople();
  on("tick", (tick) => {
    if (open !== null && relies(tick.touched)) askAgain(tick.newest_source_commit_us);
  });
  on("committed", ({ committed_at_us: commit }) => { if (open !== null) askAgain(commit, true); });
}

function startPeople() {
  $("subject").placeholder = "id or name";
  replace($("people"), demo.featured.map((person) => h("button", {
    type: "button", "aria-pressed": "false", "data-subject": person.subject, lang: person.language,
    onclick: () => choose(person.subject, true),
  }, person.name)));
  $("subject").addEventListener("input", debounce(150, searchPeople));
  $("subject").addEventListener("change", () => choose($("subject").value.trim(), false));
  choose(demo.featured[0].subject, true);
}

async function searchPeople() {
  const found = await get(`/demo/customers?q=${encodeURIComponent($("subject").value)}`).catch(() => []);
  replace($("subjects"), found.map((person) => h("option", { value: person.subject }, person.name)));
}

/** Takes another customer; a featured one brings questions, of which the first is asked at once. */
function choose(subject, askFirst) {
  if (subject === "" || (subject === pressed && open !== null)) return;
  pressed = subject;
  $("subject").value = subject;
  const person = demo.featured.find((featured) => featured.subject === subject);
  for (const button of $("people").children) button.setAttribute("aria-pressed", String(button.dataset.subject === subject));
  setText($("ask-why"), person ? person.why : "");
  const questions = person?.questions ?? demo.featured[0].questions;
  replace($("chips"), questions.map((question) => h("button", { type: "button", lang: person?.language, onclick: () => ask(question) }, question)));
  emit("subject", subject);
  if (askFirst || open !== null) ask(questions[0]);
}

function relies(touched) {
  return Object.keys(touched).some((name) => open.relations.has(name) || open.relations.has(name.split(".")[0]));
}

/** What the answer rests on: the relations of its rows, and the sources of its passages. */
function reliedOn(answer) {
  return new Set(answer.citations.map((cited) => cited.kind === "row" ? cited.relation : cited.source));
}

async function ask(question) {
  if (question === "") return;
  const subject = $("subject").value.trim() || null;
  $("question").value = question;
  open = { question, subject, relations: new Set() };
  clearTimeout(due);
  due = null;
  view.clear("Waiting for everything that is committed …");
  replace($("ours-state"), h("span", { class: "pill wait" }, "asking …"));
  replace($("ours-foot"));
  emit("ask", open);
  await run(null, ui.mode === "model");
}

function askAgain(commitUs, urgent = false) {
  open.commitUs = open.commitUs === undefined || open.commitUs === null ? commitUs : Math.min(open.commitUs, commitUs ?? Infinity);
  if (due !== null && !urgent) return;
  clearTimeout(due);
  const gap = ui.mode === "model" ? GAP_MODEL_MS : GAP_EXTRACTIVE_MS;
  due = setTimeout(again, urgent ? 0 : Math.max(0, gap - (performance.now() - lastBegun)));
}

async function again() {
  due = null;
  if (open === null) return;
  if (running !== null) { due = setTimeout(again, 4); return; }
  const commitUs = open.commitUs;
  open.commitUs = undefined;
  await run(commitUs, false);
}

async function run(commitUs, stream) {
  running?.abort();
  const controller = running = new AbortController();
  const asked = open;
  lastBegun = performance.now();
  try {
    const answer = await fetchAnswer(asked, stream, controller.signal);
    if (asked !== open) return;
    asked.receipt = answer.receipt;
    show(answer, commitUs);
  } catch (error) {
    if (error.name === "AbortError" || asked !== open) return;
    showError(error);
  } finally {
    if (running === controller) running = null;
  }
}

async function fetchAnswer({ question, subject, receipt }, stream, signal) {
  // While nothing that it was based on has changed, the answer stands, with its receipt.
  const body = { question, subject, require: "now", on_miss: "state_age", previous: receipt ?? null };
  if (!stream) return post("/v1/ask", body, signal);
  let text = "";
  for await (const { event, data } of postStream("/v1/ask", { ...body, stream: true }, signal)) {
    if (event === "token") view.stream(text += data.text);
    else if (event === "answer") return data;
    else if (event === "error") throw Object.assign(new Error(data.message), data);
  }
  throw new Error("The answer broke off.");
}

function show(answer, commitUs) {
  const changed = view.show(answer);
  open.relations = reliedOn(answer);
  if (changed || open.updated === undefined) {
    requestAnimationFrame(() => {
      // Painted with the next frame; that is when a person can see it.
      const visibleAtUs = serverNowUs();
      emit("answered", { changed, visibleAtUs, answer });
      if (changed) {
        const sinceMs = commitUs ? Math.max(0, (visibleAtUs - commitUs) / 1000) : null;
        open.updated = sinceMs === null ? "updated" : `updated ${milliseconds(sinceMs)} after the commit`;
      } else open.updated = "";
      showState(answer);
    });
  } else showState(answer);
  showFoot(answer);
}

function showState(answer) {
  const { freshness } = answer;
  const fresh = freshness.met
    ? h("span", { title: "The recency barrier: everything committed before the question is in this answer." }, `as of now · waited ${milliseconds(freshness.waited_ms)}`)
    : h("span", { class: "pill wait" }, `not as of now: ${freshness.missing.join(", ")} lags`);
  const parts = [open.updated ? h("span", { class: "pill fresh" }, open.updated) : null, fresh];
  replace($("ours-state"), parts);
}

let footReceipt = null;

function showFoot(answer) {
  const foot = $("ours-foot");
  const took = `answered in ${milliseconds(answer.took_ms.total)}`;
  if (foot.firstChild && footReceipt !== null) {
    // The same elements are kept, so that a button is never replaced under the finger.
    setText(foot.querySelector("code"), answer.receipt ?? "–");
    setText(foot.querySelector(".took"), took);
    if (footReceipt !== answer.receipt && foot.querySelector(".outcome").dataset.busy !== "yes") setText(foot.querySelector(".outcome"), "");
  } else {
    replace(foot,
      h("span", {}, "receipt ", h("code", {}, answer.receipt ?? "–")),
      h("button", { type: "button", class: "quiet", onclick: verify }, "Verify"),
      h("span", { class: "outcome", role: "status" }),
      h("span", { class: "took" }, took));
  }
  footReceipt = answer.receipt;
}

async function verify() {
  const outcome = $("ours-foot").querySelector(".outcome");
  const receipt = footReceipt;
  outcome.dataset.busy = "yes";
  outcome.className = "outcome";
  setText(outcome, "rebuilding …");
  try {
    const found = await post(`/v1/receipts/${encodeURIComponent(receipt)}/verify`);
    outcome.classList.add(found.verified ? "verified" : "unverified");
    setText(outcome, found.verified ? `✓ ${receipt} verified` : found.verified === null ? "no longer in the log" : "✗ differs");
    outcome.title = found.detail;
  } catch (error) {
    outcome.classList.add("unverified");
    setText(outcome, error.message);
  }
  setTimeout(() => { outcome.dataset.busy = "no"; }, 5_000);
}

function showError(error) {
  replace($("ours-state"), h("span", { class: "pill wrong" }, error.transient ? "no answer now" : "no answer"));
  if (view.shown === null) view.clear([error.message, error.hint].filter(Boolean).join(" "));
}
