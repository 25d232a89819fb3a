// Calls of the HTTP interface. A key, where the service asks for one, stays in this browser session and travels in a header.

const KEY = "ev-engine-key";

export class ApiError extends Error {
  constructor(status, problem) {
    super(problem.detail || problem.title || `the service answered ${status}`);
    this.status = status;
  }
}

function headers() {
  const key = sessionStorage.getItem(KEY);
  return key ? { Authorization: `Bearer ${key}` } : {};
}

export function setKey(key) {
  if (key) sessionStorage.setItem(KEY, key);
  else sessionStorage.removeItem(KEY);
}

async function ask(path, query, options) {
  const text = new URLSearchParams(Object.entries(query || {}).filter(([, value]) => value !== undefined && value !== null && value !== ""));
  const answer = await fetch(`.${path}${text.size ? `?${text}` : ""}`, { headers: headers(), ...options });
  if (!answer.ok) {
    let problem = {};
    try { problem = await answer.json(); } catch { /* the body is no JSON: the status must do */ }
    throw new ApiError(answer.status, problem);
  }
  return answer;
}

export async function get(path, query) {
  return (await ask(path, query)).json();
}

export async function post(path) {
  return (await ask(path, {}, { method: "POST" })).json();
}

// Hear server-sent events until the signal aborts; connect again after a pause whenever the stream ends.
export async function listen(path, query, hear, state, signal) {
  while (!signal.aborted) {
    try {
      const answer = await ask(path, query, { signal });
      state(true);
      const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
      let text = "";
      for (;;) {
        const { value, done } = await reader.read();
        if (done) break;
        text += value;
        const events = text.split("\n\n");
        text = events.pop();
        for (const event of events) {
          const fields = Object.fromEntries(event.split("\n").map((line) => [line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 2)]));
          if (fields.event) hear(fields.event, JSON.parse(fields.data));
        }
      }
    } catch (error) {
      if (signal.aborted) return;
    }
    state(false);
    await new Promise((done) => setTimeout(done, 2000));
  }
}
