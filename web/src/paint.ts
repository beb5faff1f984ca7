// Colours and canvases that follow the theme and the screen.

/** The computed colour of a CSS custom property, `light-dark()` resolved. */
export function colour(host: Element, property: string): string {
  const probe = document.createElement("i");
  probe.style.color = `var(${property})`;
  host.append(probe);
  const value = getComputedStyle(probe).color;
  probe.remove();
  return value;
}

/** A canvas context in CSS pixels, sharp on any screen. */
export function sharpen(canvas: HTMLCanvasElement, width: number, height: number): CanvasRenderingContext2D | null {
  const ratio = devicePixelRatio || 1;
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  canvas.style.width = `${width}px`;
  canvas.style.height = `${height}px`;
  const context = canvas.getContext("2d");
  context?.scale(ratio, ratio);
  return context;
}

/** An element that draws itself: anew when an attribute, its size or the theme changes. */
export abstract class Drawing extends HTMLElement {
  #resized: ResizeObserver | undefined;
  #frame = 0;

  abstract draw(): void;

  connectedCallback(): void {
    this.#resized = new ResizeObserver(() => this.redraw());
    this.#resized.observe(this);
    document.addEventListener("themechange", this.redraw);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", this.redraw);
  }

  disconnectedCallback(): void {
    this.#resized?.disconnect();
    document.removeEventListener("themechange", this.redraw);
    matchMedia("(prefers-color-scheme: dark)").removeEventListener("change", this.redraw);
  }

  attributeChangedCallback(): void {
    this.redraw();
  }

  redraw = (): void => {
    cancelAnimationFrame(this.#frame);
    this.#frame = requestAnimationFrame(() => this.isConnected && this.draw());
  };
}
