// The console's one script: htmx for fragments, three islands that draw, one stream.
import "htmx.org";
import "./dist-overlay.ts";
import "./fleet-grid.ts";
import "./live-chart.ts";
import { follow } from "./live.ts";
import { listen } from "./page.ts";

listen();
follow();
