// The server's clock as this page knows it.
//
// Every event says when it was sent. The one with the least delay so far tells how far the server's clock is from ours
// (up to the time that one event needs at the least); a slow drift is followed.

let offsetUs = null;
let learnedAt = 0;

export function learn(sentAtUs) {
  const measured = sentAtUs - performance.now() * 1000;
  const drift = (performance.now() - learnedAt) / 1000 * 20;
  if (offsetUs === null || measured > offsetUs - drift) {
    offsetUs = measured;
    learnedAt = performance.now();
  }
}

/** Microseconds since the epoch on the server's clock, or on ours before the first event. */
export function serverNowUs() {
  return offsetUs === null ? Date.now() * 1000 : performance.now() * 1000 + offsetUs;
}
