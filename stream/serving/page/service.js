// The service's API: one way to ask, and one stream that comes back by itself.

const KEY = "intent.key";
const STALL_MS = 5000;
const PAUSES_MS = [500, 1000, 2000, 5000];

export class Refused extends Error {
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }
}

export function keepKey(key) {
  sessionStorage.setItem(KEY, key);
}

function headers(more = {}) {
  const key = sessionStorage.getItem(KEY);
  return key ? { authorization: `Bearer ${key}`, ...more } : more;
}

async function checked(answer) {
  if (answer.ok) return answer;
  const problem = await answer.json().catch(() => ({}));
  throw new Refused(answer.status, problem.detail ?? `the service answered ${answer.status}`);
}

export async function ask(path, body) {
  const options = body === undefined
    ? { headers: headers() }
    : { method: "POST", body: JSON.stringify(body), headers: headers({ "content-type": "application/json" }) };
  return (await checked(await fetch(path, options))).json();
}

/** Follows `path()` for ever; `onKey` is awaited where the service asks for a key. */
export async function follow(path, { onSnapshot, onLost, onKey, signal }) {
  let failures = 0;
  while (!signal.aborted) {
    try {
      await read(path, (snapshot) => {
        failures = 0;
        onSnapshot(snapshot);
      }, signal);
    } catch (error) {
      if (signal.aborted) return;
      if (error.status === 401 || error.status === 403) {
        await onKey(error.message);
        continue;
      }
      onLost(error.message);
    }
    await new Promise((resolve) => setTimeout(resolve, PAUSES_MS[Math.min(failures, PAUSES_MS.length - 1)]));
    failures += 1;
  }
}

async function read(path, onSnapshot, signal) {
  const stalled = new AbortController();
  const abort = () => stalled.abort();
  signal.addEventListener("abort", abort);
  let watch = setTimeout(abort, 3 * STALL_MS);
  try {
    const answer = await checked(await fetch(path, { headers: headers({ accept: "text/event-stream" }), signal: stalled.signal }));
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      clearTimeout(watch);
      watch = setTimeout(abort, STALL_MS);
      const events = (rest + value).split("\n\n");
      rest = events.pop();
      for (const event of events) {
        const data = /^data: (.*)$/m.exec(event);
        if (data) onSnapshot(JSON.parse(data[1]));
      }
    }
  } finally {
    clearTimeout(watch);
    signal.removeEventListener("abort", abort);
    stalled.abort();
  }
}
