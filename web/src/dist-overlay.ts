// <dist-overlay data='{"reference": […], "current": […]}'>: the reference as an outline, now as a fill.
import { colour, Drawing, sharpen } from "./paint.ts";

/** Share of rows in each bin. */
type Shares = { reference: number[]; current: number[]; tone: string };

const HEIGHT = 76;

class DistOverlay extends Drawing {
  static readonly observedAttributes = ["data"];
  #canvas = document.createElement("canvas");

  override connectedCallback(): void {
    this.#canvas.setAttribute("role", "img");
    this.replaceChildren(this.#canvas);
    super.connectedCallback();
  }

  draw(): void {
    const { reference, current, tone } = JSON.parse(this.getAttribute("data") ?? "") as Shares;
    const width = this.clientWidth;
    const context = width ? sharpen(this.#canvas, width, HEIGHT) : null;
    if (!context) return;
    this.#canvas.setAttribute("aria-label", this.getAttribute("label") ?? "");
    const highest = Math.max(...reference, ...current, 0.001);
    const step = width / Math.max(1, reference.length);
    const height = (share: number): number => (share / highest) * (HEIGHT - 4);
    context.fillStyle = colour(this, tone);
    current.forEach((share, bin) => context.fillRect(bin * step + 0.5, HEIGHT - height(share), step - 1, height(share)));
    context.strokeStyle = colour(this, "--ink");
    context.lineWidth = 1.5;
    context.beginPath();
    context.moveTo(0, HEIGHT);
    reference.forEach((share, bin) => {
      context.lineTo(bin * step, HEIGHT - height(share));
      context.lineTo((bin + 1) * step, HEIGHT - height(share));
    });
    context.lineTo(width, HEIGHT);
    context.stroke();
  }
}

customElements.define("dist-overlay", DistOverlay);
