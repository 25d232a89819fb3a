// Vehicles and chargers: tables sorted, narrowed and searched by the service, and one device's day or week.

import { html, useMemo, useState } from "./vendor/preact.js";
import { get } from "./api.js";
import { ago, celsius, count, kwh, percent, UNKNOWN } from "./format.js";
import { Card, Chart, Failure, Figures, Ratio, Reasons, Table, useAnswer, Verdict, withGaps } from "./parts.js";

const SORTS = { energyLoss: "desc", efficiencyRatio: "asc", kwhConsumedAc: "desc", kwhDeliveredDc: "desc", id: "asc" };

export function Devices({ kind }) {
  const [view, change] = useState({ sort: "energyLoss", order: "desc", hours: 24, status: "", verdict: "", search: "" });
  const [pages, turn] = useState([null]);
  const cursor = pages[pages.length - 1];
  const { hours, ...rest } = view;
  const [answer] = useAnswer(() => get(`/v1/analytics/fleet/${kind}s`, { ...rest, limit: 50, cursor, hours: cursor ? null : hours }), [kind, JSON.stringify(view), cursor], 0);
  const set = (more) => { change({ ...view, ...more }); turn([null]); };
  const sortBy = (key) => set(key === view.sort ? { order: view.order === "asc" ? "desc" : "asc" } : { sort: key, order: SORTS[key] });
  const id = (row) => row.vehicleId && kind === "vehicle" ? row.vehicleId : row.meterId;
  const pick = (label, name, options) => html`<label>${label}<select value=${view[name]} onChange=${(event) => set({ [name]: event.target.value })}>
    ${options.map(([value, text]) => html`<option value=${value}>${text}</option>`)}</select></label>`;
  return html`
    <h1>${kind === "vehicle" ? "Vehicles" : "Chargers"}</h1>
    <div class="tools">
      <label>Search<input type="search" placeholder="part of an id or name" value=${view.search} onChange=${(event) => set({ search: event.target.value.trim() })} /></label>
      ${pick("Period", "hours", [[24, "last 24 hours"], [168, "last 7 days"], [720, "last 30 days"]])}
      ${pick("Efficiency", "status", [["", "any"], ["critical", "critical"], ["warning", "warning"], ["good", "good"], ["excellent", "excellent"], ["unknown", "unknown"]])}
      ${pick("Trust", "verdict", [["", "any"], ["sound", "sound"], ["partial", "may be off"], ["implausible", "not to be believed"], ["unmetered", "no meter"], ["idle", "no energy moved"]])}
    </div>
    <${Failure} error=${answer.error} />
    ${!answer.data ? !answer.error && html`<p class="loading">Loading …</p>` : html`<section class="card">
      <${Table} caption=${kind === "vehicle" ? "Vehicles" : "Chargers"} empty="Nothing fits." rows=${answer.data.data} sort=${view.sort} order=${view.order} onSort=${sortBy} columns=${[
        [kind === "vehicle" ? "Vehicle" : "Charger", (row) => html`<a href=${`#/${kind}/${encodeURIComponent(id(row))}`}>${row.label || id(row)}</a>${row.depot ? html`<span class="soft"> ${row.depot}</span>` : ""}`, "id"],
        ["Lost", (row) => kwh(row.energyLoss), "energyLoss", true],
        ["Efficiency", (row) => html`<${Ratio} ratio=${row.efficiencyRatio} status=${row.efficiencyStatus} />`, "efficiencyRatio", true],
        ["From the grid", (row) => kwh(row.kwhConsumedAc), "kwhConsumedAc", true],
        ["Into the battery", (row) => kwh(row.kwhDeliveredDc), "kwhDeliveredDc", true],
        ["Trust", (row) => html`<${Verdict} verdict=${row.verdict} />`],
        ["Why", (row) => (row.reasons.length ? html`<${Reasons} reasons=${row.reasons} />` : "")],
      ]} />
      <div class="tools" style="margin:10px 0 0">
        <button type="button" disabled=${pages.length === 1} onClick=${() => turn(pages.slice(0, -1))}>Back</button>
        <button type="button" disabled=${!answer.data.next} onClick=${() => turn([...pages, answer.data.next])}>Next</button>
        <span class="soft">page ${pages.length}</span>
      </div></section>`}`;
}

async function points(path, from, to) {
  const rows = [];
  let query = { from, to, limit: 1000 };
  for (;;) {
    const page = await get(path, query);
    rows.push(...page.data);
    if (!page.next) return rows.reverse();
    query = { cursor: page.next, limit: 1000 };
  }
}

function useSeries(rows, names, gap) {
  return useMemo(() => {
    if (!rows) return null;
    return withGaps(rows.map((row) => Date.parse(row.ts || row.start) / 1000), names.map((name) => rows.map((row) => row[name])), gap);
  }, [rows]);
}

function useDays() {
  const [days, setDays] = useState(1);
  const [end, setEnd] = useState(() => new Date());
  const move = (by) => setEnd(new Date(Math.min(Date.now(), end.getTime() + by * days * 86400000)));
  const to = end.toISOString(), from = new Date(end.getTime() - days * 86400000).toISOString();
  const tools = html`<div class="tools">
    <button type="button" onClick=${() => move(-1)}>Earlier</button>
    <button type="button" onClick=${() => move(1)}>Later</button>
    <label>Length<select value=${days} onChange=${(event) => setDays(Number(event.target.value))}><option value="1">a day</option><option value="7">a week</option></select></label>
  </div>`;
  return [from, to, days, tools];
}

export function Vehicle({ id }) {
  const [from, to, days, tools] = useDays();
  const [status] = useAnswer(() => get(`/v1/status/vehicle/${encodeURIComponent(id)}`), [id], 15);
  const [performance] = useAnswer(() => get(`/v1/analytics/performance/${encodeURIComponent(id)}`, { hours: days * 24, end: to }), [id, from, to], 0);
  const [own] = useAnswer(() => points(`/v1/history/vehicles/${encodeURIComponent(id)}`, from, to), [id, from, to], 0);
  const meter = performance.data && performance.data.meterId;
  const [grid] = useAnswer(async () => (meter ? points(`/v1/history/meters/${encodeURIComponent(meter)}`, from, to) : []), [meter, from, to], 0);
  const dc = useSeries(own.data, ["meanKw", "soc", "batteryTemp"], 150), ac = useSeries(grid.data, ["meanKw"], 150);
  const now = status.data, day = performance.data;
  return html`<h1>Vehicle ${id}</h1>
    ${tools}
    <div class="grid">
      <${Card} title="Now" answer=${status}>${now && html`<${Figures} of=${[["State", now.chargingState], ["State of charge", now.soc == null ? UNKNOWN : `${count(now.soc)} %`], ["Battery", celsius(now.batteryTemp), now.batteryTempCritical ? "bad" : now.batteryTempWarning ? "warn" : ""], ["Last reading", ago(now.lastReadingAt)], ["Charger", now.meterId ? html`<a href=${`#/charger/${encodeURIComponent(now.meterId)}`}>${now.meterId}</a>` : UNKNOWN]]} />`}<//>
      <${Card} title="Energy in this period" answer=${performance}>${day && html`<${Figures} of=${[["From the grid", kwh(day.totalKwhConsumedAc)], ["Into the battery", kwh(day.totalKwhDeliveredDc)], ["Efficiency", html`<${Ratio} ratio=${day.efficiencyRatio} status=${day.efficiencyStatus} />`], ["Sure hours alone", percent(day.pairedRatio)], ["Readings received", percent(day.coverage.vehicle)]]} />
        ${day.warning && html`<p class="warn">${day.warning}</p>`}`}<//>
      <${Card} title="Can the ratio be trusted?" answer=${performance}>${day && html`<p><${Verdict} verdict=${day.verdict} /></p><${Reasons} reasons=${day.reasons} />`}<//>
      <${Card} title="Power" wide answer=${own}>${dc && html`<${Chart} title="Power into the battery" group="vehicle" times=${dc[0]} series=${[["into the battery (DC)", "kW", "--dc", dc[1][0]]]} />`}
        ${ac && ac[0].length > 0 && html`<${Chart} title="Power from the grid" group="vehicle" times=${ac[0]} series=${[["from the grid (AC)", "kW", "--ac", ac[1][0]]]} />`}<//>
      <${Card} title="State of charge" answer=${own}>${dc && html`<${Chart} title="State of charge" group="vehicle" times=${dc[0]} series=${[["state of charge", "%", "--ac", dc[1][1]]]} />`}<//>
      <${Card} title="Battery temperature" answer=${own}>${dc && html`<${Chart} title="Battery temperature" group="vehicle" times=${dc[0]} series=${[["temperature", "°C", "--third", dc[1][2]]]} />`}<//>
    </div>`;
}

export function Charger({ id }) {
  const [from, to, days, tools] = useDays();
  const [status] = useAnswer(() => get(`/v1/status/meter/${encodeURIComponent(id)}`), [id], 15);
  const [rows] = useAnswer(() => points(`/v1/history/meters/${encodeURIComponent(id)}`, from, to), [id, from, to], 0);
  const [mapped] = useAnswer(() => get("/v1/telemetry/mappings", { meterId: id }), [id], 0);
  const [view] = useAnswer(() => get("/v1/analytics/fleet/chargers", { from, to, search: id, limit: 20 }), [id, from, to], 0);
  const series = useSeries(rows.data, ["meanKw", "voltage"], 150);
  const now = status.data, row = view.data && view.data.data.find((each) => each.meterId === id);
  return html`<h1>Charger ${id}</h1>
    ${tools}
    <div class="grid">
      <${Card} title="Now" answer=${status}>${now && html`<${Figures} of=${[["State", now.status, now.status === "online" ? "good" : "warn"], ["Voltage", now.voltage == null ? UNKNOWN : `${now.voltage} V`], ["Today", kwh(now.dailyKwhConsumedAc)], ["Last reading", ago(now.lastReadingAt)], ["Vehicle", now.vehicleId ? html`<a href=${`#/vehicle/${encodeURIComponent(now.vehicleId)}`}>${now.vehicleId}</a>` : UNKNOWN]]} />`}<//>
      <${Card} title=${`Losses, last ${days === 1 ? "day" : "week"}`} answer=${view}>${row ? html`<${Figures} of=${[["From the grid", kwh(row.kwhConsumedAc)], ["Into batteries", kwh(row.kwhDeliveredDc)], ["Lost", kwh(row.energyLoss), "bad"], ["Efficiency", html`<${Ratio} ratio=${row.efficiencyRatio} status=${row.efficiencyStatus} />`]]} /><p><${Verdict} verdict=${row.verdict} /></p><${Reasons} reasons=${row.reasons} />` : html`<p class="soft">No energy in this period.</p>`}<//>
      <${Card} title="Vehicles that it serves" answer=${mapped}>${mapped.data && html`<${Table} caption="Mappings" empty="It is mapped to no vehicle." rows=${mapped.data} columns=${[["Vehicle", (each) => html`<a href=${`#/vehicle/${encodeURIComponent(each.vehicleId)}`}>${each.vehicleId}</a>`], ["From", (each) => each.from || "ever"], ["To", (each) => each.to || "further notice"]]} />`}<//>
      <${Card} title="Power" wide answer=${rows}>${series && html`<${Chart} title="Power from the grid" group="charger" times=${series[0]} series=${[["from the grid (AC)", "kW", "--ac", series[1][0]]]} />`}<//>
      <${Card} title="Voltage" wide answer=${rows}>${series && html`<${Chart} title="Voltage" group="charger" times=${series[0]} series=${[["voltage", "V", "--third", series[1][1]]]} />`}<//>
    </div>`;
}
