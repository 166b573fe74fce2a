// One answer: its text with numbered citations, what changed in it, and the rows and passages behind it.

import { h, replace } from "./dom.js";
import { added, textTokens, tokens } from "./diff.js";
import { age, cell, duration, position } from "./format.js";

const FLAGS = {
  unknown_citation: "A citation of nothing was removed",
  unsupported_citation: "A citation that does not hold was removed",
  unsupported_figure: "A figure stands in no source",
  uncited: "Nothing is cited",
  cut_off: "The model stopped before its end",
  model_failed: "The model failed, so this is quoted",
};

const MARKER = /^\[\d+(?:\]\[\d+)*\]$/;

export class AnswerView {
  constructor(body) {
    this.body = body;
    this.opened = new Set();
    this.shown = null;
    this.signature = null;
  }

  /** Shows an answer. Returns whether its words differ from those shown before (false for the first). */
  show(answer, { wrong = [] } = {}) {
    const signature = JSON.stringify([answer.answer, answer.citations.map((cited) => [cited.columns, cited.text]), wrong]);
    const before = this.shown;
    if (signature !== this.signature) {
      const fresh = before === null ? new Set() : added(textTokens(before.answer), textTokens(answer.answer));
      this.render(answer, fresh, wrong);
    } else {
      this.refreshAges(answer);
    }
    this.signature = signature;
    this.shown = answer;
    return before !== null && before.answer !== answer.answer;
  }

  /** Text as it streams in, before there is an answer. */
  stream(text) {
    replace(this.body, h("div", { class: "answer-text" }, blocks(text, new Set(), () => null, [])));
  }

  clear(message) {
    this.shown = this.signature = null;
    this.opened.clear();
    replace(this.body, h("div", { class: "answer-empty" }, message));
  }

  render(answer, fresh, wrong) {
    const byNumber = new Map(answer.citations.map((cited) => [cited.id, cited]));
    const chip = (number) => {
      const cited = byNumber.get(number);
      const label = cited ? `Source ${number}: ${cited.title}` : `Source ${number}`;
      return h("button", { type: "button", class: "cite", "aria-label": label, title: label, onclick: () => this.open(number) }, String(number));
    };
    const scrolled = this.body.scrollTop;
    replace(
      this.body,
      h("div", { class: "answer-text", lang: answer.language }, blocks(answer.answer, fresh, chip, wrong)),
      answer.notice ? h("p", { class: "notice" }, answer.notice) : null,
      (answer.flags ?? []).map((flag) => h("p", { class: "flag" }, `${FLAGS[flag.kind] ?? flag.kind}${flag.text ? `: ${flag.text}` : ""}`)),
      answer.citations.length ? h("div", { class: "citations" }, answer.citations.map((cited) => this.citation(cited))) : null,
    );
    this.body.scrollTop = scrolled;
  }

  citation(cited) {
    const identity = identify(cited);
    const details = h("details", { class: "citation", "data-id": cited.id },
      h("summary", {},
        h("span", { class: "number" }, String(cited.id)),
        h("span", { class: "title" }, cited.title, cited.kind === "row" ? h("span", { class: "muted" }, ` · ${cited.relation}`) : null),
        h("span", { class: "age" }, age(cited.age_ms))),
      h("div", { class: "body" },
        cited.text ? h("blockquote", {}, cited.text) : null,
        cited.columns ? facts(cited) : null,
        h("p", { class: "where" }, where(cited))));
    details.open = this.opened.has(identity);
    details.addEventListener("toggle", () => this.opened[details.open ? "add" : "delete"](identity));
    return details;
  }

  open(number) {
    const details = this.body.querySelector(`.citation[data-id="${number}"]`);
    if (!details) return;
    details.open = true;
    details.querySelector("summary").focus({ preventScroll: true });
    details.scrollIntoView({ block: "nearest", behavior: matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth" });
  }

  refreshAges(answer) {
    for (const cited of answer.citations) {
      const details = this.body.querySelector(`.citation[data-id="${cited.id}"]`);
      if (!details) continue;
      details.querySelector(".age").textContent = age(cited.age_ms);
      details.querySelector(".where").textContent = where(cited);
    }
  }
}

function identify(cited) {
  return cited.kind === "row" ? `${cited.relation} ${JSON.stringify(cited.key)}` : `${cited.document} ${(cited.section ?? []).join("/")} ${cited.text}`;
}

function where(cited) {
  const parts = [];
  if (cited.kind === "passage") parts.push([cited.document, ...(cited.section ?? [])].filter(Boolean).join(" › "));
  parts.push(`source ${cited.source}`);
  if (cited.position) parts.push(`position ${position(cited.position)}`);
  if (cited.changed_at) {
    const seconds = (Date.now() - Date.parse(cited.changed_at)) / 1000;
    if (seconds > -5) parts.push(`changed ${duration(seconds)} ago`);
  }
  parts.push(age(cited.age_ms));
  return parts.join(" · ");
}

function facts(cited) {
  const rows = Object.entries(cited.columns).flatMap(([name, value]) => {
    const badge = cited.badges?.[name];
    return [
      h("dt", {}, name),
      h("dd", { class: value === null ? "empty" : null }, cell(value)),
      badge ? h("span", { class: `badge ${badge}` }, badge) : h("span"),
    ];
  });
  return h("dl", { class: "facts" }, rows);
}

/** Paragraphs and lists of an answer's text. Markers become chips, new words are marked, false claims underlined. */
function blocks(text, fresh, chip, wrong) {
  const found = [];
  let index = 0;
  let list = null;
  for (const line of text.split("\n")) {
    const item = line.match(/^\s*(?:[-*•]|\d+\.)\s+/);
    const words = tokens(line);
    const skip = item ? tokens(item[0]).length : 0;
    const content = inline(words.slice(skip), index + skip, fresh, chip, wrong);
    index += words.length + 1;
    if (words.every((word) => word.trim() === "")) { list = null; continue; }
    if (item) {
      if (list === null) found.push(list = h("ul"));
      list.append(h("li", {}, content));
    } else {
      list = null;
      found.push(h("p", {}, content));
    }
  }
  return found;
}

function inline(words, offset, fresh, chip, wrong) {
  const parts = [];
  let run = "";
  let marked = false;
  const flush = () => {
    if (run !== "") parts.push(...emphasise(run, wrong).map((part) => marked ? h("mark", { class: "changed" }, part) : part));
    run = "";
  };
  words.forEach((word, at) => {
    const pieces = word.split(/(\[\d+\])/).filter((piece) => piece !== "");
    for (const piece of pieces) {
      if (MARKER.test(piece)) {
        flush();
        parts.push(chip(Number(piece.slice(1, -1))));
      } else {
        const isNew = fresh.has(offset + at);
        const joins = piece.trim() === "" && marked;
        if (isNew !== marked && !joins) { flush(); marked = isNew; }
        run += piece;
      }
    }
  });
  flush();
  return parts.filter((part) => part !== null);
}

/** Bold text, and the words that contradict the database. */
function emphasise(text, wrong) {
  const claims = wrong.filter((claim) => claim && text.includes(claim));
  const bold = text.split(/\*\*([^*]+)\*\*/);
  return bold.flatMap((part, at) => {
    if (part === "") return [];
    if (at % 2 === 1) return [h("strong", {}, part)];
    if (claims.length === 0) return [part];
    const [before, after] = [part.slice(0, part.indexOf(claims[0])), part.slice(part.indexOf(claims[0]) + claims[0].length)];
    return [before, h("span", { class: "contradiction" }, claims[0]), after].filter((piece) => piece !== "");
  });
}
