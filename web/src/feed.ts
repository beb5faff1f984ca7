// One EventSource, reopened for ever: used by the SharedWorker, or by the page where there is none.
import type { Link, Message, Snapshot, Tick } from "./messages.ts";

const SILENCE_MS = 10_000; // the server ticks every second: longer silence is a dead connection
const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 10_000;

export class Feed {
  #source: EventSource | undefined;
  #snapshot: Snapshot | undefined;
  #link: Link = "connecting";
  #tries = 0;
  #watchdog: ReturnType<typeof setTimeout> | undefined;
  #reopening: ReturnType<typeof setTimeout> | undefined;

  constructor(private readonly tell: (message: Message) => void) {}

  /** What a page that joins late must hear first. */
  get state(): Message[] {
    const link: Message = { kind: "link", link: this.#link, tries: this.#tries };
    return this.#snapshot ? [link, { kind: "snapshot", snapshot: this.#snapshot }] : [link];
  }

  open(): void {
    this.close();
    const source = new EventSource("/live");
    this.#source = source;
    source.addEventListener("snapshot", (event) => this.#begin(JSON.parse(event.data) as Snapshot));
    source.addEventListener("tick", (event) => this.#advance(JSON.parse(event.data) as Tick));
    // EventSource gives up for good after an HTTP error such as 503, so every failure reopens here
    source.onerror = () => this.#reopen();
    this.#watch();
  }

  close(): void {
    clearTimeout(this.#watchdog);
    clearTimeout(this.#reopening);
    this.#source?.close();
    this.#source = undefined;
  }

  #begin(snapshot: Snapshot): void {
    this.#snapshot = snapshot;
    this.#tries = 0;
    this.#watch();
    this.#say("live");
    this.tell({ kind: "snapshot", snapshot });
  }

  #advance(tick: Tick): void {
    const before = this.#snapshot;
    if (!before || tick.seq !== before.seq + 1) return this.#reopen();
    this.#watch();
    this.#snapshot = apply(before, tick);
    if (tick.changed?.length) this.tell({ kind: "moved", snapshot: this.#snapshot, changed: tick.changed });
  }

  #reopen(): void {
    this.close();
    this.#tries += 1;
    this.#say("reconnecting");
    const cap = Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** this.#tries);
    this.#reopening = setTimeout(() => this.open(), cap / 2 + (Math.random() * cap) / 2);
  }

  #watch(): void {
    clearTimeout(this.#watchdog);
    this.#watchdog = setTimeout(() => this.#reopen(), SILENCE_MS);
  }

  #say(link: Link): void {
    this.#link = link;
    this.tell({ kind: "link", link, tries: this.#tries });
  }
}

function apply(before: Snapshot, tick: Tick): Snapshot {
  const rollouts = { ...before.rollouts };
  for (const [id, news] of Object.entries(tick.rollouts ?? {})) {
    rollouts[id] = { state: news.state, cells: news.cells ?? patch(rollouts[id]?.cells ?? "", news.delta ?? []) };
  }
  return { seq: tick.seq, at: tick.at, numbers: tick.numbers ?? before.numbers, rollouts };
}

function patch(cells: string, delta: [number, string][]): string {
  const letters = [...cells];
  for (const [place, letter] of delta) letters[place] = letter;
  return letters.join("");
}
