// What the page does beside drawing: keys, theme, dialogs, and acting only once.

const JUMPS: Record<string, string> = { o: "/", d: "/devices", r: "/rollouts", a: "/alerts" };
const JUMP_WITHIN_MS = 1_200;

let pendingJump = 0;

export function listen(): void {
  document.addEventListener("keydown", press);
  document.addEventListener("click", click);
  document.addEventListener("submit", submit);
  document.addEventListener("htmx:after:swap", showDialog);
  document.addEventListener("htmx:before:swap", keepOnError);
}

function press(event: KeyboardEvent): void {
  const typing = event.target instanceof Element && event.target.matches("input, textarea, select, [contenteditable]");
  if (typing || event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  const jump = Date.now() - pendingJump < JUMP_WITHIN_MS ? JUMPS[event.key] : undefined;
  pendingJump = event.key === "g" ? Date.now() : 0;
  if (jump) return location.assign(jump);
  const field = document.querySelector<HTMLInputElement>("[data-filter]");
  if (event.key === "/" && field) {
    event.preventDefault();
    field.focus();
    field.select();
  }
  if (event.key === "?") document.querySelector<HTMLDialogElement>("#keys")?.showModal();
}

function click(event: MouseEvent): void {
  const target = event.target instanceof Element ? event.target : undefined;
  const opener = target?.closest<HTMLElement>("[data-opens]");
  if (opener) document.querySelector<HTMLDialogElement>(`#${opener.dataset["opens"]}`)?.showModal();
  const closer = target?.closest("[data-close]");
  if (closer?.closest("dialog")) {
    event.preventDefault();
    closer.closest("dialog")?.close();
  }
}

function submit(event: SubmitEvent): void {
  const form = event.target as HTMLFormElement;
  if (form.matches("[data-theme-form]")) return toggleTheme(event, form);
  if (form.method !== "post" || event.defaultPrevented) return;
  if (form.dataset["sent"]) event.preventDefault();
  form.dataset["sent"] = "yes";
}

/** Change the theme at once; the cookie lets the server write it into the next page. */
function toggleTheme(event: SubmitEvent, form: HTMLFormElement): void {
  event.preventDefault();
  const root = document.documentElement;
  const dark = getComputedStyle(root).colorScheme === "dark" || (!root.dataset["theme"] && matchMedia("(prefers-color-scheme: dark)").matches);
  root.dataset["theme"] = dark ? "light" : "dark";
  document.dispatchEvent(new Event("themechange"));
  void fetch(form.action, { method: "POST", body: new URLSearchParams({ theme: root.dataset["theme"] }), redirect: "manual" });
}

function showDialog(event: Event): void {
  const { ctx } = (event as CustomEvent<{ ctx: { target?: Element } }>).detail;
  if (ctx.target instanceof HTMLDialogElement && !ctx.target.open) ctx.target.showModal();
}

/** A fragment that could not be fetched leaves the old one in place: the connection sign says that it is old. */
function keepOnError(event: Event): void {
  const { ctx } = (event as CustomEvent<{ ctx: { response?: { status: number } } }>).detail;
  if ((ctx.response?.status ?? 200) >= 400) event.preventDefault();
}
