// Finds out what this server shows, starts the panels, and hands them the server's events.

import { follow, get } from "./api.js";
import { startAsk } from "./ask.js";
import { learn } from "./clock.js";
import { $, emit } from "./dom.js";
import { startHeader } from "./header.js";
import { startPipeline } from "./pipeline.js";
import { startScore } from "./score.js";
import { startStatus } from "./status.js";
import { startStorm } from "./storm.js";
import { startTables } from "./tables.js";
import { startTwin } from "./twin.js";

async function start() {
  const features = await retry(() => get("/v1/ui"));
  const isDemo = features.features.includes("demo");
  const state = isDemo ? await retry(() => get("/demo/state")) : null;
  document.title = isDemo ? `Springline · ${state.title}` : `Springline · ${features.name}`;
  for (const element of document.querySelectorAll('[data-feature="demo"]')) element.hidden = !isDemo;
  $("answers").classList.toggle("demo", isDemo);
  startHeader(state);
  startStatus(features);
  startPipeline();
  startTables(state);
  if (isDemo) {
    startScore(state);
    startTwin(state);
    startStorm(state);
  }
  startAsk(features, state);
  follow("/v1/events", (event, data) => {
    learn(data.sent_at_us);
    emit(event, data);
  }, (link) => emit("link", link));
  document.documentElement.dataset.ready = "yes";
}

/** The server may still be starting when the page opens. */
async function retry(action) {
  for (;;) {
    try {
      return await action();
    } catch (error) {
      $("banner").hidden = false;
      $("banner").textContent = [error.message, error.hint].filter(Boolean).join(" ");
      await new Promise((resolve) => setTimeout(resolve, 1_000));
      $("banner").hidden = true;
    }
  }
}

start();
