// The first page: is all well, what costs money, what is dangerous, what cannot be trusted, and the day.

import { html, useMemo } from "./vendor/preact.js";
import { get } from "./api.js";
import { ago, celsius, count, kwh, percent, time } from "./format.js";
import { Card, Chart, Figures, Ratio, Reasons, Table, useAnswer, Verdict, withGaps } from "./parts.js";

function sentence(overview, alerts, efficiency) {
  const critical = alerts.filter((each) => each.severity === "critical").length;
  const lossy = efficiency ? efficiency.vehiclesCritical + efficiency.vehiclesWithWarnings : 0;
  const silent = overview.offlineMeters + overview.offlineVehicles;
  const things = [
    critical && `${count(critical)} critical alert${critical > 1 ? "s" : ""}`,
    overview.vehiclesWithWarnings && `${count(overview.vehiclesWithWarnings)} hot batter${overview.vehiclesWithWarnings > 1 ? "ies" : "y"}`,
    lossy && `${count(lossy)} vehicle${lossy > 1 ? "s" : ""} below the efficiency limit`,
    silent && `${count(silent)} silent device${silent > 1 ? "s" : ""}`,
  ].filter(Boolean);
  if (!overview.totalMeters && !overview.totalVehicles) return ["warn", "No device has reported yet.", "Send a reading, or start a simulated fleet with make demo."];
  if (critical || (efficiency && efficiency.vehiclesCritical)) return ["bad", "Somebody should look at this now.", `${things.join(", ")}.`];
  if (things.length) return ["warn", "Mostly well; some things need a look.", `${things.join(", ")}.`];
  return ["good", "All is well.", "Every device reports, no battery is hot, and no charger loses more than it should."];
}

export function Fleet({ overview }) {
  const [efficiency] = useAnswer(() => get("/v1/analytics/fleet/efficiency"), [], 60);
  const [chargers] = useAnswer(() => get("/v1/analytics/fleet/chargers", { limit: 6, sort: "energyLoss" }), [], 120);
  const [doubtful] = useAnswer(() => get("/v1/analytics/fleet/vehicles", { limit: 6, verdict: "implausible" }), [], 120);
  const [hot] = useAnswer(() => get("/v1/status/vehicles/warnings", { limit: 6 }), [], 15);
  const [open] = useAnswer(() => get("/v1/alerts", { state: "raised", limit: 200 }), [], 15);
  const [refused] = useAnswer(() => get("/v1/telemetry/refusals", { limit: 5 }), [], 60);
  const [trend] = useAnswer(() => get("/v1/analytics/fleet/trend", { hours: 24, resolution: "15min" }), [], 120);
  const plot = useMemo(() => {
    if (!trend.data) return null;
    const times = trend.data.map((each) => Date.parse(each.start) / 1000);
    const kw = (value) => (value == null ? null : value * 4);
    return withGaps(times, [trend.data.map((each) => kw(each.kwhConsumedAc)), trend.data.map((each) => kw(each.kwhDeliveredDc))], 900);
  }, [trend.data]);
  if (!overview) return html`<p class="loading">Loading the fleet …</p>`;
  const alerts = open.data ? open.data.data : [];
  const silent = alerts.filter((each) => each.kind === "silent");
  const [kind, first, second] = sentence(overview, alerts, efficiency.data);
  const day = efficiency.data;
  const last = plot && plot[0].length ? plot[1].map((column) => column[column.length - 2] ?? column[column.length - 1]) : [];
  return html`
    <h1 class="hidden">Fleet</h1>
    <div class=${`verdict ${kind}`} role="status">${first}<small>${second}</small></div>
    <div class="grid">
      <${Card} title="Last 24 hours" answer=${efficiency}>${day && html`<${Figures} of=${[
        ["Drawn from the grid", kwh(day.totalKwhConsumedAc)], ["Into batteries", kwh(day.totalKwhDeliveredDc)],
        ["Lost on the way", kwh(day.totalEnergyLoss), "bad"], ["Efficiency", percent(day.avgEfficiencyRatio)],
      ]} />${day.warning && html`<p class="warn">${day.warning}</p>`}`}<//>
      <${Card} title="Now"><${Figures} of=${[
        ["Charging", count(overview.chargingVehicles)], ["Idle", count(overview.idleVehicles)], ["Driving", count(overview.dischargingVehicles)],
        ["Silent vehicles", count(overview.offlineVehicles), overview.offlineVehicles ? "warn" : ""], ["Silent meters", count(overview.offlineMeters), overview.offlineMeters ? "warn" : ""],
        ["Power from the grid", last.length && last[0] != null ? `${count(last[0])} kW` : "–"],
      ]} /><//>
      <${Card} title="Chargers that lose most" answer=${chargers} more=${html`<p><a href="#/chargers">All chargers</a></p>`}>
        ${chargers.data && html`<${Table} caption="Chargers that lose most, last 24 hours" empty="No charger has drawn energy." rows=${chargers.data.data.filter((row) => row.energyLoss != null)} columns=${[
          ["Charger", (row) => html`<a href=${`#/charger/${encodeURIComponent(row.meterId)}`}>${row.label || row.meterId}</a>`],
          ["Lost", (row) => kwh(row.energyLoss), null, true],
          ["Efficiency", (row) => html`<${Ratio} ratio=${row.efficiencyRatio} status=${row.efficiencyStatus} />`, null, true],
          ["Trust", (row) => html`<${Verdict} verdict=${row.verdict} />`],
        ]} />`}<//>
      <${Card} title="Hot batteries" answer=${hot}>${hot.data && html`<${Table} caption="Hot batteries" empty="No battery is hot." rows=${hot.data} columns=${[
          ["Vehicle", (row) => html`<a href=${`#/vehicle/${encodeURIComponent(row.vehicleId)}`}>${row.vehicleId}</a>`],
          ["Temperature", (row) => html`<span class=${row.batteryTempCritical ? "bad" : "warn"}>${celsius(row.batteryTemp)}</span>`, null, true],
          ["Last reading", (row) => ago(row.lastReadingAt)],
        ]} />`}<//>
      <${Card} title="Silent devices" answer=${open} more=${html`<p><a href="#/alerts">All alerts</a></p>`}>${html`<${Table} caption="Silent devices" empty="Every device reports." rows=${silent.slice(0, 6)} columns=${[
          ["Device", (row) => html`<a href=${`#/${row.type === "meter" ? "charger" : "vehicle"}/${encodeURIComponent(row.deviceId)}`}>${row.deviceId}</a>`],
          ["Silent since", (row) => ago(new Date(Date.parse(row.raisedAt) - row.value * 1000))],
        ]} />`}<//>
      <${Card} title="Numbers not to be believed" answer=${doubtful}>${doubtful.data && html`<${Table} caption="Vehicles whose ratio is not to be believed" empty="No ratio is implausible." rows=${doubtful.data.data} columns=${[
          ["Vehicle", (row) => html`<a href=${`#/vehicle/${encodeURIComponent(row.vehicleId)}`}>${row.label || row.vehicleId}</a>`],
          ["Why", (row) => html`<${Reasons} reasons=${row.reasons} />`],
        ]} />`}
        ${refused.data && refused.data.refusals.length > 0 && html`<h2>Refused readings</h2><${Table} caption="Refused readings" rows=${refused.data.refusals} columns=${[
          ["Device", (row) => row.device], ["Why", (row) => row.reason], ["Readings", (row) => count(row.readings), null, true], ["Last", (row) => ago(row.lastAt)],
        ]} />`}<//>
      <${Card} title="Power, last 24 hours" wide answer=${trend}>${plot && plot[0].length > 0 && html`<${Chart} title="Power of the fleet" times=${plot[0]} height=${240}
        series=${[["from the grid (AC)", "kW", "--ac", plot[1][0]], ["into batteries (DC)", "kW", "--dc", plot[1][1]]]} />`}<//>
    </div>
    <p class="soft">Times are those of this browser; the last reading counts as soon as it is stored.${day ? ` The period ends at ${time(day.periodEnd)}.` : ""}</p>`;
}
