// Brings the stream to the page: refreshes what follows a changed topic, hands islands their cells.
import htmx from "htmx.org";
import { Feed } from "./feed.ts";
import type { Link, Message, Snapshot } from "./messages.ts";

const ANNOUNCE_EVERY_MS = 10_000;
const AGES_EVERY_MS = 10_000; // "last seen 8 s ago" grows old even where nothing changes

let lastAnnounced = 0;
let lastStates: Record<string, string> = {};

/** Follow the stream for as long as the page is shown. */
export function follow(): void {
  const worker = document.body.dataset["stream"];
  if (!worker) return;
  setInterval(() => document.hidden || refresh(["age"]), AGES_EVERY_MS);
  if (typeof SharedWorker === "undefined") followAlone();
  else followShared(worker);
}

function followShared(url: string): void {
  let port: MessagePort | undefined;
  const join = (): void => {
    if (port) return;
    port = new SharedWorker(url, { type: "module", name: "edgeship-stream" }).port;
    port.onmessage = (event: MessageEvent<Message>) => hear(event.data);
  };
  const leave = (): void => {
    port?.postMessage("leave");
    port = undefined;
  };
  addEventListener("pagehide", leave);
  addEventListener("pageshow", join);
  join();
}

function followAlone(): void {
  const feed = new Feed(hear);
  const sync = (): void => (document.hidden ? feed.close() : feed.open());
  document.addEventListener("visibilitychange", sync);
  addEventListener("pagehide", () => feed.close());
  sync();
}

function hear(message: Message): void {
  if (message.kind === "link") return showLink(message.link, message.tries);
  showSnapshot(message.snapshot);
  refresh(message.kind === "snapshot" ? undefined : message.changed);
}

function showLink(link: Link, tries: number): void {
  const place = document.querySelector("[data-link]");
  if (!place || place.getAttribute("data-link") === link) return;
  place.setAttribute("data-link", link);
  place.textContent = link;
  if (link !== "live" && tries > 1) announce("Connection lost. Figures on this page may be old; reconnecting.");
  // several failures in a row may mean that the session ended: a fragment's answer leads to sign-in
  if (tries >= 3) refresh(undefined);
}

function showSnapshot(snapshot: Snapshot): void {
  document.querySelectorAll<HTMLElement>("[data-count]").forEach((place) => {
    const value = snapshot.numbers[place.dataset["count"] as keyof Snapshot["numbers"]];
    place.textContent = value.toLocaleString("en");
    place.hidden = value === 0;
  });
  for (const grid of document.querySelectorAll("fleet-grid")) {
    const cells = snapshot.rollouts[grid.getAttribute("rollout") ?? ""]?.cells;
    if (cells) grid.setAttribute("cells", cells);
  }
  for (const [id, { state }] of Object.entries(snapshot.rollouts)) {
    if (lastStates[id] && lastStates[id] !== state) announce(`Rollout ${id} is now ${state.replaceAll("_", " ")}.`);
    lastStates = { ...lastStates, [id]: state };
  }
}

/** Ask the fragments that follow one of the topics (all of them where none is named) to fetch themselves anew. */
function refresh(changed: string[] | undefined): void {
  for (const part of document.querySelectorAll<HTMLElement>("[data-follows]")) {
    const topics = part.dataset["follows"]?.split(" ") ?? [];
    if (!changed || topics.some((topic) => changed.includes(topic))) htmx.trigger(part, "moved");
  }
}

function announce(words: string): void {
  const place = document.getElementById("announcement");
  if (!place || Date.now() - lastAnnounced < ANNOUNCE_EVERY_MS) return;
  lastAnnounced = Date.now();
  place.textContent = words;
}
