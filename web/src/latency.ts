/** How long strokes take to become pixels, as the browser sees it. */

import { signal } from "@preact/signals";

/** So many of the latest are kept. */
const KEPT = 120;

export interface Sample {
  /** From the pointer's event until the pixels were drawn. */
  total: number;
  /** Of these, what the service took for the frame. */
  service: number;
}

export const samples = signal<Sample[]>([]);

export function record(sample: Sample): void {
  samples.value = [...samples.value.slice(1 - KEPT), sample];
  window.dispatchEvent(new CustomEvent("maskweave:latency", { detail: sample }));
}

export function quantile(values: number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? 0;
}
