/** Keys that work wherever nothing is being typed. */

import { layer, randomSeed, seed, tab } from "../state";
import { mirror, tool, widen, zoom, zoomTo, type Tool } from "./tools";

const TOOLS: Record<string, Tool> = { b: "brush", l: "line", f: "fill", e: "eraser" };

export function listenToKeys(): () => void {
  const off = new AbortController();
  window.addEventListener("keydown", handle, { signal: off.signal });
  return () => off.abort();
}

function handle(event: KeyboardEvent): void {
  const target = event.target as HTMLElement;
  if (target.closest("input:not([type=range]):not([type=radio]), select, textarea, dialog")) return;
  const drawn = layer.peek();
  const key = event.key.toLowerCase();
  if (event.ctrlKey || event.metaKey) {
    if (key !== "z" && key !== "y") return;
    event.preventDefault();
    if (key === "y" || event.shiftKey) drawn?.redo();
    else drawn?.undo();
    return;
  }
  if (event.altKey) return;
  if (TOOLS[key] && !(key === "f" && tab.peek() === "sketch")) tool.value = TOOLS[key];
  else if (key === "m") mirror.value = !mirror.peek();
  else if (key === "r") seed.value = randomSeed();
  else if (key === "[") widen(1 / 1.25);
  else if (key === "]") widen(1.25);
  else if (key === "+" || key === "=") zoomTo(zoom.peek() * 1.5);
  else if (key === "-") zoomTo(zoom.peek() / 1.5);
  else if (/^[1-9]$/.test(key) && drawn) {
    const ink = drawn.inks[Number(key) - 1];
    if (ink) drawn.ink.value = ink.id;
  }
}
