// The header: two clocks, the storm's speed, pause and jumps, the colours.

import { post } from "./api.js";
import { $, emit, h, on, setText } from "./dom.js";
import { wallTime } from "./format.js";

const SPEEDS = [1, 10, 60, 180, 360, 720, 1440, 3600];

let storm = null;
let receivedAt = 0;
let span = null;

export function startHeader(state) {
  startTheme();
  setInterval(showOurClock, 250);
  showOurClock();
  if (state === null) return;
  span = [Date.parse(state.clock_start), Date.parse(state.clock_end)];
  fillSpeeds(state.storm.speed);
  receive(state);
  on("demo", receive);
  requestAnimationFrame(showStormClock);
  $("storm-pause").addEventListener("click", () => control("/demo/pause", { paused: !storm.paused }));
  $("storm-speed").addEventListener("change", (event) => control("/demo/speed", { speed: Number(event.target.value) }));
  $("storm-hour").addEventListener("click", () => jump(1));
  $("storm-day").addEventListener("click", () => jump(6));
}

async function control(path, body) {
  try {
    receive(await post(path, body));
  } catch (error) {
    emit("problem", error);
  }
}

function jump(hours) {
  const to = new Date(Math.min(stormNow() + hours * 3_600_000, span[1]));
  control("/demo/jump", { to: to.toISOString() });
}

function fillSpeeds(current) {
  const speeds = [...new Set([...SPEEDS, current])].sort((a, b) => a - b);
  $("storm-speed").replaceChildren(...speeds.map((speed) => h("option", { value: speed }, `${speed} ×`)));
}

function receive(data) {
  storm = data.storm;
  receivedAt = performance.now();
  const pause = $("storm-pause");
  pause.setAttribute("aria-pressed", String(storm.paused));
  pause.setAttribute("aria-label", storm.paused ? "Let the storm go on" : "Pause the storm");
  pause.disabled = storm.finished;
  const select = $("storm-speed");
  if (document.activeElement !== select && Number(select.value) !== storm.speed) {
    if (![...select.options].some((option) => Number(option.value) === storm.speed)) fillSpeeds(storm.speed);
    select.value = String(storm.speed);
  }
}

/** Milliseconds since the epoch on the storm's clock, carried on between the server's reports. */
function stormNow() {
  const elapsed = storm.paused || storm.finished ? 0 : (performance.now() - receivedAt) * storm.speed;
  return Math.min(Date.parse(storm.clock) + elapsed, span[1]);
}

function showStormClock() {
  const zone = storm.clock.match(/([+-])(\d\d):(\d\d)$/);
  const minutes = zone ? Number(`${zone[1]}1`) * (Number(zone[2]) * 60 + Number(zone[3])) : 0;
  const shifted = new Date(stormNow() + minutes * 60_000).toISOString();
  setText($("storm-time"), wallTime(shifted));
  const share = (stormNow() - span[0]) / (span[1] - span[0]);
  $("storm-progress").style.transform = `scaleX(${share.toFixed(4)})`;
  setTimeout(() => requestAnimationFrame(showStormClock), 100);
}

function showOurClock() {
  setText($("our-time"), new Date().toTimeString().slice(0, 8));
}

const THEMES = ["system", "light", "dark"];

function startTheme() {
  const button = $("theme");
  const show = () => {
    const theme = document.documentElement.dataset.theme ?? "system";
    button.setAttribute("aria-label", theme === "system" ? "Colours: as the system" : `Colours: ${theme}`);
    button.title = button.getAttribute("aria-label");
  };
  button.addEventListener("click", () => {
    const now = document.documentElement.dataset.theme ?? "system";
    const next = THEMES[(THEMES.indexOf(now) + 1) % THEMES.length];
    if (next === "system") {
      delete document.documentElement.dataset.theme;
      localStorage.removeItem("springline.theme");
    } else {
      document.documentElement.dataset.theme = next;
      localStorage.setItem("springline.theme", next);
    }
    show();
  });
  show();
}
