// What the server says on /live, and what the stream worker tells a page.

/** The overview's numbers. */
export type Numbers = Record<"devices" | "online" | "failing" | "active" | "alerts", number>;

/** Everything, at one moment: the first message of every stream. `cells` has one letter a device. */
export interface Snapshot {
  seq: number;
  at: string;
  numbers: Numbers;
  rollouts: Record<string, { state: string; cells: string }>;
}

/** What changed since the tick before; `changed` names topics such as "overview" or "rollout/r-1". */
export interface Tick {
  seq: number;
  at: string;
  numbers?: Numbers;
  rollouts?: Record<string, { state: string; cells?: string; delta?: [number, string][] }>;
  changed?: string[];
}

export type Link = "connecting" | "live" | "reconnecting";

export type Message =
  | { kind: "link"; link: Link; tries: number }
  | { kind: "snapshot"; snapshot: Snapshot }
  | { kind: "moved"; snapshot: Snapshot; changed: string[] };
