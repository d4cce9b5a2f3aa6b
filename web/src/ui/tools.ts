/** What is drawn with, and how the drawing is looked at. */

import { signal } from "@preact/signals";

export type Tool = "brush" | "line" | "fill" | "eraser";

export const tool = signal<Tool>("brush");
/** Width of the brush, in hundredths of the drawing's shorter side. */
export const brush = signal(6);
export const BRUSH = { area: 6, pen: 2 };
export const mirror = signal(false);
/** How strongly the drawing covers the image below it, 0 to 1. */
export const opacity = signal(1);
export const zoom = signal(1);
/** Where the middle of the view lies on the drawing, 0 to 1 each way. */
export const middle = signal({ x: 0.5, y: 0.5 });

export const MOST_ZOOM = 8;
export const BRUSHES = { least: 1, most: 30 };

export function zoomTo(factor: number, around = middle.value): void {
  const next = Math.min(MOST_ZOOM, Math.max(1, factor));
  const part = zoom.value / next;
  moveTo(around.x + (middle.value.x - around.x) * part, around.y + (middle.value.y - around.y) * part, next);
}

export function moveTo(x: number, y: number, at = zoom.value): void {
  const half = 0.5 / at;
  zoom.value = at;
  middle.value = { x: Math.min(1 - half, Math.max(half, x)), y: Math.min(1 - half, Math.max(half, y)) };
}

export function widen(times: number): void {
  const next = times > 1 ? Math.ceil(brush.value * times) : Math.floor(brush.value * times);
  brush.value = Math.min(BRUSHES.most, Math.max(BRUSHES.least, next));
}
