/** When a call that failed is tried again, and when not. */

import { DeadlineExceeded, Overloaded, Unavailable, failureOf, type MaskweaveError } from "./errors.js";
import { Code, ConnectError } from "@connectrpc/connect";

/** How often and for how long a call is tried before its failure is thrown. */
export interface Retry {
  /** How often in all; 1 tries nothing again. 4 by default. */
  attempts?: number;
  /** How long after its beginning a call may be begun again when the service is busy. 10 000 by default. */
  maxMs?: number;
}

/** The attempts of one call: they share its deadline. */
export class Attempts {
  private readonly began = performance.now();
  private readonly attempts: number;
  private readonly maxMs: number;
  private done = 0;

  constructor(
    retry: Retry | false,
    private readonly timeoutMs: number,
    private readonly signal: AbortSignal | undefined,
  ) {
    this.attempts = retry ? (retry.attempts ?? 4) : 1;
    this.maxMs = retry ? (retry.maxMs ?? 10_000) : 0;
  }

  /** Options of the next attempt. */
  options(): { timeoutMs: number; signal?: AbortSignal } {
    this.signal?.throwIfAborted();
    this.done += 1;
    const left = this.timeoutMs - this.elapsed();
    if (left <= 0) throw new DeadlineExceeded(new ConnectError("the deadline has passed", Code.DeadlineExceeded));
    const timeoutMs = Math.ceil(left); // the protocol has whole milliseconds
    return this.signal ? { timeoutMs, signal: this.signal } : { timeoutMs };
  }

  /** Waits until the call may be tried again; throws what failed if it may not. */
  async after(thrown: unknown, begun = false): Promise<void> {
    this.signal?.throwIfAborted();
    const failure = failureOf(thrown);
    const pause = begun ? undefined : this.pauseAfter(failure);
    if (pause === undefined || this.done >= this.attempts || this.elapsed() + pause >= this.timeoutMs) throw failure;
    await sleep(pause, this.signal);
  }

  private pauseAfter(failure: MaskweaveError): number | undefined {
    const asked = failure.retryAfterMs;
    if (failure instanceof Unavailable) return (asked ?? Math.min(100 * 3 ** (this.done - 1), 2000)) * (1 + 0.2 * Math.random());
    if (!(failure instanceof Overloaded) || asked === undefined) return undefined;
    const pause = asked * (1 + 0.2 * Math.random()); // callers who are told the same come back one by one
    return this.elapsed() + pause > this.maxMs ? undefined : pause;
  }

  private elapsed(): number {
    return performance.now() - this.began;
  }
}

function sleep(milliseconds: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    const aborted = () => {
      clearTimeout(timer);
      reject(signal!.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", aborted);
      resolve();
    }, milliseconds);
    signal?.addEventListener("abort", aborted, { once: true });
  });
}
