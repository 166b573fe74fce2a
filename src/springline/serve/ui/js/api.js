// Talking to the server: JSON, server-sent events through fetch (so that a token can be sent), one error shape.

import { $ } from "./dom.js";

let token = sessionStorage.getItem("springline.token");
let asking = null;

export class ApiError extends Error {
  constructor(body, status) {
    super(body.message);
    Object.assign(this, { code: body.code, hint: body.hint, transient: body.transient, line: body.line, column: body.column, status });
  }
}

function headers(more = {}) {
  return token ? { ...more, Authorization: `Bearer ${token}` } : more;
}

async function request(path, options = {}) {
  let response;
  try {
    response = await fetch(path, { ...options, headers: headers(options.headers) });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError({ code: "unreachable", message: "The server does not answer.", hint: "Is it still running?", transient: true }, 0);
  }
  if (response.status === 401) {
    await askForToken();
    return request(path, options);
  }
  if (!response.ok) {
    const body = await response.json().catch(() => ({ code: "unknown", message: `The server answered ${response.status}.` }));
    throw new ApiError(body, response.status);
  }
  return response;
}

/** One dialog, however many requests wait for the token. */
function askForToken() {
  asking ??= new Promise((resolve) => {
    const dialog = $("token-dialog");
    dialog.addEventListener("close", () => {
      token = $("token").value.trim();
      sessionStorage.setItem("springline.token", token);
      $("token").value = "";
      asking = null;
      resolve();
    }, { once: true });
    dialog.showModal();
  });
  return asking;
}

export async function get(path, signal) {
  return (await request(path, { signal })).json();
}

export async function post(path, body = {}, signal) {
  const options = { method: "POST", body: JSON.stringify(body), headers: { "Content-Type": "application/json" }, signal };
  return (await request(path, options)).json();
}

/** Posts and yields {event, data} of the response's event stream. */
export async function* postStream(path, body, signal) {
  const options = { method: "POST", body: JSON.stringify(body), headers: { "Content-Type": "application/json" }, signal };
  yield* events(await request(path, options));
}

async function* events(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let buffer = "";
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      buffer += value;
      const blocks = buffer.split("\n\n");
      buffer = blocks.pop();
      for (const block of blocks) {
        const parsed = parse(block);
        if (parsed !== null) yield parsed;
      }
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

function parse(block) {
  let event = "message";
  let data = "";
  for (const line of block.split("\n")) {
    if (line.startsWith("event: ")) event = line.slice(7);
    else if (line.startsWith("data: ")) data += line.slice(6);
  }
  return data === "" ? null : { event, data: JSON.parse(data) };
}

const SILENCE_MS = 15_000;

/** Follows an event stream for as long as the page is visible, and connects again when it breaks. */
export function follow(path, onEvent, onState) {
  let controller = null;
  let wait = 500;

  async function connect() {
    controller = new AbortController();
    const { signal } = controller;
    let watchdog = setTimeout(() => controller.abort(), SILENCE_MS);
    try {
      const response = await request(path, { signal });
      for await (const { event, data } of events(response)) {
        clearTimeout(watchdog);
        watchdog = setTimeout(() => controller.abort(), SILENCE_MS);
        if (wait !== 0) onState("live");
        wait = 0;
        onEvent(event, data);
      }
    } catch (error) {
      if (error.name !== "AbortError" && !(error instanceof ApiError) && !(error instanceof TypeError)) console.warn(error);
    } finally {
      clearTimeout(watchdog);
      controller = null;
    }
    if (document.hidden) return;
    onState("lost");
    wait = Math.min(5_000, wait * 2 || 500);
    setTimeout(() => { if (!document.hidden && controller === null) connect(); }, wait);
  }

  document.addEventListener("visibilitychange", () => {
    // A hidden page holds no stream: browsers allow only a few for one server.
    if (document.hidden) controller?.abort();
    else if (controller === null) connect();
  });
  connect();
}
