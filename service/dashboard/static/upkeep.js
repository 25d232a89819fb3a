// Alerts, and how the engine itself fares.

import { html, useState } from "./vendor/preact.js";
import { get, post } from "./api.js";
import { ago, count, time } from "./format.js";
import { Badge, Card, Failure, Figures, Table, useAnswer } from "./parts.js";

const SEVERITY = { critical: "bad", warning: "warn", info: "soft" };

export function Alerts({ news }) {
  const [state, choose] = useState("raised");
  const [failure, fail] = useState(null);
  const [answer, again] = useAnswer(() => get("/v1/alerts", { state, limit: 200 }), [state, news], 30);
  const acknowledge = (id) => post(`/v1/alerts/${id}/acknowledge`).then(() => { fail(null); again(); }, fail);
  return html`<h1>Alerts</h1>
    <div class="tools"><label>State<select value=${state} onChange=${(event) => choose(event.target.value)}>
      <option value="raised">raised</option><option value="acknowledged">acknowledged</option><option value="cleared">cleared</option><option value="">all</option></select></label></div>
    <${Failure} error=${failure || answer.error} />
    <section class="card">${!answer.data ? html`<p class="loading">Loading …</p>` : html`<${Table} caption="Alerts, newest first" empty="There are none." rows=${answer.data.data} columns=${[
      ["Severity", (row) => html`<${Badge} of=${SEVERITY[row.severity]}>${row.severity}<//>`],
      ["What", (row) => (row.deviceId ? html`<a href=${`#/${row.type === "meter" ? "charger" : "vehicle"}/${encodeURIComponent(row.deviceId)}`}>${row.message}</a>` : row.message)],
      ["Rule", (row) => row.rule],
      ["Rose", (row) => time(row.raisedAt)],
      ["State", (row) => (row.state === "cleared" ? `cleared ${ago(row.clearedAt)}` : row.state === "acknowledged" ? `acknowledged by ${row.acknowledgedBy}` : "raised")],
      ["", (row) => row.state === "raised" && html`<button type="button" onClick=${() => acknowledge(row.id)}>Acknowledge</button>`],
    ]} />`}</section>`;
}

export function Engine() {
  const [health] = useAnswer(() => get("/health"), [], 10);
  const [refused] = useAnswer(() => get("/v1/telemetry/refusals", { limit: 50 }), [], 30);
  const now = health.data;
  return html`<h1>Engine</h1><div class="grid">
    <${Card} title="Health" answer=${health}>${now && html`<${Figures} of=${[["Status", now.status, now.status === "ok" ? "good" : "warn"], ["Database", now.database], ["Running for", `${count(now.uptime / 3600)} h`], ["Version", now.version]]} />
      ${now.problems.length > 0 && html`<ul class="reasons">${now.problems.map((each) => html`<li>${each}</li>`)}</ul>`}`}<//>
    <${Card} title="Wrong clocks" answer=${refused}>${refused.data && html`<${Table} caption="Devices whose clock is wrong" empty="Every clock is right." rows=${refused.data.clocks} columns=${[
      ["Device", (row) => row.device], ["Behind by", (row) => `${count(row.secondsBehind)} s`, null, true]]} />`}<//>
    <${Card} title="Refused readings" wide answer=${refused}>${refused.data && html`<${Table} caption="Refused readings by device and reason" empty="None was refused lately." rows=${refused.data.refusals} columns=${[
      ["Device", (row) => row.device], ["Why", (row) => row.reason], ["Readings", (row) => count(row.readings), null, true], ["First", (row) => time(row.firstAt)], ["Last", (row) => ago(row.lastAt)]]} />`}<//>
  </div>`;
}
