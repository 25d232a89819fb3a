// Parts that pages share: cards, tables, charts with a table behind them, and loading.

import { html, useEffect, useRef, useState } from "./vendor/preact.js";
import { percent, REASONS, UNKNOWN, VERDICTS, kwh, time } from "./format.js";

// What `load` answers, loaded again whenever `needs` change or every `seconds`; the last answer stays while it loads.
export function useAnswer(load, needs, seconds) {
  const [answer, set] = useState({});
  const [turn, again] = useState(0);
  useEffect(() => {
    let gone = false;
    load().then((data) => gone || set({ data }), (error) => gone || set((last) => ({ data: last.data, error })));
    const timer = seconds && setTimeout(() => again(turn + 1), seconds * 1000);
    return () => { gone = true; clearTimeout(timer); };
  }, [...needs, turn]);
  return [answer, () => again(turn + 1)];
}

export const Failure = ({ error }) => error && html`<p class="failure" role="alert">${error.message}</p>`;

export function Card({ title, answer, wide, children, more }) {
  return html`<section class=${wide ? "card wide" : "card"} aria-label=${title}>
    <h2>${title}</h2>
    ${answer && html`<${Failure} error=${answer.error} />`}
    ${answer && !answer.data && !answer.error ? html`<p class="loading">Loading …</p>` : children}
    ${more}
  </section>`;
}

export const Badge = ({ of, children }) => html`<span class=${`badge ${of}`}>${children}</span>`;

const KINDS = { excellent: "good", good: "good", warning: "warn", critical: "bad", unknown: "soft" };
export const Ratio = ({ ratio, status }) => html`<span class=${KINDS[status]}>${percent(ratio)}</span>`;
export const Verdict = ({ verdict }) =>
  html`<${Badge} of=${{ sound: "good", implausible: "bad", partial: "warn" }[verdict] || "soft"}>${VERDICTS[verdict]}<//>`;

export const Reasons = ({ reasons }) => reasons.length
  ? html`<ul class="reasons">${reasons.map((each) => html`<li>${REASONS[each.reason]}${each.kwh == null ? "" : `: ${kwh(each.kwh)}`}
      <span class="soft"> ${time(each.from)}${each.to === each.from ? "" : ` to ${time(each.to)}`}</span></li>`)}</ul>`
  : html`<span class="soft">nothing speaks against it</span>`;

export const Figures = ({ of }) =>
  html`<dl class="figures">${of.map(([name, value, kind]) => html`<div><dt>${name}</dt><dd class=${kind || ""}>${value}</dd></div>`)}</dl>`;

// Columns: [title, cell of a row, sort key or null, is a number].
export function Table({ caption, columns, rows, sort, order, onSort, empty }) {
  if (!rows.length) return html`<p class="soft">${empty}</p>`;
  const head = ([title, , key, number]) => {
    const sorted = key && key === sort ? (order === "asc" ? "ascending" : "descending") : undefined;
    return html`<th scope="col" class=${number ? "n" : ""} aria-sort=${sorted}>${key && onSort
      ? html`<button type="button" onClick=${() => onSort(key)}>${title}${sorted ? (order === "asc" ? " ▲" : " ▼") : ""}</button>` : title}</th>`;
  };
  return html`<div class="scroll" tabindex="0" role="region" aria-label=${caption}><table>
    <caption class="hidden">${caption}</caption>
    <thead><tr>${columns.map(head)}</tr></thead>
    <tbody>${rows.map((row) => html`<tr>${columns.map(([, cell, , number]) => html`<td class=${number ? "n" : ""}>${cell(row)}</td>`)}</tr>`)}</tbody>
  </table></div>`;
}

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name);

// Series: [title, unit, colour variable, values]; a null is a gap. Charts of one `group` share their cursor.
export function Chart({ title, times, series, group, height = 200 }) {
  const place = useRef();
  useEffect(() => {
    const width = () => place.current.clientWidth;
    const axis = { stroke: colour("--soft"), grid: { stroke: colour("--line") }, ticks: { stroke: colour("--line") } };
    const plot = new window.uPlot({
      width: width(), height, cursor: { sync: { key: group || title } },
      scales: { x: { time: true } }, axes: [axis, { ...axis, size: 56 }],
      series: [{ label: "time" }, ...series.map(([label, unit, ink]) => ({
        label, stroke: colour(ink), width: 2, spanGaps: false, points: { show: false },
        value: (_, value) => (value == null ? UNKNOWN : `${value.toFixed(2)} ${unit}`),
      }))],
    }, [times, ...series.map((each) => each[3])], place.current);
    const resized = new ResizeObserver(() => plot.setSize({ width: width(), height }));
    resized.observe(place.current);
    return () => { resized.disconnect(); plot.destroy(); };
  }, [JSON.stringify([times, series])]);
  const step = Math.max(1, Math.ceil(times.length / 48));
  const rows = times.map((at, index) => [at, ...series.map((each) => each[3][index])]).filter((_, index) => index % step === 0);
  return html`<figure style="margin:0"><div ref=${place} role="img" aria-label=${`${title}; the same as a table below`}></div>
    <details><summary>${title} as a table</summary><${Table} caption=${title} rows=${rows} empty="No values."
      columns=${[["time", (row) => time(row[0] * 1000)], ...series.map(([label, unit], index) => [`${label} (${unit})`, (row) => (row[index + 1] == null ? UNKNOWN : row[index + 1].toFixed(2)), null, true])]} />
    </details></figure>`;
}

// Put null between two values that lie further apart than `seconds`: a gap is a gap.
export function withGaps(times, columns, seconds) {
  const at = [], out = columns.map(() => []);
  times.forEach((moment, index) => {
    if (index && moment - times[index - 1] > seconds) { at.push(times[index - 1] + 1); out.forEach((column) => column.push(null)); }
    at.push(moment);
    out.forEach((column, number) => column.push(columns[number][index]));
  });
  return [at, out];
}
