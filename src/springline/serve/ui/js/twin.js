// The twin: what an assistant over a batch-refreshed index would have said, and where that contradicts the database.

import { post } from "./api.js";
import { AnswerView } from "./answer.js";
import { $, debounce, emit, h, on, replace, setText } from "./dom.js";
import { duration } from "./format.js";

const SHORTEST_S = 5;
const LONGEST_S = 3_600;

let view;
let open = null;
let status = null;
let running = null;
let wanted = false;

export function startTwin(state) {
  view = new AnswerView($("twin-body"));
  view.clear("The same assistant, over a copy that is refreshed in batches.");
  receive(state);
  on("demo", receive);
  on("ask", (asked) => {
    open = asked;
    view.clear("Looking into its copy …");
    ask();
  });
  on("answered", ({ changed }) => { if (changed) ask(); });
  const slider = $("twin-interval");
  slider.value = toSlider(state.twin.interval_s);
  showInterval(state.twin.interval_s);
  const send = debounce(200, async () => {
    try {
      await post("/demo/twin", { interval_s: fromSlider(slider.value) });
    } catch (error) {
      emit("problem", error);
    }
  });
  slider.addEventListener("input", () => {
    showInterval(fromSlider(slider.value));
    send();
  });
}

/** The slider is logarithmic: as much room for 5 s … 1 min as for 5 min … 1 h. */
function fromSlider(value) {
  const seconds = SHORTEST_S * (LONGEST_S / SHORTEST_S) ** (value / 100);
  const step = seconds < 60 ? 5 : seconds < 600 ? 30 : 300;
  return Math.min(LONGEST_S, Math.max(SHORTEST_S, Math.round(seconds / step) * step));
}

function toSlider(seconds) {
  return Math.round(100 * Math.log(seconds / SHORTEST_S) / Math.log(LONGEST_S / SHORTEST_S));
}

function showInterval(seconds) {
  setText($("twin-interval-text"), duration(seconds));
  $("twin-interval").setAttribute("aria-valuetext", `every ${duration(seconds)} of storm`);
}

function receive({ twin }) {
  const refreshed = status !== null && status.refreshes !== twin.refreshes;
  status = twin;
  const parts = [];
  if (twin.error) parts.push(`cannot refresh: ${twin.error}`);
  else if (twin.achieved_s !== null) parts.push(`really achieved: every ${duration(twin.achieved_s)} of storm`);
  else parts.push("not refreshed twice yet at this setting");
  if (twin.refresh_ms !== null) parts.push(`${Math.round(twin.refresh_ms)} ms each`);
  setText($("twin-achieved"), parts.join(" · "));
  setText($("twin-meta"), twin.age_s === null ? "no copy yet" : `copy is ${duration(twin.age_s)} of storm old`);
  if (refreshed && open !== null) ask();
}

async function ask() {
  if (open === null || open.subject === null) return;
  if (running !== null) { wanted = true; return; }
  const asked = open;
  running = true;
  try {
    const found = await post("/demo/ask", { question: asked.question, subject: asked.subject, sides: ["twin"] });
    if (asked === open) show(found);
  } catch (error) {
    if (asked === open) replace($("twin-state"), h("span", { class: "pill wait" }, error.message));
  } finally {
    running = null;
    if (wanted || asked !== open) {
      wanted = false;
      setTimeout(ask, 150);
    }
  }
}

function show({ twin, truth }) {
  if (twin.error) {
    view.clear([twin.error.message, twin.error.hint].filter(Boolean).join(" "));
    replace($("twin-state"));
    return;
  }
  const wrong = truth.twin ?? [];
  // Longer claims first: "delayed by 15 minutes" before "delayed".
  view.show(twin, { wrong: wrong.map((found) => found.told).filter(Boolean) });
  document.querySelector(".answer-card.twin").classList.toggle("contradicts", wrong.length > 0);
  if (wrong.length > 0) {
    const { flight, told, known } = wrong[0];
    const said = `says ${told ?? "nothing"}; the database says ${known ?? "no such flight"}`;
    replace($("twin-state"), h("span", { class: "pill wrong", title: flight }, `✗ ${said}`));
  } else if (truth.twin === null) {
    replace($("twin-state"), h("span", {}, "states no flight status"));
  } else {
    replace($("twin-state"), h("span", { class: "pill fresh" }, "agrees with the database at the moment"));
  }
}
