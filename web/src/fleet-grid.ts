// <fleet-grid>: one square a device, by wave. Failures carry a cross, so colour is not the only sign.
import { colour, Drawing, sharpen } from "./paint.ts";

const GAP = 2;
const WAVE_GAP = 8;
const LARGEST = 36;
const SMALLEST = 5;
const TALLEST = 420;
const MARKED = new Set("xftb");
const TONES: Record<string, string> = {
  q: "queued", o: "offered", d: "downloading", v: "verifying", i: "installing", p: "probation",
  h: "healthy", x: "refused", f: "failed", b: "rolled_back", t: "timed_out", c: "cancelled",
};

type Square = { x: number; y: number };

class FleetGrid extends Drawing {
  static readonly observedAttributes = ["cells", "waves"];
  #canvas = document.createElement("canvas");
  #tip = document.createElement("div");
  #squares: Square[] = [];
  #size = LARGEST;
  #names: Promise<string[]> | undefined;

  override connectedCallback(): void {
    this.#tip.className = "tip";
    this.#tip.hidden = true;
    this.#canvas.setAttribute("role", "img");
    this.replaceChildren(this.#canvas, this.#tip);
    this.#canvas.addEventListener("pointermove", (event) => void this.#point(event));
    this.#canvas.addEventListener("pointerleave", () => (this.#tip.hidden = true));
    this.#canvas.addEventListener("click", (event) => void this.#open(event));
    super.connectedCallback();
  }

  draw(): void {
    const cells = this.getAttribute("cells") ?? "";
    const width = this.clientWidth;
    if (!width) return;
    this.#canvas.setAttribute("aria-label", this.getAttribute("label") ?? "");
    const height = this.#place(cells.length, width);
    const context = sharpen(this.#canvas, width, height);
    if (!context) return;
    const ink = colour(this, "--panel");
    const tones = new Map([...new Set(cells)].map((letter) => [letter, colour(this, `--s-${TONES[letter]}`)]));
    this.#squares.forEach(({ x, y }, place) => {
      const letter = cells[place] ?? "q";
      context.fillStyle = tones.get(letter) ?? "gray";
      context.beginPath();
      context.roundRect(x, y, this.#size, this.#size, Math.min(4, this.#size / 5));
      context.fill();
      if (MARKED.has(letter)) cross(context, { x, y }, this.#size, ink);
    });
  }

  /** Lay the squares out, each wave from a new row, as large as fits; return the height. */
  #place(count: number, width: number): number {
    const given = (this.getAttribute("waves") ?? "").split(",").map(Number).filter((size) => size > 0);
    const waves = given.reduce((sum, size) => sum + size, 0) === count ? given : [count];
    for (let size = LARGEST; size >= SMALLEST; size -= 1) {
      const across = Math.max(1, Math.floor((width + GAP) / (size + GAP)));
      const rows = waves.reduce((sum, wave) => sum + Math.ceil(wave / across), 0);
      const height = rows * (size + GAP) + (waves.length - 1) * WAVE_GAP;
      if (height > TALLEST && size > SMALLEST) continue;
      this.#size = size;
      this.#squares = squaresOf(waves, across, size);
      return height;
    }
    return 0;
  }

  #at(event: PointerEvent | MouseEvent): number {
    return this.#squares.findIndex(({ x, y }) =>
      event.offsetX >= x && event.offsetX < x + this.#size + GAP && event.offsetY >= y && event.offsetY < y + this.#size + GAP);
  }

  async #point(event: PointerEvent): Promise<void> {
    const place = this.#at(event);
    const { offsetX, offsetY } = event;
    const name = place < 0 ? undefined : (await this.#load())[place];
    this.#tip.hidden = name === undefined;
    if (name === undefined) return;
    const letter = (this.getAttribute("cells") ?? "")[place] ?? "q";
    this.#tip.textContent = `${name} · ${(TONES[letter] ?? "").replaceAll("_", " ")}`;
    this.#tip.style.left = `${Math.min(offsetX + 12, Math.max(0, this.clientWidth - 190))}px`;
    this.#tip.style.top = `${offsetY + 14}px`;
  }

  async #open(event: MouseEvent): Promise<void> {
    const name = (await this.#load())[this.#at(event)];
    if (name) location.assign(`/devices/${encodeURIComponent(name)}`);
  }

  #load(): Promise<string[]> {
    this.#names ??= fetch(this.getAttribute("names") ?? "").then((answer) => answer.json() as Promise<string[]>);
    return this.#names;
  }
}

function squaresOf(waves: number[], across: number, size: number): Square[] {
  const squares: Square[] = [];
  let top = 0;
  for (const wave of waves) {
    for (let place = 0; place < wave; place += 1) {
      squares.push({ x: (place % across) * (size + GAP), y: top + Math.floor(place / across) * (size + GAP) });
    }
    top += Math.ceil(wave / across) * (size + GAP) + WAVE_GAP;
  }
  return squares;
}

function cross(context: CanvasRenderingContext2D, { x, y }: Square, size: number, ink: string): void {
  const inset = size * 0.28;
  context.strokeStyle = ink;
  context.lineWidth = Math.max(1.2, size / 9);
  context.beginPath();
  context.moveTo(x + inset, y + inset);
  context.lineTo(x + size - inset, y + size - inset);
  context.moveTo(x + size - inset, y + inset);
  context.lineTo(x + inset, y + size - inset);
  context.stroke();
}

customElements.define("fleet-grid", FleetGrid);
