// The page: its parts by address, the live overview, and the key where the service asks for one.

import { html, render, useEffect, useState } from "./vendor/preact.js";
import { get, listen, setKey } from "./api.js";
import { Charger, Devices, Vehicle } from "./devices.js";
import { Fleet } from "./fleet.js";
import { zone } from "./format.js";
import { Alerts, Engine } from "./upkeep.js";

const PAGES = [["", "Fleet"], ["vehicles", "Vehicles"], ["chargers", "Chargers"], ["alerts", "Alerts"], ["engine", "Engine"]];

function useAddress() {
  const read = () => location.hash.replace(/^#\/?/, "").split("/").map(decodeURIComponent);
  const [address, set] = useState(read);
  useEffect(() => {
    const moved = () => { set(read()); document.getElementById("main")?.focus(); };
    addEventListener("hashchange", moved);
    return () => removeEventListener("hashchange", moved);
  }, []);
  return address;
}

function AskKey({ done, wrong }) {
  const [key, type] = useState("");
  const send = (event) => { event.preventDefault(); setKey(key.trim()); done(); };
  return html`<main><h1>This service asks for a key</h1>
    <form class="card" onSubmit=${send}><p>Enter a key of scope read. It stays in this browser session.</p>
      ${wrong && html`<p class="failure" role="alert">${wrong}</p>`}
      <div class="tools"><label>Key<input type="password" autocomplete="off" value=${key} onInput=${(event) => type(event.target.value)} /></label><button>Open</button></div>
    </form></main>`;
}

function App() {
  const [page, id] = useAddress();
  const [overview, hear] = useState(null);
  const [live, setLive] = useState(false);
  const [news, tell] = useState(0);
  const [locked, lock] = useState(null);
  const [turn, again] = useState(0);
  useEffect(() => {
    const end = new AbortController();
    get("/v1/status/overview").then((answer) => {
      hear(answer);
      lock(null);
      listen("/v1/status/stream", {}, (event, data) => (event === "overview" ? hear(data) : event === "alert" ? tell((count) => count + 1) : null), setLive, end.signal);
    }, (error) => {
      if (error.status === 401 || error.status === 403) lock(turn ? error.message : "");
      else setTimeout(() => again(turn + 1), 2000);
    });
    return () => end.abort();
  }, [turn]);
  if (locked !== null) return html`<${AskKey} wrong=${locked} done=${() => again(turn + 1)} />`;
  const shown = { "": html`<${Fleet} overview=${overview} />`, vehicles: html`<${Devices} kind="vehicle" key="v" />`, chargers: html`<${Devices} kind="charger" key="c" />`,
    alerts: html`<${Alerts} news=${news} />`, engine: html`<${Engine} />` }[page]
    || (page === "vehicle" && id ? html`<${Vehicle} id=${id} key=${id} />` : page === "charger" && id ? html`<${Charger} id=${id} key=${id} />` : html`<h1>There is no such page</h1>`);
  return html`<a class="skip" href="#main" onClick=${(event) => { event.preventDefault(); document.getElementById("main").focus(); }}>Skip to the content</a>
    <header><strong>EV Ingestion Engine</strong>
      <nav aria-label="Pages">${PAGES.map(([name, title]) => html`<a href=${`#/${name}`} aria-current=${page === name ? "page" : undefined}>${title}</a>`)}<a href="api/docs">API</a></nav>
      <span class="live">${live ? "live" : "connecting …"}, times in ${zone}</span></header>
    <main id="main" tabindex="-1">${shown}</main>`;
}

render(html`<${App} />`, document.getElementById("app"));
document.querySelector("#app > .loading")?.remove();
