// The SharedWorker: one stream for all tabs, because a browser opens only six connections to a host.
import { Feed } from "./feed.ts";
import type { Message } from "./messages.ts";

const pages = new Set<MessagePort>();
const feed = new Feed((message: Message) => pages.forEach((page) => page.postMessage(message)));

addEventListener("connect", (event) => {
  const page = (event as MessageEvent).ports[0];
  if (!page) return;
  page.onmessage = () => {
    pages.delete(page); // its one message is "leave"
    if (pages.size === 0) feed.close();
  };
  page.start();
  pages.add(page);
  if (pages.size === 1) feed.open();
  feed.state.forEach((message) => page.postMessage(message));
});
