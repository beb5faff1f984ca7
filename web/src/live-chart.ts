// <live-chart points='{"x": […], "series": […]}'>: lines over time with uPlot, each named at its end.
import uPlot from "uplot";
import { colour, Drawing } from "./paint.ts";

/** `tone` is a custom property, such as "--s-healthy". */
type Line = { name: string; tone: string; values: number[]; dashed: boolean };
type Points = { x: number[]; x_unit: string; series: Line[] };

const HEIGHT = 230;

class LiveChart extends Drawing {
  static readonly observedAttributes = ["points"];
  #plot: uPlot | undefined;

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    this.#plot?.destroy();
  }

  draw(): void {
    const { x, x_unit, series } = JSON.parse(this.getAttribute("points") ?? "") as Points;
    const width = this.clientWidth;
    this.#plot?.destroy();
    if (!width || x.length < 2) return;
    const faint = colour(this, "--faint");
    const axis = { stroke: faint, font: "11px system-ui", grid: { stroke: colour(this, "--line"), width: 1 }, ticks: { show: false } };
    const top = Math.max(1, ...series.flatMap((line) => line.values));
    this.#plot = new uPlot({
      width, height: HEIGHT, padding: [12, 64, 0, 0],
      legend: { show: false },
      cursor: { show: false },
      scales: { x: { time: false, range: (_, low, high) => [low, high] }, y: { range: [0, top * 1.1] } },
      axes: [
        { ...axis, size: 28, values: (_, ticks) => ticks.map((tick) => `${tick} ${x_unit}`), space: 60 },
        { ...axis, size: 40, space: 32 },
      ],
      series: [{}, ...series.map((line, place) => {
        const stroke = colour(this, line.tone);
        return {
          stroke, width: 2, points: { show: false }, label: line.name,
          ...(line.dashed ? { dash: [5, 4] } : {}),
          ...(place === 0 ? { fill: stroke.replace("rgb(", "rgba(").replace(")", ", 0.14)") } : {}),
        };
      })],
      hooks: { draw: [(plot) => nameLines(plot, series, series.map((line) => colour(this, line.tone)))] },
    }, [x, ...series.map((line) => line.values)], this);
  }
}

/** Write each line's name at its right end, apart from its neighbours. */
function nameLines(plot: uPlot, series: Line[], tones: string[]): void {
  const { ctx } = plot;
  const ratio = devicePixelRatio || 1;
  let floor = Infinity;
  ctx.save();
  ctx.font = `${12 * ratio}px system-ui`;
  ctx.textBaseline = "middle";
  ctx.textAlign = "left";
  const named = series.map((line, place) => ({ line, tone: tones[place] ?? "gray", y: plot.valToPos(line.values.at(-1) ?? 0, "y", true) }));
  for (const { line, tone, y } of named.sort((one, other) => other.y - one.y)) {
    const spot = Math.min(y, floor - 15 * ratio);
    floor = spot;
    ctx.fillStyle = tone;
    ctx.fillText(line.name, plot.bbox.left + plot.bbox.width + 8 * ratio, spot);
  }
  ctx.restore();
}

customElements.define("live-chart", LiveChart);
