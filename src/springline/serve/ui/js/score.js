// The counter: who was told something that the database already knew was false.

import { $, on, setText } from "./dom.js";
import { count, rate } from "./format.js";

export function startScore(state) {
  receive(state);
  on("demo", receive);
}

function receive({ fleet }) {
  setText($("score-twin"), count(fleet.twin_wrong));
  setText($("score-ours"), count(fleet.ours_wrong));
  $("score-ours").classList.toggle("bad", fleet.ours_wrong > 0);
  if (fleet.error) setText($("score-note"), `The travellers cannot ask: ${fleet.error}`);
  else if (fleet.asked > 0) {
    const parts = [`${count(fleet.asked)} questions from ${count(fleet.travellers)} travellers`, `${rate(fleet.per_second)} a second`];
    if (fleet.refused > 0) parts.push(`${count(fleet.refused)} refused`);
    setText($("score-note"), parts.join(" · "));
  }
  const last = fleet.examples[0];
  if (!last) return;
  const { flight, told, known } = last.contradiction;
  const whom = last.side === "twin" ? "The twin" : "Springline";
  setText($("score-last"), `${whom} told ${last.customer} that ${flight} is ${told ?? "not booked"}; the database said ${known ?? "nothing of it"}.`);
}
